"""One measurement in a process of its own, so that its peak memory is its own.

``python -m napari_mrseg.bench.jobs JOB.json RESULT.json``; :func:`run_job` is the caller's side.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_mrseg.errors import DeviceError, InputError, MrsegError

Job = Mapping[str, Any]


def run_job(
    job: Job, *, module: str = "napari_mrseg.bench.jobs", before: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run ``job`` in a new process and return its result. Raises MrsegError with the process's last words.

    ``before``: a program to run it under.
    """
    with tempfile.TemporaryDirectory(prefix="mrseg-bench-") as folder:
        asked, answered = Path(folder) / "job.json", Path(folder) / "result.json"
        asked.write_text(json.dumps(job))
        command = [*before, sys.executable, "-m", module, str(asked), str(answered)]
        ended = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if ended.returncode == 0 and answered.exists():
            result: dict[str, Any] = json.loads(answered.read_text())
            return result
        words = [line for line in ended.stderr.splitlines() if line.strip()]
        message = words[-1] if words else f"the process ended with code {ended.returncode}"
        error = {2: InputError, 3: DeviceError}.get(ended.returncode, MrsegError)
        if error is MrsegError:
            message = f"The measurement “{job['kind']}” failed: {message}"
        raise error(message)


def serve(kinds: Mapping[str, Callable[[Job], dict[str, Any]]], arguments: list[str]) -> int:
    """The process's side: do the job, write the result, return the exit code."""
    job = json.loads(Path(arguments[0]).read_text())
    try:
        result = kinds[job["kind"]](job)
    except MrsegError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    Path(arguments[1]).write_text(json.dumps(result))
    return 0


def one(job: Job) -> dict[str, Any]:
    """One combination: the first run in this process, then first looks and finals as after a toggle."""
    engine, study, memory = _ready(job)
    combination = tuple(job["combination"])
    began = time.perf_counter()
    cold = [time.perf_counter() - began for _ in engine.run(study, combination)]
    looks, finals = [], []
    has_preview = len(engine.model.card.validated) > 1
    found = None
    for _ in range(job["repeats"]):
        if has_preview:
            began = time.perf_counter()
            next(iter(engine.run(study, combination)))
            looks.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = engine.predict(study, combination)
        finals.append(time.perf_counter() - began)
    assert found is not None
    if job.get("labels"):
        np.save(job["labels"], found.labels)
    return {
        "combination": list(combination),
        "adapters": engine.model.network.adapts and combination != study.task.names,
        "cold_s": cold,
        "first_look_all_s": looks,
        "final_all_s": finals,
        "box": [[side.start, side.stop] for side in found.box],
        "grid_spacing_mm": list(study.grid.spacing),
        "spacing_mm": found.spacing,
        "sizes": dict(found.sizes),
        "device": engine.device_name,
        "precision": engine.precision,
        **memory(),
    }


def every(job: Job) -> dict[str, Any]:
    """All combinations one after the other or in groups, as ``mrseg predict --all`` computes them."""
    engine, study, memory = _ready(job)
    engine.predict(study)
    combinations = engine.combinations(study)
    began = time.perf_counter()
    count = sum(1 for _ in engine.run_all(study, combinations))
    return {"combinations": count, "seconds": time.perf_counter() - began, **memory()}


def waiting(job: Job) -> dict[str, Any]:
    """First look and Cancel while the sweep runs, without a window."""
    from napari_mrseg.bench.response_time import interrupt_sweep
    from napari_mrseg.session.state import Session

    study = _study(job)
    session = Session(task=study.task, device=job["device"], precision=job["precision"])
    try:
        session.set_model(_model(job))
        return interrupt_sweep(session, study, repeats=job["repeats"])
    finally:
        session.close()


def sliding(job: Job) -> dict[str, Any]:
    """One combination with MONAI's sliding windows."""
    import torch

    from napari_mrseg.bench.baselines import slide
    from napari_mrseg.bench.hardware import memory
    from napari_mrseg.inference.device import resolve_device, resolve_precision

    device = resolve_device(job["device"])
    dtype = torch.bfloat16 if resolve_precision(job["precision"], device) == "bf16" else torch.float32
    study = _study(job).only(job["combination"])
    found = slide(
        _model(job), study, job["way"], device=device, dtype=dtype, roi=job["roi"], windows=job["windows"]
    )
    return {"combination": list(job["combination"]), **found, **memory(device)}


def machine(job: Job) -> dict[str, Any]:
    """The machine and its peaks."""
    import torch

    from napari_mrseg.bench.hardware import describe, installed, peaks
    from napari_mrseg.inference.device import resolve_device, resolve_precision

    device = resolve_device(job["device"])
    dtype = torch.bfloat16 if resolve_precision(job["precision"], device) == "bf16" else torch.float32
    about = describe(device)  # before the work: it says how busy the machine is
    return {"machine": about, "versions": installed(), "peak": peaks(device, dtype, scale=job["scale"])}


KINDS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "one": one,
    "all": every,
    "waiting": waiting,
    "sliding": sliding,
    "machine": machine,
}


def _ready(job: Job) -> tuple[Any, Any, Callable[[], dict[str, Any]]]:
    from napari_mrseg.bench.hardware import memory
    from napari_mrseg.inference.engine import Engine

    study = _study(job)
    engine = Engine(_model(job), device=job["device"], precision=job["precision"])
    return engine, study, lambda: memory(engine.device)


def _study(job: Job) -> Any:
    from napari_mrseg.bench.synthetic import Subject

    return Subject.of(job["subject"]).open()


def _model(job: Job) -> Any:
    from napari_mrseg.models.store import load_model
    from napari_mrseg.tasks import get_task

    return load_model(Path(job["model"]), task=get_task(job["subject"]["task"]))


if __name__ == "__main__":
    sys.exit(serve(KINDS, sys.argv[1:]))
