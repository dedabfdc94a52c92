"""Corrections of the copy in front, by the tools of its panel; everything is one step of napari's own undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_mrseg import editing
from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.edit_panel import (
    BETWEEN,
    GROW,
    HOLES,
    REDO,
    SHRINK,
    SMALL,
    SMOOTH,
    TAKE,
    UNDO,
    EditPanel,
)
from napari_mrseg._qt.edits import changes_of

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host

_NONE = "pan_zoom"  # napari's mode without a tool in hand
_Array = npt.NDArray[np.uint8]


class Editing(QObject):
    """Follows the copy in front. Its panel is there while one is, and a correction is computed on a thread."""

    def __init__(self, dock: Host, panel: EditPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._dock, self.panel = dock, panel
        self._copy: Labels | None = None
        self._start: _Array | None = None  # as the copy was when it came
        self._taking = False  # a click takes a lesion away
        self._busy = False
        panel.tool.connect(self._take_tool)
        panel.change.connect(self.change)
        panel.label_chosen.connect(self._choose_label)
        panel.size_chosen.connect(self._choose_size)
        dock.viewer.mouse_drag_callbacks.append(self._click)

    def close(self) -> None:
        callbacks = self._dock.viewer.mouse_drag_callbacks
        if self._click in callbacks:
            callbacks.remove(self._click)
        self._follow(None)

    @property
    def settled(self) -> bool:
        return not self._busy

    def refresh(self) -> None:
        """Show the tools if there is a copy in front."""
        copy = self._dock.layers.copy
        if copy is not self._copy:
            self._follow(copy)
        self.panel.setVisible(copy is not None)
        if copy is not None:
            mode = str(copy.mode)
            tool = TAKE if self._taking else "" if mode == _NONE else mode
            self.panel.show_state(
                tool,
                int(copy.selected_label),
                round(copy.brush_size),
                undo=bool(copy._undo_history),
                redo=bool(copy._redo_history),
                busy=self._busy,
            )

    def _follow(self, copy: Labels | None) -> None:
        """Listen to another copy: napari's own controls and keys change its tools too."""
        for layer, connect in ((self._copy, False), (copy, True)):
            if layer is None:
                continue
            for source in (layer.events.mode, layer.events.selected_label, layer.events.brush_size):
                source.connect(self._changed) if connect else source.disconnect(self._changed)
        self._copy, self._taking = copy, False
        self._start = None if copy is None else np.array(copy.data)

    def _changed(self, event: Any = None) -> None:
        if self._copy is not None and str(self._copy.mode) != _NONE:
            self._taking = False
        self.refresh()

    # -- tools --------------------------------------------------------------------------------------------

    def _take_tool(self, name: str) -> None:
        copy = self._copy
        if copy is None:
            return
        self._dock.viewer.layers.selection.active = copy
        copy.mode = name if name not in ("", TAKE) else _NONE
        self._taking = name == TAKE
        self.refresh()

    def _choose_label(self, code: int) -> None:
        if self._copy is not None:
            self._copy.selected_label = code

    def _choose_size(self, size: int) -> None:
        if self._copy is not None:
            self._copy.brush_size = size

    def _click(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """A click, and no drag, with “Take away” in hand."""
        copy = self._copy
        if (
            not self._taking
            or copy is None
            or event.button != 1
            or event.modifiers
            or viewer.dims.ndisplay == 3
        ):
            return
        yield
        if event.type == "mouse_move":
            return
        place = copy.world_to_data(np.asarray(event.position)[-copy.ndim :])
        self.take_away([round(float(v)) for v in place])

    # -- corrections --------------------------------------------------------------------------------------

    def take_away(self, voxel: Sequence[int]) -> None:
        """Take the lesion at a voxel of the copy away."""
        self._apply(lambda labels, first: editing.take_away(labels, [voxel[0] - first, *voxel[1:]]))

    def change(self, name: str) -> None:
        """Do one of the panel's corrections to the label that is chosen."""
        copy = self._copy
        if copy is None:
            return
        if name in (UNDO, REDO):
            (copy.undo if name == UNDO else copy.redo)()
            self.refresh()
            return
        code, mm, small = int(copy.selected_label), self.panel.mm.value(), self.panel.small.value()
        spacing = [float(s) for s in copy.scale[-3:]]
        axis = int(self._dock.viewer.dims.order[-3]) - (self._dock.viewer.dims.ndim - 3)
        flat = self._dock.session.task.ndim == 2
        painted = np.asarray(copy.data) != self._start
        axis = 0 if flat else axis
        work: dict[str, Callable[[_Array, int], _Array]] = {
            GROW: lambda labels, _: editing.grow(labels, code, mm, spacing),
            SHRINK: lambda labels, _: editing.shrink(labels, code, mm, spacing),
            SMOOTH: lambda labels, _: editing.smooth(labels, code, mm, spacing),
            HOLES: lambda labels, _: editing.fill_holes(labels, code, axis),
            BETWEEN: lambda labels, _: editing.interpolate(labels, code, painted, axis),
            # Pixels are counted: a thousand of 1 mm³ are a mL.
            SMALL: lambda labels, _: editing.remove_small(labels, small / 1000 if flat else small, spacing),
        }
        if name == BETWEEN and flat:
            self._dock.say(
                "Frames have nothing to do with each other, so nothing is interpolated between them."
            )
            return
        self._apply(work[name])

    def _apply(self, work: Callable[[_Array, int], _Array]) -> None:
        """Change the copy by ``work``, which gets the labels and the number of their first slice.

        Of images only the frame on screen is changed. A stroke that comes meanwhile wins.
        """
        if self._copy is not None and not self._busy:
            self._compute(self._copy, work)

    def _compute(self, copy: Labels, work: Callable[[_Array, int], _Array]) -> None:
        first, last = 0, len(copy.data)
        if self._dock.session.task.ndim == 2:
            first = round(float(self._dock.viewer.dims.point[-3]))
            last = first + 1
        labels, changes = np.array(copy.data[first:last]), changes_of(copy)
        self._busy = True
        self.refresh()

        def compute() -> tuple[Any, _Array]:
            found = work(labels, first)
            where = np.nonzero(found != labels)
            return (where[0] + first, *where[1:]), found[where]

        def done(found: tuple[Any, _Array]) -> None:
            self._busy = False
            where, values = found
            there = self._dock.layers.copy is copy
            if not there:
                pass  # another result is in front: what was asked for is off the screen
            elif changes_of(copy) != changes:
                self._dock.say(
                    "It was painted in meanwhile, so this correction was left out; ask for it again."
                )
            elif not values.size:
                self._dock.viewer.status = "Nothing to change"
            else:
                copy.data_setitem(where, values)
                self._dock.viewer.status = (
                    f"{values.size} {'pixels' if last - first == 1 else 'voxels'} changed"
                )
            self.refresh()

        def failed(sentence: str) -> None:
            self._busy = False
            self._dock.say(sentence)
            self.refresh()

        BackgroundTask(compute, done=done, failed=failed, parent=self)
