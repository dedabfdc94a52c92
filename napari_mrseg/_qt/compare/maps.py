"""Maps over the scan, as napari layers: agreement, entropy, and a modality's share in a region's probability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QObject, Signal

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg.compare.agreement import Agreement
from napari_mrseg.compare.attribution import CAVEAT, probability_map
from napari_mrseg.compare.colours import cividis
from napari_mrseg.compare.comparison import Comparison

Kind = Literal["agreement", "entropy", "attribution"]
Values = npt.NDArray[np.float32]

REACH = 0.5  # of probability: the ends of the attribution's colours
_FAINT = 0.005  # of probability: less is not drawn
_BAR = (16, 84)  # pixels
_CLEAR = (0.0, 0.0, 0.0, 0.0)

MEANING: dict[str, str] = {
    "agreement": "Share of the combinations that give the voxel's more common answer, in the region or not, from "
    "one half (dark blue: undecided) to 1 (yellow: all agree). Voxels that no combination marks are clear.",
    "entropy": "Entropy of the answers, in bits: 0 (clear) where all combinations agree, 1 (bright) where half of "
    "them mark the voxel.",
    "attribution": "Shapley value of the modality for the voxel's probability. Violet: it speaks for the region "
    f"there; white: against it. Summed over the modalities it is the probability that all of them give. {CAVEAT}",
}


@dataclass(frozen=True)
class Wanted:
    """A map: of which region, and for attribution of which modality."""

    kind: Kind
    region: str
    modality: str = ""


class Maps(QObject):
    """Up to one layer per kind, under the segmentation's outline.

    Each map is computed on a thread when it is switched on, and again when more combinations are there; a map of other
    results is marked stale until then, one of another subject taken away.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, dock: MrsegDock) -> None:
        super().__init__(dock)
        self.dock, self.viewer = dock, dock.viewer
        self.wanted: dict[Kind, Wanted] = {}
        self.layers: dict[Kind, Image] = {}
        self._comparison: Comparison | None = None
        self._subject = ""  # whose maps these are
        self._made: dict[Kind, tuple[Wanted, Comparison]] = {}
        self._filled = False  # the segmentation was, before it became an outline for the maps
        self._busy = False

    def close(self) -> None:
        self.wanted.clear()  # what still comes from a thread is not shown
        if not self.dock.closed:
            self._fill_again()
        for kind in list(self.layers):
            self._remove(kind)
        self.deleteLater()

    def show_comparison(self, comparison: Comparison | None) -> None:
        self._comparison = comparison
        subject = self.dock.session.subject
        if subject != self._subject:
            self._subject = subject
            for kind in list(self.layers):
                self._remove(kind)
        self.refresh()

    def show(self, wanted: Wanted) -> None:
        """Switch a map on, or over to another region or modality."""
        if not self.wanted and not self.dock.overlay_style.outline:
            self._filled = self.dock.overlay_style.outline = True
        self.wanted[wanted.kind] = wanted
        self.refresh()

    def hide(self, kind: Kind) -> None:
        self.wanted.pop(kind, None)
        self._fill_again()
        self.refresh()

    def _fill_again(self) -> None:
        """The last map is gone: the segmentation is drawn as it was."""
        if self._filled and not self.wanted:
            self._filled = self.dock.overlay_style.outline = False

    @property
    def working(self) -> bool:
        return self._busy

    def refresh(self) -> None:
        comparison = self._comparison
        for kind in list(self.layers):
            if kind not in self.wanted:
                self._remove(kind)
            elif self._is_stale(kind):
                self.layers[kind].name = self._stale_name(kind)
        if comparison is None or not comparison.predictions or self._busy:
            self.changed.emit()
            return
        todo = next((w for w in self.wanted.values() if self._is_stale(w.kind)), None)
        if todo is not None and (todo.kind != "attribution" or comparison.complete):
            self._busy = True
            BackgroundTask(
                lambda: (todo, comparison, _compute(comparison, todo)),
                done=self._arrived, failed=self._broke, parent=self,
            )  # fmt: skip
        self.changed.emit()

    def _is_stale(self, kind: Kind) -> bool:
        made = self._made.get(kind)
        if made is None or self.wanted.get(kind) != made[0] or self._comparison is None:
            return True
        new, old = self._comparison.predictions, made[1].predictions
        return len(new) != len(old) or any(old.get(c) is not p for c, p in new.items())

    def _stale_name(self, kind: Kind) -> str:
        name = str(self.layers[kind].name)
        return name if name.endswith("(STALE)") else f"{name} (STALE)"

    def _arrived(self, found: tuple[Wanted, Comparison, Values]) -> None:
        self._busy = False
        wanted, comparison, values = found
        fits = self._comparison is not None and comparison.study is self._comparison.study
        if fits and self.wanted.get(wanted.kind) == wanted:
            self._made[wanted.kind] = wanted, comparison
            self._draw(wanted, comparison, values)
        self.refresh()

    def _broke(self, sentence: str) -> None:
        self._busy = False
        self.wanted.clear()  # or it would be tried again at once
        self._fill_again()
        self.refresh()
        self.failed.emit(sentence)

    def _draw(self, wanted: Wanted, comparison: Comparison, values: Values) -> None:
        kind = wanted.kind
        layer = self.layers.get(kind)
        if layer is not None and layer in self.viewer.layers and layer.data.shape == values.shape:
            layer.data = values
        else:
            self._remove(kind)
            study = comparison.study
            layer = Image(
                values,
                name=kind,
                scale=study.grid.spacing[: values.ndim],
                units=study.task.world_unit,
                colormap=_COLOURS[kind](),
                contrast_limits=_LIMITS[kind],
                blending="translucent_no_depth",
                opacity=0.75,
                interpolation2d="nearest",
                metadata={"mrseg": {"map": kind}},
            )
            self.layers[kind] = self.viewer.add_layer(layer)
            self._put_below(layer)
            self._made[kind] = wanted, comparison
            bar = layer.colorbar
            bar.position, bar.size, bar.visible = (
                "bottom_left",
                _BAR,
                True,
            )  # clear of the orientation letters
        self.layers[kind].name = _name(wanted, comparison)
        self.layers[kind].metadata["mrseg"]["meaning"] = MEANING[kind]

    def _put_below(self, layer: Image) -> None:
        """The outline of the segmentation lies on the map, not under it."""
        layers, front = self.viewer.layers, self.dock.layers.front
        if front is not None and front in layers and layers.index(layer) > layers.index(front):
            layers.move(layers.index(layer), layers.index(front))

    def _remove(self, kind: Kind) -> None:
        layer = self.layers.pop(kind, None)
        self._made.pop(kind, None)
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)


def _compute(comparison: Comparison, wanted: Wanted) -> Values:
    """The map on the study's grid; nan where there is nothing to say, which napari leaves clear."""
    if wanted.kind == "attribution":
        values = probability_map(comparison, wanted.region, wanted.modality)
        values[np.abs(values) < _FAINT] = np.nan
        return values
    agreement = Agreement(comparison)
    if wanted.kind == "entropy":
        values = agreement.entropy(wanted.region)
        values[values == 0] = np.nan
        return values
    values = agreement.agreement(wanted.region)
    values[agreement.share(wanted.region) == 0] = np.nan
    return values


def _name(wanted: Wanted, comparison: Comparison) -> str:
    n = len(comparison.predictions)
    if wanted.kind == "agreement":
        return f"Agreement on {wanted.region}, share of {n} combinations"
    if wanted.kind == "entropy":
        return f"Entropy of {wanted.region}, bits, {n} combinations"
    title = comparison.task.modality(wanted.modality).title
    return f"What {title} adds to p({wanted.region}), Shapley value"


def _agreement_colours() -> Colormap:
    anchors = [(*(c / 255 for c in cividis(i / 16)), 1.0) for i in range(17)]
    return Colormap(anchors, name="mrseg agreement", nan_color=_CLEAR)


def _entropy_colours() -> Colormap:
    anchors = [
        (0.15, 0.03, 0.30, 0.35),
        (0.60, 0.16, 0.40, 0.85),
        (0.93, 0.41, 0.15, 1.0),
        (0.99, 0.99, 0.65, 1.0),
    ]
    return Colormap(anchors, name="mrseg entropy", nan_color=_CLEAR)


def _attribution_colours() -> Colormap:
    against, for_ = (1.0, 1.0, 1.0), (0.60, 0.35, 1.0)  # no label of any medical task has one
    anchors = [(*against, 1.0), (*against, 0.55), (0.5, 0.5, 0.5, 0.0), (*for_, 0.55), (*for_, 1.0)]
    return Colormap(anchors, name="mrseg attribution", nan_color=_CLEAR)


_COLOURS: dict[str, Callable[[], Any]] = {
    "agreement": _agreement_colours,
    "entropy": _entropy_colours,
    "attribution": _attribution_colours,
}
_LIMITS = {"agreement": (0.5, 1.0), "entropy": (0.0, 1.0), "attribution": (-REACH, REACH)}
