"""Studies and predictions as notebooks show them: one picture, and what is to be known about it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.drawing import Pixels, data_uri
from napari_mrseg.display import (
    RESEARCH_USE,
    contrast_limits,
    estimated_codes,
    image_title,
    label_rgba,
    titles,
)
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.study import Grid, Study, joined
from napari_mrseg.tasks import Task, sized

HEIGHT = 200  # pixels of a picture
OPACITY = 0.5  # of labels on a scan
_GAP = 4


def study_html(study: Study) -> str:
    """One slice of every modality, the reference on the last picture: the slice with most of it, or the middle."""
    labels = None if study.reference is None else study.reference.labels
    index = _best_slice(labels, study.grid)
    scans = [_grey(image.data, index) for image in study.images.values()]
    names = [image_title(study, name) for name in study.images]
    if labels is not None:
        scans.append(_painted(scans[-1], labels[index], study.task))
        names.append("reference")
    return _html(
        repr(study),
        [_scaled(scan, study.grid) for scan in scans],
        f"{_place(study.task, study.grid, index)}: {', '.join(names)}",
        [note.message for note in joined(study.notes)],
        study.task.made_up if study.simulated else "",
    )


def prediction_html(prediction: Prediction) -> str:
    """The slice with most of the segmentation on its scan, or on black once nobody keeps the scan."""
    task, grid = prediction.task, prediction.grid
    image = None if prediction.scan is None else prediction.scan()
    index = _best_slice(prediction.labels, grid)
    black = np.zeros((*grid.shape[1:], 3), np.uint8)
    scan = black if image is None else _grey(image.data, index)
    estimated = estimated_codes(prediction)
    painted = _painted(scan, prediction.labels[index], task, estimated, OPACITY if image is not None else 1.0)
    sizes = ", ".join(
        f"{region.title} ({region.name}) {sized(prediction.sizes[region.name], task.unit)} {task.unit}"
        + (f", {region.unseen}" if region in task.estimated(prediction.combination) else "")
        for region in task.regions
        if task.ndim == 3 or prediction.sizes[region.name]
    )
    there = np.unique(prediction.labels[index])
    legend = "".join(
        f'<span style="color:{label.colour}">\u25a0</span> {escape(label.title)} '
        for label in task.labels
        if label.code in there and label.code not in estimated
    )
    shown = [painted] if image is None else [scan, painted]
    words = f"{_place(task, grid, index)}: {titles(task, prediction.combination)}. {sizes}"
    notes = [note.message for note in joined(prediction.notes)]
    return _html(repr(prediction), [_scaled(one, grid) for one in shown], words, notes, legend=legend)


def _best_slice(labels: npt.NDArray[np.uint8] | None, grid: Grid) -> int:
    """Index along axis I of the largest cross-section; the middle where there is none."""
    counts = np.zeros(1) if labels is None else np.count_nonzero(labels, axis=(1, 2))
    return int(counts.argmax()) if counts.any() else grid.shape[0] // 2


def _grey(data: npt.NDArray[np.float32], index: int) -> Pixels:
    """(P, L, 3) pixels of one slice, windowed as the viewer does; a colour image as it is."""
    if data.ndim == 4:
        result: Pixels = np.clip(data[index], 0, 255).astype(np.uint8)
        return result
    low, high = contrast_limits(data)
    grey = np.clip((data[index] - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _painted(
    scan: Pixels,
    labels: npt.NDArray[np.uint8],
    task: Task,
    estimated: Iterable[int] = (),
    opacity: float = OPACITY,
) -> Pixels:
    """``scan`` (P, L, 3) under the colours of ``labels`` (P, L)."""
    found = scan.astype(np.float32)
    for code, colour in label_rgba(task, estimated=estimated).items():
        if code:
            inside = labels == code
            found[inside] = (1 - opacity) * found[inside] + opacity * 255 * colour[:3].astype(np.float32)
    return found.round().astype(np.uint8)


def _scaled(pixels: Pixels, grid: Grid) -> Pixels:
    """:data:`HEIGHT` pixels high, with square pixels: thick slices keep their proportions."""
    rows, columns = pixels.shape[:2]
    width = max(1, round(HEIGHT * columns * grid.spacing[2] / (rows * grid.spacing[1])))
    places = [((np.arange(n) + 0.5) * old / n).astype(int) for n, old in ((HEIGHT, rows), (width, columns))]
    return np.ascontiguousarray(pixels[np.ix_(*places)])


def _place(task: Task, grid: Grid, index: int) -> str:
    if task.ndim == 2:
        return "frame" if grid.shape[0] == 1 else f"frame {index + 1} of {grid.shape[0]}"
    return f"axial slice {index + 1} of {grid.shape[0]}, the patient's right on the left"


def _html(
    title: str, pictures: list[Pixels], words: str, notes: list[str], made_up: str = "", legend: str = ""
) -> str:
    gap = np.full((HEIGHT, _GAP, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (picture, gap)][:-1]
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<div><strong>{escape(title.strip('<>'))}</strong><br>"
        f'<img src="{data_uri(np.concatenate(row, axis=1))}" alt="{escape(words)}" style="max-width:100%"><br>'
        f"{legend}{'<br>' * bool(legend)}{escape(words)}"
        + (f"<ul>{items}</ul>" if items else "<br>")
        + f"<em>{escape('; '.join(filter(None, (made_up, RESEARCH_USE))))}</em></div>"
    )
