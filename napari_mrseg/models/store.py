"""Model folders: ``model.json`` (the card) and ``weights.safetensors``. Loading one runs no code from it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from platformdirs import user_data_path
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as format_tensors
from torch import Tensor

from napari_mrseg.errors import InputError, ModelError, UnknownModelError
from napari_mrseg.models.card import CARD, Architecture, ModelCard, Validated
from napari_mrseg.models.network import OWN, Network, find_network
from napari_mrseg.tasks import TASKS, Task, document_of, get_task

WEIGHTS = "weights.safetensors"
LARGEST_CARD = 2**20  # bytes
LARGEST_WEIGHTS = 2**32  # bytes
BUNDLED = Path(__file__).parent.parent / "resources" / "models"

__all__ = [
    "About", "Installed", "Model", "ModelCard", "Validated", "add_model", "install_model", "list_models", "load_model",
    "save_model", "user_folder", "verify_model",
]  # fmt: skip

_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_FIX = "get the folder again from where it came"


@dataclass(frozen=True, eq=False)
class About:
    """What is known of a model wherever its network is. ``sha256`` is the weights'."""

    card: ModelCard
    sha256: str

    @property
    def task(self) -> Task:
        return get_task(self.card.task)

    @property
    def info(self) -> dict[str, str]:
        """What results say about the model that made them."""
        return {"name": self.card.name, "version": self.card.version, "sha256": self.sha256}


@dataclass(frozen=True, eq=False)
class Model(About):
    """A loaded model folder. ``network`` is in eval mode, float32, on the CPU."""

    network: Network
    folder: Path


class Installed(NamedTuple):
    """A model that can be asked for by name. The folder is not checked yet."""

    name: str
    folder: Path
    bundled: bool


def user_folder() -> Path:
    """Where :func:`add_model` puts models: ``MRSEG_MODELS``, else the user's data folder."""
    chosen = os.environ.get("MRSEG_MODELS")
    return Path(chosen).expanduser() if chosen else user_data_path("napari-mrseg") / "models"


def list_models(task: Task | None = None) -> list[Installed]:
    """Bundled models, then the user's, each by name; those for ``task``, as far as their cards can be read."""
    found: dict[str, Installed] = {}
    for root, bundled in ((BUNDLED, True), (user_folder(), False)):
        for card in sorted(root.glob(f"*/{CARD}")):
            # Names that start with a dot are half-written copies.
            if not card.parent.name.startswith("."):
                found.setdefault(card.parent.name, Installed(card.parent.name, card.parent, bundled))
    return [model for model in found.values() if task is None or _is_for(model.folder, task)]


def _is_for(folder: Path, task: Task) -> bool:
    """Whether the card says so; a damaged one is listed everywhere, and refused with a reason when it is chosen."""
    try:
        return task.name in _tasks(folder)
    except ModelError:
        return True


def _tasks(folder: Path) -> tuple[str, ...]:
    """Those that the card says it answers."""
    card = _read_card(folder)
    if card.architecture.name in OWN and not find_network(card.architecture.name).segments:
        return ()
    return (card.task, *card.also)


def load_model(
    name_or_path: str | Path | None = None, *, task: Task | None = None, segments: bool = True
) -> Model:
    """The model of that name, or in that folder; None: the bundled one for ``task`` (default: any task).

    ``segments``: whether it must be one that segments. Raises UnknownModelError if there is none, ModelError if it is
    damaged, is for another task or does not do what it must, InputError for a file of another format.
    """
    model = _load(_find(name_or_path, task))
    if segments and not model.network.segments:
        raise ModelError(f"{model.card.name} imagines modalities and segments nothing; choose another model.")
    if task is not None and task.name in model.card.also:
        return replace(model, card=model.card.for_task(task.name))
    if task is not None and model.card.task != task.name:
        raise ModelError(
            f"{model.card.name} is a model for the task {model.card.task}, not {task.name}; "
            "choose another model."
        )
    return model


def verify_model(folder: str | Path) -> None:
    """Raises what :func:`load_model` raises, if the folder cannot be used; else returns."""
    load_model(Path(folder), segments=False)


def add_model(folder: str | Path, overwrite: bool = False) -> Path:
    """Check a model folder and copy its card and weights among the user's models. Returns the new folder.

    Raises as :func:`load_model`, and InputError if a model of that name is there already.
    """
    model = _load(_find(Path(folder), None))
    # From the checked network, not from the files: they may have changed meanwhile.
    return install_model(model.network, model.card, overwrite=overwrite)


def install_model(network: Network, card: ModelCard, overwrite: bool = False) -> Path:
    """Put a model among the user's. Returns its folder. Raises InputError if one of that name is there already."""
    if (BUNDLED / card.name).exists():
        raise InputError(f"A bundled model is called “{card.name}”; give this one another name.")
    target = user_folder() / card.name
    if target.exists() and not overwrite:
        raise InputError(f"A model “{card.name}” is there already; use --overwrite to replace it.")
    return save_model(target, network, card)


def save_model(folder: str | Path, network: Network, card: ModelCard) -> Path:
    """Write a model folder, replacing an older one only when the new one is complete. Returns ``folder``.

    The card's ``architecture`` and ``sha256`` are taken from the network, its ``task_definition`` from its task. Raises
    ModelError for weights that are not finite, InputError if ``folder`` holds something that is not a model or cannot
    be written.
    """
    folder = Path(folder)
    # A network frozen, cast or laid out for speed is saved as the plain one.
    kind = _DTYPES[card.stored]
    tensors = {
        name: (t.detach().cpu().to(kind) if t.is_floating_point() else t.detach().cpu()).contiguous()
        for name, t in network.state_dict().items()
    }
    for name, tensor in tensors.items():
        if not _finite(tensor):
            raise ModelError(
                f"{folder.name}: the weights “{name}” are not finite, so nothing was saved; go back to an "
                "earlier checkpoint."
            )
    weights = format_tensors(tensors, metadata={"format": "pt"})
    architecture = Architecture(name=network.architecture, settings=network.settings.model_dump(mode="json"))
    update: dict[str, object] = {"architecture": architecture, "sha256": hashlib.sha256(weights).hexdigest()}
    if card.task not in TASKS.built_in:
        update["task_definition"] = document_of(get_task(card.task))
    text = json.dumps(card.model_copy(update=update).model_dump(mode="json"), indent=2, ensure_ascii=False)
    if folder.exists() and not (folder / CARD).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder.name} is there already and is not a model folder; choose another place.")
    try:
        _write_folder(folder, {WEIGHTS: weights, CARD: (text + "\n").encode()})
    except OSError as error:
        raise InputError(
            f"{folder.name}: cannot be written ({error.strerror}); choose another place."
        ) from None
    return folder


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files into a hidden neighbour, then let it take the folder's place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        new, old = hidden / "new", hidden / "old"
        new.mkdir()
        for name, content in files.items():
            with open(new / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _find(asked: str | Path | None, task: Task | None) -> Path:
    """The folder that is meant. A name goes before a folder of that name in the current directory."""
    models = list_models()
    if asked is None:
        for model in models:
            if model.bundled and (task is None or task.name in _tasks(model.folder)):
                return model.folder
        wanted = f" for the task {task.name}" if task else ""
        raise UnknownModelError(f"No model{wanted} is bundled; name one of {_known(models)}, or a folder.")
    if isinstance(asked, str):
        for model in models:
            if model.name == asked:
                return model.folder
    path = Path(asked).expanduser()
    if path.name in (CARD, WEIGHTS) and path.is_file():
        path = path.parent
    if (path / CARD).exists() or (path / WEIGHTS).exists():
        return path.resolve()
    if path.is_file():
        raise InputError(
            f"{path.name} is not a model folder, and pickled checkpoints (.pt, .pth, .ckpt) are not opened "
            f"since they can run code; give a folder with {CARD} and {WEIGHTS}, or make one: mrseg models import "
            "FILE --as NETWORK."
        )
    if path.is_dir():
        raise UnknownModelError(
            f"{path.resolve().name or path} is no model folder, it has no {CARD}; known: {_known(models)}."
        )
    raise UnknownModelError(f"Unknown model “{asked}”; known: {_known(models)}, or give a model's folder.")


def _known(models: list[Installed]) -> str:
    return ", ".join(m.name for m in models) or "none installed"


def _load(folder: Path) -> Model:
    card = _read_card(folder)
    network_type, settings = _network(folder, card)
    content = _read(folder / WEIGHTS, LARGEST_WEIGHTS)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card.sha256:
        _damaged(folder / WEIGHTS, f"the content does not match the sha256 in {CARD}")
    try:
        tensors = parse_tensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        _damaged(folder / WEIGHTS, f"it is not a safetensors file ({error})")
    # First without memory: a card must not make a large network that its weights do not fill.
    try:
        with torch.device("meta"):
            empty = network_type(settings)
    except InputError as error:
        _damaged(folder / CARD, f"architecture.settings: {error}")
    _check_extents(folder / CARD, card, empty)
    _compare(folder / WEIGHTS, tensors, empty.state_dict(), _DTYPES[card.stored])
    with torch.random.fork_rng(devices=[]):  # loading leaves the caller's random numbers alone
        network = network_type(settings)
    network.load_state_dict(tensors)
    return Model(card, sha256, network.eval(), folder)


def _read_card(folder: Path) -> ModelCard:
    path = folder / CARD
    content = _read(path, LARGEST_CARD)
    try:
        data = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _damaged(path, f"it is not readable as JSON ({error})")
    try:
        return ModelCard.model_validate(data)
    except ValidationError as error:
        _damaged(path, _first(error))


def _network(folder: Path, card: ModelCard) -> tuple[type[Network], BaseModel]:
    """The network of the card, and its settings."""
    try:
        network = find_network(card.architecture.name)
        settings = network.settings_type.model_validate(card.architecture.settings)
    except InputError as error:
        raise ModelError(f"{folder.name}/{CARD}: {error}") from None
    except ValidationError as error:
        _damaged(folder / CARD, "architecture.settings: " + _first(error))
    why = network.refuse(settings, len(get_task(card.task).channels), len(card.regions))
    if why is not None:
        _damaged(folder / CARD, f"{why} ({card.task})")
    return network, settings


def _check_extents(path: Path, card: ModelCard, network: Network) -> None:
    for validated in card.validated:
        strides = network.stride[3 - len(validated.extents_max) :]
        if any(n % stride for n, stride in zip(validated.extents_max, strides, strict=True)):
            _damaged(path, f"extents_max must be multiples of {', '.join(str(n) for n in strides)}")
        if network.window is not None and validated.extents_max != network.window:
            _damaged(path, f"extents_max must be {network.window}, the windows of its network")


def _compare(
    path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor], stored: torch.dtype
) -> None:
    """Names, shapes, dtypes and finiteness of the weights against the network and the precision of the card."""
    for name in expected:
        if name not in tensors:
            _damaged(path, f"the tensor “{name}” is missing")
    for name, tensor in tensors.items():
        if name not in expected:
            _damaged(path, f"the tensor “{name[:80]}” does not belong to the network of the card")
        if tensor.shape != expected[name].shape:
            _damaged(
                path,
                f"the tensor “{name}” has the shape {tuple(tensor.shape)}, not {tuple(expected[name].shape)}",
            )
        wanted = stored if expected[name].is_floating_point() else expected[name].dtype
        if tensor.dtype != wanted:
            _damaged(path, f"the tensor “{name}” is {tensor.dtype}, not {wanted}")
        if not _finite(tensor):
            _damaged(path, f"the tensor “{name}” has values that are not finite")


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _read(path: Path, largest: int) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(largest + 1)
    except FileNotFoundError:
        _damaged(path, "the file is missing")
    except OSError as error:
        _damaged(path, f"it cannot be read ({error.strerror})")
    if len(content) > largest:
        _damaged(path, f"it is larger than {largest // 2**20} MB")
    return content


def _damaged(path: Path, what: str) -> NoReturn:
    what = re.sub(r"\s+", " ", what).rstrip(".")
    raise ModelError(f"{path.parent.name}/{path.name}: {what}; {_FIX}.")


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number in JSON")


def _first(error: ValidationError) -> str:
    """The first complaint in a few words, e.g. "colour: unknown key"."""
    item = error.errors()[0]
    where = ".".join(str(part) for part in item["loc"])
    what = {"extra_forbidden": "unknown key", "missing": "missing key"}.get(item["type"])
    what = what or item["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
