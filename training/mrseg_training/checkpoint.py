"""Checkpoints: one safetensors file with weights, optimiser, random states, and the rest as JSON in its header."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from mrseg_training.atomic import write_atomically
from mrseg_training.average import Average
from napari_mrseg.errors import ModelError

MOST_KEPT = 2
_NAME = re.compile(r"step-(\d{8})\.safetensors")


@dataclass(frozen=True)
class State:
    """What a checkpoint holds beside tensors.

    ``step``: steps done, which is also the position in the data; ``seconds``: how long they took.
    """

    step: int
    config: str
    best: float | None = None
    previous: str | None = None
    seconds: float = 0.0

    def header(self) -> dict[str, Any]:
        return asdict(self)


def save_checkpoint(
    folder: Path,
    network: nn.Module,
    optimizer: Optimizer,
    state: State,
    average: Average | None = None,
    *,
    best: bool = False,
) -> Path:
    """Write ``step-XXXXXXXX.safetensors`` atomically, keep the last two; ``best`` also as best.safetensors.

    Raises ModelError for weights that are not finite, before anything is written; InputError if the disk is full.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"The weights {name} are not finite at step {state.step}, so nothing was saved; resume from the "
                "last checkpoint with a lower learning rate."
            )
        tensors[f"model.{name}"] = value.detach().cpu().contiguous()
    header: dict[str, Any] = state.header()
    if average is not None:
        tensors |= {f"average.{name}": value.cpu().contiguous() for name, value in average.values.items()}
        header["averaged"] = average.steps
    optimizer_state = optimizer.state_dict()
    for index, entry in optimizer_state["state"].items():
        for key, value in entry.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value).detach().cpu().contiguous()
    header["groups"] = optimizer_state["param_groups"]
    random_tensors, header["random"] = _random_states()
    tensors |= random_tensors
    content = save({name: value.clone() for name, value in tensors.items()}, {"state": json.dumps(header)})
    path = checkpoint_of(folder, state.step)
    write_atomically(path, content)
    if best:
        write_atomically(folder / "best.safetensors", content)
    for old in checkpoints(folder)[:-MOST_KEPT]:
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in ``folder``, oldest first."""
    found = folder.glob("step-*.safetensors") if folder.is_dir() else []
    return sorted(path for path in found if _NAME.fullmatch(path.name))


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in ``folder`` that can be read."""
    for path in reversed(checkpoints(folder)):
        try:
            with safe_open(path, "pt") as file:
                file.metadata()
            return path
        except (SafetensorError, OSError):
            continue
    return None


def checkpoint_of(folder: Path, step: int) -> Path:
    """The file that :func:`save_checkpoint` writes for ``step``."""
    return folder / f"step-{step:08d}.safetensors"


def load_weights(path: Path) -> dict[str, Tensor]:
    """The network's weights in a checkpoint, averaged where an average was kept. Raises ModelError if it is damaged."""
    tensors, header = _tensors(path)
    prefix = "average." if "averaged" in header else "model."
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def load_checkpoint(
    path: Path, network: nn.Module, optimizer: Optimizer, average: Average | None = None
) -> State:
    """Put everything back as it was, random states included. Raises ModelError if it is damaged or does not fit."""
    tensors, header = _tensors(path)
    weights = {n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")}
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            entries.setdefault(int(index), {})[key] = value
    try:
        network.load_state_dict(weights)
        optimizer.load_state_dict({"state": entries, "param_groups": header["groups"]})
        if average is not None:
            average.steps = header["averaged"]
            for name, value in average.values.items():
                value.copy_(tensors[f"average.{name}"])
        _restore_random(tensors, header["random"])
        return State(*(header[field.name] for field in fields(State)))
    except (RuntimeError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(
            f"{path.name} does not fit this run ({first}); train with the settings it was made with."
        ) from None


def _tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, KeyError, ValueError):
        raise ModelError(
            f"{path.name} is not a checkpoint or is damaged; remove it to resume from the one before."
        ) from None


def _random_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """States of the generators of Python, NumPy and PyTorch (every GPU): tensors, and the rest as JSON."""
    version, numbers, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state(legacy=True)
    tensors = {
        "random.torch": torch.get_rng_state(),
        "random.numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "random.python": torch.tensor(numbers, dtype=torch.int64),
    }
    if torch.cuda.is_available():
        for device, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"random.cuda.{device}"] = state
    rest = {"python": [version, gauss], "numpy": [kind, int(place), int(has_gauss), float(cached)]}
    return tensors, rest


def _restore_random(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
    torch.set_rng_state(tensors["random.torch"])
    version, gauss = rest["python"]
    random.setstate((version, tuple(tensors["random.python"].tolist()), gauss))
    kind, place, has_gauss, cached = rest["numpy"]
    keys = tensors["random.numpy"].numpy().astype(np.uint32)
    np.random.set_state((kind, keys, place, has_gauss, cached))
    for device in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"random.cuda.{device}" in tensors:
            torch.cuda.set_rng_state(tensors[f"random.cuda.{device}"], device)
