"""Two processes give what one gives with the same global batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from small import write_subjects

from mrseg_training.data.prepared import Volumes, fill_cache
from mrseg_training.data.subjects import Files, find_brats
from napari_mrseg.tasks import BRATS

SCRIPT = """
import atexit, json, os, sys, torch
from pathlib import Path
from safetensors.torch import save_file
sys.path.insert(0, {tests!r}); sys.path.insert(0, {training!r})
from small import small_config
from mrseg_training.data.prepared import Cached, Volumes
from mrseg_training.data.loader import Loader
from mrseg_training.processes import average_gradients, make_fabric
from mrseg_training.stages import make_stage

# The last to be called; one write, so that two processes do not mix their lines.
atexit.register(lambda: os.write(1, b"left the group: %d\\n" % (not torch.distributed.is_initialized())))
torch.set_num_threads(1)
processes = int(sys.argv[1])
out = Path(sys.argv[2])
cached = [Cached(p.stem, p) for p in sorted(Path(sys.argv[3]).glob("*.safetensors"))]
batch = 2 // processes
changes = {{"stages": {{n: {{"batch": batch}} for n in ("reconstruct", "contrast", "adapt")}}}}
config = small_config(run={{"devices": processes, "norm_statistics": "running"}}, **changes)
fabric = make_fabric(config)
saved = {{}}
for index, name in enumerate(("reconstruct", "contrast", "adapt")):
    torch.manual_seed(index)
    stage = make_stage(name, config)
    for parameter in stage.network.parameters():
        if parameter.requires_grad and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    optimizer = torch.optim.AdamW([p for p in stage.parameters() if p.requires_grad], lr=1e-3)
    module, optimizer = fabric.setup(stage, optimizer)
    module.train()
    loader = Loader(Volumes(cached), config.stage(name), stage.task, seed=0, stage=index, device=fabric.device,
                    rank=fabric.global_rank, processes=processes)
    batch_of_step = loader.batch(0)
    total = 0.0
    for part in range(stage.parts):
        with fabric.no_backward_sync(module, enabled=processes > 1):
            terms = module(batch_of_step, part)
            loss = sum(stage.weights[k] * v for k, v in terms.items() if stage.weights.get(k))
            fabric.backward(loss)
        total = total + loss.detach()
    if processes > 1:
        average_gradients(stage, processes)
        total = fabric.all_reduce(total, reduce_op="mean")
    saved[f"{{name}}.loss"] = torch.as_tensor(total).reshape(1)
    saved |= {{f"{{name}}.{{n}}": p.grad for n, p in stage.network.named_parameters() if p.grad is not None}}
if fabric.global_rank == 0:
    save_file({{k: v.contiguous().clone() for k, v in saved.items()}}, out)
"""


def test_two_processes_give_the_loss_and_gradients_of_one(tmp_path: Path) -> None:
    """torchrun with two gloo processes: losses and gradients of all three stages equal to 1e-5.

    Same global batch, norm layers in eval statistics; the negatives of stage 2 come from both processes. At the end
    each process leaves the group: gloo's threads would now and then abort it otherwise.
    """
    root = write_subjects(tmp_path / "data", 4)
    source = Files(find_brats(root), BRATS, 1.0)
    Volumes(fill_cache(source, source.ids, tmp_path / "cache"))
    here = Path(__file__).resolve().parent
    script = tmp_path / "steps.py"
    script.write_text(SCRIPT.format(tests=str(here), training=str(here.parent)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runs = {
        1: [sys.executable, str(script)],
        2: [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
            f"--master_port={port}", str(script),
        ],
    }  # fmt: skip
    found = {}
    for processes, command in runs.items():
        out = tmp_path / f"{processes}.safetensors"
        done = subprocess.run(
            [*command, str(processes), str(out), str(tmp_path / "cache")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("left the group: 1") == processes
        found[processes] = load_file(out)
    assert found[1].keys() == found[2].keys()
    assert sum(name.startswith("adapt.adapters") for name in found[1]) > 10
    for name, value in found[1].items():
        assert torch.allclose(value, found[2][name], atol=1e-5, rtol=1e-4), name
        assert float((value - found[2][name]).abs().max()) < 1e-5, name
