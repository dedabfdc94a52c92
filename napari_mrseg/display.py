"""How a study and its results are named, coloured and windowed, in whatever shows them. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Task

RESEARCH_USE = "research use only"
SQUARE_MM = 20.0  # of a checkerboard
_CLEAR = (0.0, 0.0, 0.0, 0.0)


def contrast_limits(data: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Window from dark tissue to bright: percentiles 1 and 99.5 of the voxels above the background."""
    sample = data[(slice(None, None, 3),) * data.ndim]
    sample = sample[sample > sample.min()]
    if sample.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(sample, (1, 99.5)))
    low = min(low, 0.0) if low > 0 and low < 0.2 * high else low
    return (low, high) if high > low else (low, low + 1.0)


# -- names ------------------------------------------------------------------------------------------------


def titles(task: Task, combination: Iterable[str]) -> str:
    """FLAIR + T1ce."""
    return " + ".join(task.modality(name).title for name in combination)


def image_title(study: Study, name: str) -> str:
    """FLAIR; of what was measured, with its unit where its values can be in it: Depth (mm)."""
    modality, image = study.task.modality(name), study.images[name]
    if "unit" in image.source.header:
        unit = image.source.header["unit"]
        return f"{modality.title} ({unit})" if unit else modality.title
    for stored, unit, most in modality.units:
        if image.source.header.get("stored") == stored:
            some = image.data[..., ::7, ::7]
            seen = some[some > 0]
            return f"{modality.title} ({unit})" if seen.size and np.median(seen) <= most else modality.title
    return modality.title


def numbered(task: Task, combination: Combination) -> str:
    """Combination 7 of 15: FLAIR + T1ce."""
    everything = task.combinations()
    return (
        f"combination {everything.index(combination) + 1} of {len(everything)}: {titles(task, combination)}"
    )


def model_name(model: Mapping[str, str]) -> str:
    return f"model {model['name']} {model['version']}"


def words_of(
    task: Task,
    study: Study | None,
    combination: Combination,
    shown: Prediction | None,
    *,
    stale: bool = False,
    running: bool = False,
    refusal: str | None = None,
) -> list[str]:
    """The parts of the line that says what is on screen: combination, model, preview or final, device.

    ``shown`` is drawn, ``combination`` is switched on; while ``stale`` the first is not of the second. ``refusal``: why
    the model has no answer for it.
    """
    if study is None:
        return ["No study open", RESEARCH_USE]
    parts = [task.made_up] if study.simulated else []
    if not combination:
        return [*parts, "all modalities are off: nothing to segment", RESEARCH_USE]
    if refusal is not None:
        return [*parts, refusal.rstrip("."), RESEARCH_USE]
    if shown is None:
        return [*parts, f"{titles(task, combination)}: no segmentation yet", RESEARCH_USE]
    parts.append(numbered(task, shown.combination))
    parts += [note.message.rstrip(".") for note in shown.notes if note.code == "degraded"]
    parts.append(model_name(shown.model))
    parts.append(f"{'preview' if shown.preview else 'final'} at {shown.spacing:g} {task.length_unit}")
    parts.append(f"{shown.device} {shown.precision}, {shown.seconds:.1f} s")
    if stale:
        wait = "computing" if running else "not computed"
        parts.insert(0, f"STALE: {titles(task, combination)} {wait}")
    return [*parts, RESEARCH_USE]


def label_names(task: Task) -> dict[str, list[Any]]:
    """A table by label code, as napari's ``features``: what the status bar calls the voxel under the pointer."""
    return {
        "index": [0, *(label.code for label in task.labels)],
        "region": ["none", *(f"{label.name}, {label.title}" for label in task.labels)],
    }


# -- colours ----------------------------------------------------------------------------------------------


def estimated_codes(shown: Prediction) -> frozenset[int]:
    """Codes of the labels whose border depends on a modality that is off."""
    return frozenset(label.code for label in shown.task.estimated_labels(shown.combination))


def label_rgba(
    task: Task, hidden: Iterable[int] = (), estimated: Iterable[int] = ()
) -> dict[int | None, npt.NDArray[np.float64]]:
    """RGBA in [0, 1] by code: ``hidden`` transparent, ``estimated`` greyed; None for any other code."""
    colours: dict[int | None, npt.NDArray[np.float64]] = {None: np.array(_CLEAR), 0: np.array(_CLEAR)}
    for label in task.labels:
        colour = np.array([*rgb(label.colour), 1.0])
        if label.code in set(estimated):
            colour[:3] = greyed(colour[:3])
        colours[label.code] = np.array(_CLEAR) if label.code in set(hidden) else colour
    return colours


def rgb(colour: str) -> tuple[float, float, float]:
    """``#rrggbb`` as fractions."""
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def greyed(colour: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The colour of an estimate: mostly grey, with enough hue left to tell it from the scan below."""
    light = float(colour @ np.array([0.2126, 0.7152, 0.0722]))
    grey = 0.3 + 0.5 * light
    return 0.35 * colour + 0.65 * grey


def checkerboard(study: Study, name: str) -> tuple[str, npt.NDArray[np.float32]] | None:
    """(the modality beneath, (I, P, L) in [0, 1]): squares of both in turn, for a scan that was resampled or moved.

    None for one that lies as it did. Where the head's lines run on from square to square, the scans fit.
    """
    image = study.images[name]
    beneath = next((n for n, i in study.images.items() if i.source.placed is None), None)
    if image.source.placed is None or beneath is None:
        return None
    both = []
    for one in (study.images[beneath], image):
        low, high = contrast_limits(one.data)
        both.append(np.clip((one.data - low) / max(high - low, 1e-6), 0, 1).astype(np.float32))
    squares = [
        (np.arange(n) * mm // SQUARE_MM).astype(int)
        for n, mm in zip(image.data.shape, study.grid.spacing, strict=True)
    ]
    odd = (squares[0][:, None, None] + squares[1][:, None] + squares[2]) % 2 == 1
    return beneath, np.where(odd, both[1], both[0])
