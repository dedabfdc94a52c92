"""Lesions and distances of the result on screen: measured on a thread, drawn, listed, corrected and undone."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.QtCore import QObject

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.edits import about_edit, changes_of
from napari_mrseg._qt.lesion_panel import LesionPanel, Row
from napari_mrseg._qt.marks import Mark, Marks
from napari_mrseg._qt.ruler import Held
from napari_mrseg.compare.lesions import (
    Distance,
    Distances,
    Lesion,
    LesionTable,
    lesions_of,
    region_to_measure,
)
from napari_mrseg.compare.metrics import region_mask
from napari_mrseg.study import Study
from napari_mrseg.tasks import Region, sized

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host

_LINES, _CHOSEN, _DRAWN = "#ffd84d", "#ffffff", "#7cfc00"  # of no region, and apart from grey
LESION, DISTANCE = "lesion", "distance"
_MOST_STEPS = 24  # tables, each with the user's corrections, of results looked at before


class Measuring(QObject):
    """Keeps a table per result and region, so that corrections are there again when one comes back to it.

    Distances belong to the study, whatever result is on screen. Nothing is measured while the panel is closed.
    """

    def __init__(self, dock: Host, panel: LesionPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._dock, self.panel = dock, panel
        self.marks = Marks(dock.viewer, self)
        self.table: LesionTable | None = None
        self.distances: Distances | None = None
        self._tables: dict[Hashable, LesionTable] = {}
        self._steps: list[LesionTable | Distances] = []  # whose changes are undone next, last first
        self._subject = ""
        self._asked = ""  # the region the user chose for this study
        self._key: Hashable = None  # what is measured, or is being
        self._working = False
        self._preview: Lesion | Distance | None = None  # while an end is dragged
        panel.region_chosen.connect(self._choose_region)
        panel.picked.connect(self._picked)
        panel.delete.connect(self._delete)
        panel.undo.connect(self.undo)

    def close(self) -> None:
        self.marks.close()

    @property
    def settled(self) -> bool:
        """True while the table is of what is on screen."""
        return not self._working

    @property
    def measured(self) -> tuple[Region, tuple[Lesion, ...]] | None:
        """Region and lesions as the user left them; None while nothing is measured."""
        region = self.region
        return None if region is None or self.table is None else (region, self.table.items)

    # -- what is measured ---------------------------------------------------------------------------------

    @property
    def region(self) -> Region | None:
        """The region whose lesions are measured; None for images, which have distances only."""
        task = self._dock.session.task
        if task.ndim != 3:
            return None
        if self._asked:
            return task.region(self._asked)
        shown = self._dock.session.shown if self._dock.layers.copy is None else None
        return region_to_measure(task, self._combination(), None if shown is None else shown.sizes)

    def _combination(self) -> tuple[str, ...]:
        copy, shown = self._dock.layers.copy, self._dock.session.shown
        if copy is not None:
            return tuple(about_edit(copy)["combination"])
        return shown.combination if shown is not None else self._dock.session.combination

    def refresh(self) -> None:
        """Measure what is on screen, unless that is done or the panel is closed; show it."""
        dock = self._dock
        study, region, front = dock.session.study, self.region, dock.layers.front
        if dock.session.subject != self._subject:
            self._subject, self._asked = dock.session.subject, ""
            self.distances = None if study is None else Distances(study.grid.spacing)
            self.table, self._key = None, None
            self._tables.clear()
            self._steps.clear()
        key = None if self.panel.isHidden() or region is None else self._result(region)
        if study is None or front is None or front.data.shape != study.grid.shape:
            key = None
        if key != self._key:
            self._key, self.table = key, self._tables.get(key)
        if key is not None and self.table is None and not self._working:
            assert study is not None
            assert front is not None
            assert region is not None
            self._measure(key, np.array(front.data), study, region)
        self.show()

    def _result(self, region: Region) -> Hashable:
        """Identity of the result on screen; None while there is no final one."""
        copy, shown = self._dock.layers.copy, self._dock.session.shown
        if copy is not None:
            return id(copy), changes_of(copy), region.name
        if shown is None or shown.preview:
            return None
        return shown.digest, shown.combination, shown.model["sha256"], region.name

    def _measure(self, key: Hashable, labels: Any, study: Study, region: Region) -> None:
        self._working = True
        subject = self._subject

        def done(found: tuple[Lesion, ...]) -> None:
            self._working = False
            if self._dock.session.subject != subject:
                self.refresh()
                return
            while len(self._tables) >= _MOST_STEPS:
                self._tables.pop(next(iter(self._tables)))
            self._tables[key] = LesionTable(found, study.grid)
            if key == self._key:
                self.table = self._tables[key]
                self.show()
            else:
                self.refresh()

        def failed(sentence: str) -> None:
            self._working = False
            self._dock.say(sentence)

        def work() -> tuple[Lesion, ...]:
            return lesions_of(region_mask(labels, region), study.grid)

        BackgroundTask(work, done=done, failed=failed, parent=self)

    # -- what is shown ------------------------------------------------------------------------------------

    def show(self) -> None:
        """Bring table and lines up to date."""
        if self.panel.isHidden():
            self._show_marks()
            return
        task, region = self._dock.session.task, self.region
        estimated = region is not None and region in task.estimated(self._combination())
        self.panel.show_rows(
            [*self._lesion_rows(), *self._distance_rows()],
            self._total(region if estimated else None),
            "" if region is None else region.name,
            estimated=estimated,
            undo=bool(self._own_steps),
        )
        self._show_marks()

    def _lesion_rows(self) -> list[Row]:
        rows = []
        for one in () if self.table is None else self.table.items:
            d = one.diameters
            rows.append(
                Row(
                    (LESION, one.number),
                    (
                        str(one.number),
                        f"{one.ml:.1f}" if one.ml >= 0.05 else f"{one.ml:.3f}",
                        f"{d.long_mm:.1f} × {d.short_mm:.1f}{'*' if one.corrected else ''}",
                        f"{d.product_mm2:.0f}",
                        ", ".join(f"{v:.0f}" for v in one.centre_mm),
                    ),
                    faint=not one.measurable,
                )
            )
        return rows

    def _distance_rows(self) -> list[Row]:
        unit, rows = self._dock.session.task.length_unit, []
        for one in () if self.distances is None else self.distances.items:
            product = self.distances.product(one.number) if self.distances is not None else None
            crossed = "" if product is None else f"{product[1]:.0f} ×D{product[0].number}"
            rows.append(
                Row((DISTANCE, one.number), (f"D{one.number}", "", f"{one.length:.1f} {unit}", crossed, ""))
            )
        return rows

    def _total(self, unseen: Region | None) -> str:
        if self._dock.session.task.ndim != 3:
            return ""
        if self.table is None:
            return "Measuring …" if self._working else "Lesions are measured once there is a final result."
        items = self.table.items
        counted = [one for one in items if one.measurable]
        many = f"{len(items)} lesion{'s' if len(items) != 1 else ''}, {sized(sum(one.ml for one in items), 'mL')} mL"
        text = f"{many}. Sum of {len(counted)} measurable: {self.table.sum_mm2:.0f} mm²"
        return f"{text}. {unseen.unseen}" if unseen is not None and unseen.unseen else text

    def _show_marks(self) -> None:
        chosen = set(self.panel.chosen)
        found, moving = [], self._preview
        for lesion in () if self.table is None else self.table.items:
            if isinstance(moving, Lesion) and moving.number == lesion.number:
                lesion = moving
            if lesion.measurable or (LESION, lesion.number) in chosen:
                found.append(self._lesion_mark(lesion, (LESION, lesion.number) in chosen))
        lines = [] if self.distances is None else list(self.distances.items)
        if isinstance(moving, Distance):
            lines = [one for one in lines if one.number != moving.number] + [moving]
        found += [self._distance_mark(one) for one in lines]
        self.marks.show(found)

    def _lesion_mark(self, one: Lesion, chosen: bool) -> Mark:
        d = one.diameters
        ends = np.array([[(d.slice, *end) for end in line] for line in one.lines], dtype=float)
        text = f"{one.number}: {d.long_mm:.1f} × {d.short_mm:.1f} mm"
        return Mark((LESION, one.number), ends * self._spacing, text, _CHOSEN if chosen else _LINES)

    def _distance_mark(self, one: Distance) -> Mark:
        unit = self._dock.session.task.length_unit
        name = f"D{one.number}: " if one.number else ""
        ends = np.array([one.ends], dtype=float) * self._spacing
        return Mark((DISTANCE, one.number), ends, f"{name}{one.length:.1f} {unit}", _DRAWN)

    @property
    def _spacing(self) -> Any:
        study = self._dock.session.study
        return np.ones(3) if study is None else np.asarray(study.grid.spacing, dtype=float)

    # -- requests -----------------------------------------------------------------------------------------

    def _choose_region(self, name: str) -> None:
        self._asked = name
        self.refresh()

    def _picked(self, keys: tuple[Any, ...]) -> None:
        """Go to the row that was clicked."""
        if len(keys) == 1:
            kind, number = keys[0]
            place: Sequence[float] | None = None
            if kind == LESION and self.table is not None:
                place = self.table.lesion(number).place
            elif kind == DISTANCE and self.distances is not None:
                one = next(one for one in self.distances.items if one.number == number)
                place = np.mean(one.ends, axis=0)
            if place is not None:
                dims = self._dock.viewer.dims
                first = dims.ndim - 3
                dims.set_point(range(first, dims.ndim), list(np.asarray(place) * self._spacing))
        self._show_marks()

    def _delete(self, keys: tuple[Any, ...]) -> None:
        """Rows of both kinds; each kind is a step of its own."""
        for kind, kept in ((LESION, self.table), (DISTANCE, self.distances)):
            if kept is not None and kept.delete([number for what, number in keys if what == kind]):
                self._steps.append(kept)
        self.show()

    def undo(self) -> None:
        """Take back the last deletion, correction or line."""
        steps = self._own_steps
        if steps:
            self._steps.pop(steps[-1]).undo()
        self.show()

    @property
    def _own_steps(self) -> list[int]:
        """Which steps are of what is on screen."""
        return [at for at, step in enumerate(self._steps) if step is self.table or step is self.distances]

    # -- the mouse (a Board for the Ruler) ----------------------------------------------------------------

    def end_near(self, position: Sequence[float]) -> Held | None:
        return self.marks.end_near(position)

    def draw(self, start: Sequence[float], end: Sequence[float], *, done: bool) -> None:
        if self.distances is None:
            return
        ends = [np.asarray(place) / self._spacing for place in (start, end)]
        if done:
            self._preview = None
            made = self.distances.add(ends)
            self._steps.append(self.distances)
            self._say(made.length)
            self.show()
            self.panel.choose((DISTANCE, made.number))
            return
        self._preview = self.distances.measured(0, ends)
        self._say(self._preview.length)
        self._show_marks()

    def move(self, held: Held, to: Sequence[float], *, done: bool) -> None:
        mine, line, end = held
        kind, number = cast("tuple[str, int]", mine)  # our own marks' keys
        place = np.asarray(to) / self._spacing
        if kind == LESION and self.table is not None:
            moved: Lesion | Distance = self.table.lesion(number).moved(line, end, place[1:], self._spacing)
            if done and self.table.move_end(number, line, end, place[1:]):
                self._steps.append(self.table)
        elif kind == DISTANCE and self.distances is not None:
            one = next(one for one in self.distances.items if one.number == number)
            moved = self.distances.measured(
                number, [place if i == end else kept for i, kept in enumerate(one.ends)]
            )
            if done and self.distances.move_end(number, end, place):
                self._steps.append(self.distances)
        else:
            return
        self._preview = None if done else moved
        if done:
            self.show()
        else:
            self._show_marks()

    def _say(self, length: float) -> None:
        self._dock.viewer.status = f"Distance: {length:.1f} {self._dock.session.task.length_unit}"
