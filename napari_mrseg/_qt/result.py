"""The result on screen: how it is called, and how large it is. Dock, canvas, legend and files all ask here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.edits import about_edit, changes_of, is_edited, is_unsaved
from napari_mrseg._qt.layers import StudyLayers
from napari_mrseg.compare.trust import Trust
from napari_mrseg.display import RESEARCH_USE, model_name, numbered
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import Combination

UNCHANGED = "Copy to paint in, unchanged"
_PAUSE = 150  # ms after a stroke of the brush before it is measured


@dataclass(frozen=True)
class Measures:
    """Of the result on screen; ``sizes`` None while nothing is there. ``dice`` is empty without a reference."""

    combination: Combination = ()
    sizes: Mapping[str, float] | None = None
    dice: Mapping[str, float | None] = field(default_factory=dict)
    stale: bool = False
    frames: int = 0  # over which pixels are counted; 0 for a volume
    trust: Trust | None = None  # None: nothing is there, or it was edited by hand


class Result(QObject):
    """Follows what is in front: the session's prediction, or a copy of one edited by hand.

    A copy is measured on a thread, after each stroke; so is every Dice.
    """

    changed = Signal()  # other measures, or another name

    def __init__(self, session: Session, layers: StudyLayers, parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._layers = session, layers
        self.judged: Callable[[], Trust | None] = lambda: None  # how far the session's result may be believed
        self.instead: list[str] = []  # what is drawn in its place: two results in one picture
        self.opening = ""  # what is being opened, in words: then no result is there
        self._key: object = None  # what was measured, or is being
        self._found: tuple[Mapping[str, float] | None, Mapping[str, float | None]] = (None, {})
        self._jobs = 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self.changed)
        layers.on_painted = self._timer.start

    @property
    def settled(self) -> bool:
        return not self._jobs and not self._timer.isActive()

    @property
    def state(self) -> str:
        """One of none, preview, final, stale, edited. A copy without a stroke is the final result that it is of."""
        shown, copy = self._session.shown, self._layers.copy
        if self.opening:
            return "none"
        if copy is not None:
            return "edited" if is_edited(copy) else "final"
        if shown is None or self._layers.front is None:
            return "none"
        return "stale" if self._session.stale else "preview" if shown.preview else "final"

    @property
    def trust(self) -> Trust | None:
        """How far the result on screen may be believed; None where there is none, or one edited by hand."""
        return self.judged() if self.state in ("preview", "final", "stale") else None

    def words(self) -> list[str]:
        """The parts of the line that says what is on screen. Nothing shown is ever unlabelled."""
        layers, session = self._layers, self._session
        copy, overlay_style = layers.copy, layers.overlay_style
        if self.opening:
            return [self.opening, RESEARCH_USE]
        marks = list(self.instead)
        if layers.front is not None and (copy is not None or session.shown is not None):
            if not overlay_style.visible and not self.instead:
                marks.append("segmentation hidden")
            hidden = [label.title for label in session.task.labels if label.code in overlay_style.hidden]
            if hidden:
                marks.append(f"NOT DRAWN: {', '.join(hidden)}")
        if layers.front is None and session.study is not None:
            return ["opening …", RESEARCH_USE]  # of the result nothing is drawn yet
        if copy is None:
            trust = self.trust
            if trust is not None and trust.level != "green":
                marks.insert(0, trust.headline)
            return [*marks, *session.describe().split(" · ")]
        about, whose = about_edit(copy), layers.whose(copy)
        what = "EDITED BY HAND" if is_edited(copy) else UNCHANGED
        return [
            f"{what}: {about['key']} of {whose}",
            *(["not saved"] if is_unsaved(copy) else []),
            *marks,
            numbered(session.task, about["combination"]).partition(":")[0],
            model_name(about["model"]),
            RESEARCH_USE,
        ]

    def measures(self) -> Measures:
        """What is known now; ``changed`` tells when more is."""
        session, copy = self._session, self._layers.copy
        if self.opening:
            return Measures()
        study = session.study  # before what is shown, which another study takes away first
        shown = session.shown
        if copy is not None:
            labels, combination = np.asarray(copy.data), about_edit(copy)["combination"]
            self._measure((copy, changes_of(copy)), labels, float(np.prod(copy.scale)) / 1000, copy)
            sizes, dice = self._found
            return Measures(combination, sizes, dice)
        if shown is None:
            self._key, self._found = None, (None, {})
            return Measures(session.combination)
        if study is not None and study.reference is not None:
            self._measure((None, id(shown)), shown.labels, None, shown)
        else:
            self._key, self._found = (None, id(shown)), (None, {})
        dice = self._found[1] if self._key == (None, id(shown)) else {}
        frames = study.grid.shape[0] if study is not None and session.task.ndim == 2 else 0
        return Measures(shown.combination, shown.sizes, dice, session.stale, frames, self.trust)

    def _measure(self, key: tuple[Any, Any], labels: Any, voxel_ml: float | None, keep: object) -> None:
        """Measure ``labels`` unless that is done or under way. ``keep``: what ``key`` names, so that it lives on."""
        if key == self._key:
            return
        if not isinstance(self._key, tuple) or self._key[0] is not key[0] or key[0] is None:
            self._found = (
                None,
                {},
            )  # of another result; after a stroke the last values stay until the new ones come
        self._key = key
        study, task = self._session.study, self._session.task
        reference = None if study is None else study.reference
        unit = 1.0 if task.ndim == 2 else voxel_ml

        def work() -> Any:
            from napari_mrseg.compare.metrics import region_dice, sizes

            found = None if unit is None else sizes(labels, task, unit)
            fits = reference is not None and reference.labels.shape == labels.shape
            return (
                key,
                (found, region_dice(labels, reference.labels, task) if fits and reference else {}),
                keep,
            )

        self._jobs += 1
        BackgroundTask(work, done=self._measured, failed=self._failed, parent=self)

    def _measured(self, found: Any) -> None:
        self._jobs -= 1
        if found[0] == self._key:
            self._found = found[1]
            self.changed.emit()

    def _failed(self, sentence: str) -> None:
        self._jobs -= 1
        self._key = None
