"""An imagined scan in the window: drawn above the scans, in place of them, and never without its mark."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_mrseg._qt.about import STUDYS
from napari_mrseg._qt.garbage import spared
from napari_mrseg._qt.imagining_panel import VEIL, ImaginingPanel
from napari_mrseg._qt.one_draw import set_visible, undrawn
from napari_mrseg._qt.rays import draw_quickly
from napari_mrseg.session.live_imagining import LIMITS, MOST, Imagining, Pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_mrseg._qt.host import Host
    from napari_mrseg._qt.modalities import ModalityList

# Short names: napari's list of colour maps is as wide as the longest, in every window from then on.
_DIFFERENCE = Colormap([[0.25, 0.6, 1, 1], [0, 0, 0, 1], [1, 0.6, 0.1, 1]], name="difference")
_PAUSE = 20  # ms between two layers, for the window to answer
_VEIL = Colormap([[0.75, 0.35, 1, 0], [0.75, 0.35, 1, 0.5]], name="veil")


def mark_in_capitals(mark: str) -> str:
    """The mark of what is imagined, as it is written on pictures: "IMAGINED T1ce from FLAIR + T2: not a scan"."""
    return f"IMAGINED {mark.replace(' imagined', '', 1)}"


class ImaginingView(QObject):
    """Draws what :class:`Imagining` imagines, and passes the user's requests on to it.

    ``ready`` says no while the window does not yet show the session's study. The layers are the study's, and go with
    it; none of them names a file or a modality, so that nothing can be opened, computed or windowed from one.
    """

    _noted = Signal()
    _failed = Signal(str)

    def __init__(
        self,
        dock: Host,
        modalities: ModalityList,
        panel: ImaginingPanel,
        ready: Callable[[], bool],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._dock, self._modalities, self.panel, self._ready = dock, modalities, panel, ready
        self.core = Imagining(dock.session)
        self.layer: Image | None = None
        self.real: Image | None = None
        self.veil: Image | None = None
        self.drawn: Pictures | None = None  # what the layers show
        self._moving = False  # while we put layers in and out ourselves
        self._next_turn = QTimer(self)
        self._next_turn.setSingleShot(True)
        self._next_turn.setInterval(_PAUSE)
        self._next_turn.timeout.connect(self.refresh)
        self._noted.connect(self.refresh, Qt.ConnectionType.QueuedConnection)
        self._failed.connect(dock.say, Qt.ConnectionType.QueuedConnection)
        self.core.changed.connect(self._note)
        self.core.failed.connect(self._note_failure)
        modalities.imagine.connect(self.choose)
        modalities.viewed.connect(lambda _: self.stop())
        panel.blended.connect(lambda _: self.refresh())
        panel.difference.connect(lambda _: self.refresh())
        panel.veiled.connect(lambda _: self.refresh())
        dock.viewer.layers.events.removed.connect(self._gone)
        dock.viewer.layers.events.inserted.connect(self._came, position="first")

    def close(self) -> None:
        self._dock.viewer.layers.events.removed.disconnect(self._gone)
        self._dock.viewer.layers.events.inserted.disconnect(self._came)
        self.core.changed.disconnect(self._note)
        self.core.failed.disconnect(self._note_failure)
        self._next_turn.stop()
        self.core.close()
        self.take_out()

    # -- requests -----------------------------------------------------------------------------------------

    def choose(self, target: str | None) -> None:
        """Imagine ``target``; nothing, if that is imagined already."""
        self._dock.attempt(lambda: self.core.choose(None if target == self.core.target else target))
        self.refresh()

    def next(self) -> None:
        """The next that can be imagined, or none after the last."""
        self._dock.attempt(self.core.next)
        self.refresh()

    def stop(self) -> None:
        """Imagine nothing any more: a scan is to be seen."""
        if self.core.target is not None:
            self.core.choose(None)
            self.refresh()

    def _note(self) -> None:
        self._noted.emit()  # from any thread

    def _note_failure(self, sentence: str) -> None:
        self._failed.emit(sentence)

    # -- what is shown ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring layers, panel and buttons up to date with what is imagined."""
        core, session = self.core, self._dock.session
        if self._dock.closed or not self._ready():
            return
        target, pictures = core.target, core.shown
        self._modalities.show_imagining(core.choices if session.combination else (), target)
        if pictures is None or target is None or core.subject != session.subject:
            self.take_out()
            self.panel.set_blend(0)
            self.panel.set_difference(False)
        else:
            self._draw(pictures)
        study = session.study
        self.panel.show_pictures(target, pictures, real=study is not None and target in study.images)

    def take_out(self) -> None:
        """Take the layers out of the window; the scans are seen again."""
        viewer = self._dock.viewer
        ours = [one for one in (self.layer, self.real, self.veil) if one is not None and one in viewer.layers]
        if ours:
            with spared(), self._quietly(), viewer.layers.batched_update():
                for one in ours:
                    viewer.layers.remove(one)
        self.layer = self.real = self.veil = self.drawn = None
        self._cover()

    def _draw(self, pictures: Pictures) -> None:
        panel = self.panel
        minus = panel.minus.isChecked() and pictures.difference is not None
        data, ends = (pictures.difference, (-MOST, MOST)) if minus else (pictures.middle, LIMITS)
        mark = mark_in_capitals(pictures.imagined.mark)
        name = pictures.imagined.title
        if minus:
            title = pictures.study.task.modality(pictures.imagined.target).title
            name, mark = f"{name}, minus real", mark.replace(": ", f", minus the real {title}: ", 1)
        added = self.layer is None
        if self.layer is None:
            self.layer = self._add(pictures, data, name, mark, colormap="gray", contrast_limits=ends)
            self.layer.events.visible.connect(self._cover)
        self._place(self.layer, pictures, data, mark)
        colours = _DIFFERENCE if minus else "gray"
        if self.layer.colormap.name != (colours if isinstance(colours, str) else colours.name):
            self.layer.colormap, self.layer.contrast_limits = colours, ends
        if self.layer.name != name:
            self.layer.name = name  # last: the mark on the canvas is read anew
        self._cover()
        percent = 0 if minus else panel.blend.value()
        if added or self._draw_veil(pictures) or self._draw_real(pictures, percent):
            self._next_turn.start()
        else:
            self.drawn = pictures

    def _draw_veil(self, pictures: Pictures) -> bool:
        """True if it made a layer: one a turn of the event loop, because each takes many frames."""
        on, made = self.panel.veil.isChecked(), self.veil is None
        if self.veil is None:
            if not on or not pictures.unsure.any():
                return False
            self.veil = self._add(pictures, pictures.unsure, VEIL, "", colormap=_VEIL, contrast_limits=(0, 1))
        self._place(self.veil, pictures, pictures.unsure, "")
        set_visible(self.veil, on and self.layer is not None and self.layer.visible)
        return made

    def _draw_real(self, pictures: Pictures, percent: int) -> bool:
        """As above; made before the slider is touched, so that it follows at once."""
        made = self.real is None
        if pictures.real is None:
            if self.real is not None:
                set_visible(self.real, False)
            return False
        if self.real is None:
            title = pictures.study.task.modality(pictures.imagined.target).title
            self.real = self._add(
                pictures, pictures.real, f"{title} itself (off)", "", contrast_limits=LIMITS, visible=False
            )
        self._place(self.real, pictures, pictures.real, "")
        if percent and self.real.opacity != percent / 100:
            self.real.opacity = percent / 100
        set_visible(self.real, percent > 0)
        return made

    def _add(self, pictures: Pictures, data: Any, name: str, mark: str, **look: Any) -> Image:
        """A new layer above the scans, and above what of ours is there."""
        viewer, study = self._dock.viewer, pictures.study
        about = {"study": STUDYS, "case": study.case, "mark": mark}
        layer = Image(
            data,
            name=name,
            metadata={"mrseg": about},
            scale=study.grid.spacing,
            units=study.task.world_unit,
            translate=_corner(pictures),
            interpolation2d="nearest",
            **look,
        )
        layer.editable = False
        below = [*self._dock.layers.images.values(), self.layer, self.real, self.veil]
        at = 1 + max((viewer.layers.index(one) for one in below if one in viewer.layers), default=-1)
        active = viewer.layers.selection.active
        with undrawn(viewer), self._quietly():
            viewer.layers.insert(at, layer)
            if active in viewer.layers:
                viewer.layers.selection.active = active
            draw_quickly(viewer, layer)
        return layer

    def _place(self, layer: Image, pictures: Pictures, data: Any, mark: str) -> None:
        """Give ``layer`` other voxels, drawn once."""
        layer.metadata["mrseg"]["mark"] = mark  # one mapping, which copies in other planes share
        if layer.data is data:
            return
        with layer._block_refresh():
            layer.data = data
            layer.translate = _corner(pictures)
        layer.refresh()

    def _cover(self, event: Any = None) -> None:
        """While an imagined scan is seen, no scan is seen beneath it."""
        layers = self._dock.layers
        covered = self.layer is not None and self.layer in self._dock.viewer.layers and self.layer.visible
        if layers.covered != covered:
            layers.covered = covered
            if self.veil is not None and self.veil in self._dock.viewer.layers:
                set_visible(self.veil, covered and self.panel.veil.isChecked())
            layers.show_combination()
            self._modalities.show_views(layers.visible_images())

    def _gone(self, event: Any) -> None:
        """The user deleted one of them: it is not wanted any more."""
        if self._moving or event.value is None:
            return
        if event.value is self.layer:
            self.core.choose(None)
            self._noted.emit()
        elif event.value is self.veil:
            self.veil = None
            self.panel.veil.setChecked(False)
        elif event.value is self.real:
            self.real = None
            self.panel.blend.setValue(0)

    def _came(self, event: Any) -> None:
        """A duplicate in this window keeps the mark of the voxels that it holds: it gets a mapping of its own."""
        layer, mine = event.value, self.layer
        if mine is not None and layer is not mine and layer.metadata.get("mrseg") is mine.metadata["mrseg"]:
            layer.metadata["mrseg"] = dict(mine.metadata["mrseg"])

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        before, self._moving = self._moving, True
        try:
            yield
        finally:
            self._moving = before


def _corner(pictures: Pictures) -> tuple[float, ...]:
    """Where the cut-out lies, in mm."""
    return tuple(float(v) for v in np.array(pictures.start) * np.array(pictures.study.grid.spacing))
