"""Two results in one picture: their difference, or one on each side of a line that can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.compare.live_comparison import LiveComparison
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.difference import BOTH, COLOURS, ONLY_A, ONLY_B, difference
from napari_mrseg.display import label_rgba, rgb
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Task

Mode = Literal["off", "difference", "split"]
Second = Combination | Literal["reference", "other model"]
REFERENCE: Literal["reference"] = "reference"
OTHER_MODEL: Literal["other model"] = "other model"  # the second model's answer to the modalities of A
_OTHER_SIDE, _LINE = 32, 255  # added to the codes right of the line; the code of the line itself


@dataclass(frozen=True)
class Pictured:
    """What the layer shows. ``sizes`` (of a difference): mL or px of only A, only B, both; ``dice`` of A and B."""

    study: Study
    subject: str  # identity of the study's files, degraded or not
    a: Combination
    b: Second
    mode: Mode
    region: str
    labels: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
    data: npt.NDArray[np.uint8]
    side: tuple[int, bool]  # axis across the screen, and whether its low end is on the left
    at: int  # voxel of the line along that axis
    sizes: Mapping[int, float]
    dice: Mapping[str, float] | None


class Pair(QObject):
    """Keeps one layer that shows row A, which is what is switched on, against row B.

    The layer's array is made on a thread; the newest request wins. While it is on, the dock's own overlay is
    hidden, and the canvas says which colour or side belongs to which combination.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, dock: MrsegDock, state: LiveComparison) -> None:
        super().__init__(dock)
        self.dock, self.viewer, self.state = dock, dock.viewer, state
        self.mode: Mode = "off"
        self.b: Second | None = None
        self.region = ""
        self.fraction = 0.5
        self.layer: Labels | None = None
        self.shown: Pictured | None = None
        self._busy = False
        self._again = False
        self._colours: dict[Any, DirectLabelColormap] = {}
        self.viewer.dims.events.order.connect(self._turned)
        self.viewer.scene.camera.events.orientation.connect(self._turned)
        dock.overlay_style.events.connect(self._follow_style)

    def close(self) -> None:
        self.viewer.dims.events.order.disconnect(self._turned)
        self.viewer.scene.camera.events.orientation.disconnect(self._turned)
        self.mode = "off"  # what still comes from a thread is not shown
        self._remove()
        self.dock.overlay_style.events.disconnect(self._follow_style)
        self.deleteLater()

    # -- requests -----------------------------------------------------------------------------------------

    def set_mode(self, mode: Mode) -> None:
        """Raises nothing: without a row B the mode waits for one."""
        if mode == self.mode:
            return
        self.mode = mode
        if mode == "off":
            self._remove()
        self.refresh()

    def set_second(self, b: Second | None) -> None:
        self.b = b
        self.refresh()

    def set_region(self, region: str) -> None:
        self.region = region
        self.refresh()

    def set_fraction(self, fraction: float) -> None:
        """Where the line stands, 0 at the left edge of the image and 1 at the right; only what changed is copied."""
        self.fraction = min(max(fraction, 0.0), 1.0)
        shown, layer = self.shown, self.layer
        if shown is None or layer is None or shown.mode != "split":
            return
        at = _line(shown.study.grid.shape, shown.side, self.fraction)
        if at != shown.at:
            _draw_split(shown.data, shown.labels, shown.side, at, since=shown.at)
            self.shown = Pictured(**{**shown.__dict__, "at": at})
            layer.refresh()

    def swap(self) -> None:
        """Row B becomes what is switched on, and row A what it is held against. A reference cannot be switched on."""
        a, b = self.a, self.b
        if b == REFERENCE:
            self.failed.emit(
                "The reference is no combination, so it stays on its side; choose another row B."
            )
        elif b == OTHER_MODEL:
            self.failed.emit(
                "The second model's answer stays on its side; choose the model itself in the dock."
            )
        elif a is not None and b is not None:
            self.b = a
            self.dock.attempt(lambda: self.state.session.use(b))
            self.refresh()

    @property
    def a(self) -> Combination | None:
        return self.state.session.combination or None

    def title(self, one: Second | None) -> str:
        comparison = self.state.comparison
        if one is None or comparison is None:
            return "none yet"
        if one == REFERENCE:
            return "reference"
        if one == OTHER_MODEL:
            return comparison.second.name if comparison.second is not None else "second model"
        return comparison.title(one)

    # -- the layer ----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring the layer up to date with the session, or mark it stale while that is not possible."""
        self.changed.emit()
        comparison, a, b = self.state.comparison, self.a, self.b
        subject = self.state.session.subject
        if self.shown is not None and self.shown.subject != subject:
            self._remove()
        if self.mode == "off" or comparison is None or a is None or b is None:
            self._name()
            return
        if a not in comparison.predictions or not _is_there(comparison, a, b):
            self._name()
            return
        if self._busy:
            self._again = True
            return
        self._busy = True
        region = self.region or comparison.task.regions[0].name
        mode, side, fraction = self.mode, self._side(comparison), self.fraction
        work = partial(_picture, comparison, subject, a, b, mode, region, side, fraction)
        BackgroundTask(work, done=self._made, failed=self._broke, parent=self)

    def _made(self, found: Pictured) -> None:
        self._busy = False
        wanted = self.mode, self.a, self.b
        if (found.mode, found.a, found.b) == wanted and found.study is self.state.session.study:
            self._show(found)
        if self._again:
            self._again = False
            self.refresh()

    def _broke(self, sentence: str) -> None:
        self._busy = self._again = False
        self.failed.emit(sentence)

    def _show(self, found: Pictured) -> None:
        self.shown = found
        if found.mode == "split":
            self.set_fraction(self.fraction)
        if (
            self.layer is None
            or self.layer not in self.viewer.layers
            or self.layer.data.shape != found.data.shape
        ):
            self._remove(keep=True)
            self.dock.overlay_style.visible = False
            self.layer = Labels(
                found.data,
                name="pair",
                scale=found.study.grid.spacing[: found.data.ndim],
                units=found.study.task.world_unit,
                colormap=self._colour_map(found),
                metadata={"mrseg": {"pair": True}},
            )
            self.viewer.add_layer(self.layer)
        else:
            self.layer.data = found.data
        self.layer.editable = False
        self.layer.features = _features(found, self.title)
        self._follow_style()
        self._name()
        self.changed.emit()

    def _follow_style(self, *_: Any) -> None:
        layer, shown = self.layer, self.shown
        if layer is None or shown is None:
            return
        colours = self._colour_map(shown)
        if layer.colormap is not colours:
            layer.colormap = colours
        layer.opacity = self.dock.overlay_style.opacity
        layer.contour = self.dock.overlay_style.contour

    def _name(self) -> None:
        """The layer's name and the words on the canvas."""
        layer, shown = self.layer, self.shown
        if layer is None or shown is None:
            self._say([])
            return
        stale = (shown.mode, shown.a, shown.b) != (self.mode, self.a, self.b)
        stale = stale or shown.study is not self.state.session.study
        a, b = self.title(shown.a), self.title(shown.b)
        if shown.mode == "difference":
            layer.name = f"Difference {shown.region}: {a} / {b}"
            words = [
                f"Difference in {shown.region}",
                f"orange: only A, {a}",
                f"blue: only B, {b}",
                "white: both",
            ]
        else:
            layer.name = f"Split: {a} | {b}"
            words = [f"left of the line: A, {a}", f"right of the line: B, {b}"]
        if stale:
            layer.name += " (STALE)"
            words[0] = f"STALE {words[0]}"
        self._say(words)

    def _say(self, words: list[str]) -> None:
        """On the canvas, before what the dock says there."""
        if self.dock.result.instead != words and not self.dock.closed:
            self.dock.result.instead = words
            self.dock.result.changed.emit()

    def _remove(self, keep: bool = False) -> None:
        """Take the layer away; unless ``keep``, also what it shows, and the dock's overlay comes back."""
        there = self.layer is not None
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)
        self.layer = None
        if not keep:
            self.shown = None
            self._say([])
            if there and not self.dock.closed:
                self.dock.overlay_style.visible = True

    def _turned(self, event: Any = None) -> None:
        if self.mode == "split" and self.shown is not None:
            self.refresh()

    def _side(self, comparison: Comparison) -> tuple[int, bool]:
        first = self.viewer.dims.ndim - len(comparison.study.grid.shape)
        axis = max(0, self.viewer.dims.displayed[-1] - first)
        return axis, str(self.viewer.scene.camera.orientation2d[1]) == "right"

    def _colour_map(self, found: Pictured) -> DirectLabelColormap:
        """Built once per look, because building one takes longer than a frame."""
        task, hidden = found.study.task, self.dock.overlay_style.hidden
        place = found.mode, hidden, _grey(task, found.a, found.a), _grey(task, found.b, found.a), task.name
        if place not in self._colours:
            self._colours[place] = (
                _difference_colours() if found.mode == "difference" else _split_colours(task, hidden, found)
            )
        return self._colours[place]


def _is_there(comparison: Comparison, a: Combination, b: Second) -> bool:
    """Whether the labels of row B are there to be shown."""
    if b == REFERENCE:
        return comparison.study.reference is not None
    if b == OTHER_MODEL:
        return comparison.second is not None and a in comparison.second.predictions
    return b in comparison.predictions


def _picture(
    comparison: Comparison,
    subject: str,
    a: Combination,
    b: Second,
    mode: Mode,
    region: str,
    side: tuple[int, bool],
    fraction: float,
) -> Pictured:
    study = comparison.study
    first = comparison.predictions[a].labels
    if b == REFERENCE:
        assert study.reference is not None
        second, dice = study.reference.labels, comparison.dice(a)
    elif b == OTHER_MODEL:
        assert comparison.second is not None
        second, dice = comparison.second.predictions[a].labels, comparison.between_models(a)
    else:
        second, dice = comparison.predictions[b].labels, comparison.between(a, b)
    at = _line(first.shape, side, fraction)
    sizes: dict[int, float] = {}
    if mode == "difference":
        data = difference(first, second, region, comparison.task)
        counts = np.bincount(data.ravel(), minlength=BOTH + 1)
        unit = study.grid.voxel_ml if comparison.task.ndim == 3 else 1.0
        sizes = {code: float(counts[code]) * unit for code in (ONLY_A, ONLY_B, BOTH)}
    else:
        data = np.empty(first.shape, dtype=np.uint8)
        _draw_split(data, (first, second), side, at)
    return Pictured(study, subject, a, b, mode, region, (first, second), data, side, at, sizes, dice)


def _line(shape: tuple[int, ...], side: tuple[int, bool], fraction: float) -> int:
    """Voxel of the line along the axis across the screen."""
    axis, low_is_left = side
    last = shape[axis] - 1
    at = round(fraction * last)
    return at if low_is_left else last - at


def _draw_split(
    data: npt.NDArray[np.uint8],
    labels: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
    side: tuple[int, bool],
    at: int,
    since: int | None = None,
) -> None:
    """Fill ``data`` with A on the left of voxel ``at`` and B on its right; with ``since`` only what changed."""
    axis, low_is_left = side
    low, high = (0, data.shape[axis]) if since is None else (min(at, since), max(at, since) + 1)
    left, right = labels
    for part, is_left in ((slice(low, at), low_is_left), (slice(at + 1, high), not low_is_left)):
        where = (slice(None),) * axis + (part,)
        codes = (left if is_left else right)[where]
        data[where] = codes if is_left else codes + (codes > 0) * np.uint8(_OTHER_SIDE)
    data[(slice(None),) * axis + (at,)] = _LINE


def _grey(task: Task, one: Second, a: Combination) -> frozenset[int]:
    """Codes that are only an estimate; the second model has the modalities of A."""
    if one == REFERENCE:
        return frozenset()
    return frozenset(label.code for label in task.estimated_labels(a if one == OTHER_MODEL else one))


def _difference_colours() -> DirectLabelColormap:
    colours: dict[int | None, Any] = {None: np.zeros(4), 0: np.zeros(4)}
    for code, colour in COLOURS.items():
        colours[code] = np.array([*rgb(colour), 1.0])
    return DirectLabelColormap(color_dict=colours)


def _split_colours(task: Task, hidden: frozenset[int], found: Pictured) -> DirectLabelColormap:
    left = label_rgba(task, hidden, _grey(task, found.a, found.a))
    right = label_rgba(task, hidden, _grey(task, found.b, found.a))
    both: dict[int | None, Any] = {code + _OTHER_SIDE: colour for code, colour in right.items() if code}
    return DirectLabelColormap(color_dict={**both, **left, _LINE: np.ones(4)})


def _features(found: Pictured, title: Callable[[Second], str]) -> dict[str, list[Any]]:
    """What the status bar says about a voxel."""
    if found.mode == "difference":
        both = f"both call it {found.region}"
        return {
            "index": [0, ONLY_A, ONLY_B, BOTH],
            "region": ["neither", f"only {title(found.a)}", f"only {title(found.b)}", both],
        }
    names = [(0, "none"), (_LINE, "the line")]
    for label in found.study.task.labels:
        names.append((label.code, f"{label.name} ({title(found.a)})"))
        names.append((label.code + _OTHER_SIDE, f"{label.name} ({title(found.b)})"))
    return {"index": [code for code, _ in names], "region": [name for _, name in names]}
