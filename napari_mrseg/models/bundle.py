"""A MONAI bundle on disk -> a model folder. Nothing in the bundle is run: its configuration is read as plain JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from napari_mrseg.errors import InputError
from napari_mrseg.models.card import ModelCard, Validated
from napari_mrseg.models.foreign_weights import read_weights
from napari_mrseg.models.monai import NAMES, MonaiNetwork, MonaiSettings, least_stride, monai_network
from napari_mrseg.tasks import Task

METADATA = "configs/metadata.json"
CONFIGS = ("configs/inference.json", "configs/train.json", "configs/evaluate.json")
WEIGHTS = ("models/model.pt", "models/model.pth")
NETWORK = "network_def"
WINDOW = 128  # voxels, where the bundle does not say


def read_bundle(
    folder: Path,
    task: Task,
    *,
    name: str | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    axes: str = "LPS",
    spacing: float = 1.0,
) -> tuple[MonaiNetwork, ModelCard]:
    """The network of a bundle with its weights, and a card that says what it needs.

    ``inputs``: modalities of its channels, ``outputs``: regions of its outputs, in its own order; by default what
    ``metadata.json`` says. ``axes``: where the axes of its arrays point; ``spacing``: mm of its voxels. Its
    intensities are taken to be z-scores over what is not background, as MONAI's own bundles for brains are made.

    Raises InputError that names the file, what is wrong and the fix.
    """
    metadata = _json(folder / METADATA) if (folder / METADATA).is_file() else {}
    config_file = next((folder / c for c in CONFIGS if (folder / c).is_file()), None)
    if config_file is None:
        raise InputError(
            f"{folder.name} is no MONAI bundle: it has none of {', '.join(CONFIGS)}; give the bundle's folder."
        )
    config = _json(config_file)
    kind, arguments = _network(config, config_file)
    channels = _matched(
        inputs or _channel_names(metadata, "inputs"),
        {m.name: (m.name, m.title, *m.names) for m in task.modalities},
        "--inputs",
        folder,
    )
    regions = _matched(
        outputs or _channel_names(metadata, "outputs"),
        {r.name: (r.name, r.title) for r in task.regions},
        "--outputs",
        folder,
    )
    lacking = [r.name for r in task.regions if r.name not in regions]
    if lacking:
        raise InputError(f"{folder.name} has no output for {lacking[0]}, which the task {task.name} needs.")
    if len(task.channels) != len(task.names):
        raise InputError(f"The task {task.name} has colour channels, which bundles are not imported for.")
    try:
        settings = MonaiSettings(
            arguments=arguments,
            inputs=tuple(task.names.index(c) for c in channels),
            outputs=tuple(regions.index(r.name) for r in task.regions),
            axes=axes,
        )
    except ValidationError as error:
        raise InputError(f"--axes {axes}: {error.errors()[0]['msg']}; for example LPS or RAS.") from None
    settings = settings.model_copy(update={"stride": least_stride(kind, settings)})
    network = monai_network(kind)(settings)
    _load(network, folder)
    card = ModelCard(
        name=name or re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-.") or "bundle",
        version=re.sub(r"[^0-9A-Za-z.+-]", "", str(metadata.get("version", "0")))[:32] or "0",
        licence=str(metadata.get("license") or "not stated in its metadata: see the bundle"),
        task=task.name,
        modalities=task.names,
        regions=tuple(r.name for r in task.regions),
        needs=tuple(m for m in task.names if m in channels),
        normalisation={"name": "z-score"},
        validated=(
            Validated(spacing_mm=spacing, extents_max=_window(config, settings, network.stride, task)),
        ),
        trained_on=(str(metadata.get("data_source") or "not stated in its metadata"),),
        intended_use=f"Research only. {metadata.get('intended_use') or ''}".strip(),
        limitations=(
            "Imported from a MONAI bundle and not measured here: compare a result with the bundle's own before use. "
            f"Its arrays were taken to have the axes {axes}, its inputs to be {', '.join(channels)}, its outputs "
            f"{', '.join(regions)}."
        ),
    )
    return network, card


def _network(config: Mapping[str, Any], file: Path) -> tuple[str, dict[str, Any]]:
    """(``monai:NAME``, its arguments). Expressions that would have to be run are refused."""
    found = config.get(NETWORK)
    if not isinstance(found, dict) or "_target_" not in found:
        raise InputError(f"{file.name} has no “{NETWORK}” with a “_target_”; a bundle of another kind.")
    kind = str(found["_target_"]).rpartition(".")[2]
    if kind not in NAMES:
        raise InputError(f"{file.name}: the network {kind} is not among {', '.join(NAMES)}.")
    arguments = {k: _plain(v, config, file) for k, v in found.items() if not k.startswith("_")}
    return f"monai:{kind}", arguments


def _plain(value: Any, config: Mapping[str, Any], file: Path) -> Any:
    """``value`` with references to other plain values (``@key``) looked up."""
    if isinstance(value, list):
        return [_plain(v, config, file) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v, config, file) for k, v in value.items()}
    if isinstance(value, str) and value.startswith("@"):
        looked_up = config.get(value[1:])
        if looked_up is not None and not isinstance(looked_up, (dict, list)):
            return _plain(looked_up, {}, file)
    if isinstance(value, str) and value.startswith(("$", "@")):
        raise InputError(
            f"{file.name}: “{value[:60]}” would have to be run, which is not done; write its value instead."
        )
    return value


def _channel_names(metadata: Mapping[str, Any], side: str) -> list[str]:
    """Names of channels in order from ``network_data_format``; [] if it does not say."""
    try:
        (data,) = metadata["network_data_format"][side].values()
        names = data["channel_def"]
        return [str(names[key]) for key in sorted(names, key=int)]
    except (KeyError, TypeError, ValueError, AttributeError):
        return []


def _matched(
    names: Sequence[str], known: Mapping[str, Sequence[str]], option: str, folder: Path
) -> list[str]:
    """The task's names of what the bundle calls ``names``."""
    found = []
    for name in names:
        word = name.strip().lower().replace("tumor", "tumour")
        fits = [own for own, words in known.items() if word in [w.lower() for w in words]]
        if len(fits) != 1 or fits[0] in found:
            raise InputError(
                f"{folder.name}: what is the channel “{name}”? Say it with {option}, some of {','.join(known)}, in "
                "the bundle's order."
            )
        found += fits
    if not found:
        raise InputError(
            f"{folder.name} does not say what its channels are; say it with {option}, some of {','.join(known)}, in "
            "its order."
        )
    return found


def _window(
    config: Mapping[str, Any], settings: MonaiSettings, stride: tuple[int, int, int], task: Task
) -> tuple[int, ...]:
    """Extents of one window along our axes: the bundle's, else :data:`WINDOW`; multiples of the stride."""
    given = config.get("inferer", {}).get("roi_size") if isinstance(config.get("inferer"), dict) else None
    ours = [WINDOW] * 3
    if isinstance(given, list) and len(given) == 3 and all(isinstance(n, int) and n > 0 for n in given):
        ours = [given[settings.order.index(axis)] for axis in range(3)]
    return tuple(max(s, n - n % s) for n, s in zip(ours, stride, strict=True))[3 - task.ndim :]


def _load(network: MonaiNetwork, folder: Path) -> None:
    """Put the bundle's weights into the network. Raises InputError for weights that are not the network's."""
    file = next((folder / w for w in WEIGHTS if (folder / w).is_file()), None)
    if file is None:
        raise InputError(f"{folder.name} has no weights, {' or '.join(WEIGHTS)}; get the whole bundle.")
    state = read_weights(file, f"{file.name} of {folder.name}")
    own = network.network.state_dict()
    unknown = sorted(set(own) ^ set(state))
    shapes = [k for k in own if k in state and own[k].shape != state[k].shape]
    if unknown or shapes:
        raise InputError(
            f"{file.name} of {folder.name} does not fit the network of its configuration "
            f"({(unknown or shapes)[0]} differs); get the bundle again."
        )
    network.network.load_state_dict(state)


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file.name} cannot be read as JSON ({error}); get the bundle again.") from None
    if not isinstance(found, dict):
        raise InputError(f"{file.name} is not a JSON object; get the bundle again.")
    return found
