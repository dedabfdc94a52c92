"""One menu for all that can be saved: asks for a folder, asks before it replaces, and writes in the background."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date as today
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox

from napari_mrseg._qt.edits import about_edit, edited_name, mark_saved
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import key

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host
    from napari_mrseg.compare.case_report import CaseReport
    from napari_mrseg.compare.lesions import Lesion
    from napari_mrseg.inference.prediction import Prediction
    from napari_mrseg.study import Study
    from napari_mrseg.tasks import Region

IMAGINED = "Imagined scan …"


@dataclass(frozen=True)
class _Part:
    """Files to be written into a folder. ``words``: what they are called when they are there."""

    names: tuple[str, ...]
    write: Callable[[Path, bool], object]
    words: str


@dataclass(frozen=True)
class _Front:
    """The result on screen as it was when Save was pressed: painting may go on while it is written."""

    study: Study
    result: Prediction
    edited: bool
    name: str  # of its file, without the ending


class Saver:
    """The Save button. What is written, the core writes; each way out of here ends in one folder.

    ``measured``: region and lesions as the user left them in the table; None where nothing is measured.
    """

    def __init__(
        self, dock: Host, measured: Callable[[], tuple[Region, tuple[Lesion, ...]] | None] = lambda: None
    ) -> None:
        self._dock, self._measured = dock, measured

    def menu(self) -> QMenu:
        menu = QMenu(self._dock)
        menu.setToolTipsVisible(True)
        task = self._dock.session.task
        labels = "NIfTI" if task.ndim == 3 else "PNG or TIFF"
        rows: list[tuple[str, str, Callable[[], None]] | None] = [
            (
                f"Segmentation as {labels} …",
                "What is on screen, and a JSON that says how it was made",
                self.save_shown,
            ),
            ("Segmentation as DICOM SEG …", "On the frames of its series, for PACS", self.save_seg),
            (f"All computed combinations as {labels} …", "A file for each, and one JSON", self.save_all),
            (
                "Edited copy …",
                "The copy painted in, also while another result is on screen",
                self.save_edited,
            ),
            None,
            (
                "Lesions as CSV …",
                "The table under Measure, with what was corrected or taken out",
                self.save_lesions,
            ),
            ("Report as PDF …", "Two pages with the picture", self.save_pdf),
            ("Report as HTML …", "All computed combinations side by side, in one file", self.save_html),
            None,
            ("Everything …", "All of the above that there is", self.save_everything),
            None,
            (
                IMAGINED,
                "What is imagined now and its interval; name and header say that it is no scan",
                self.save_imagined,
            ),
        ]
        for row in rows:
            if row is None:
                menu.addSeparator()
                continue
            text, tip, slot = row
            if task.ndim == 2 and slot in (self.save_seg, self.save_lesions, self.save_imagined):
                continue
            action = menu.addAction(text)
            action.setToolTip(tip)
            action.triggered.connect(lambda _=False, act=slot: act())
            if slot == self.save_seg:
                menu.aboutToShow.connect(lambda action=action: action.setEnabled(self._is_dicom()))
            if slot == self.save_imagined:
                menu.aboutToShow.connect(lambda action=action: self._name_imagined(action))
        return menu

    # -- requests -----------------------------------------------------------------------------------------

    def save_shown(self) -> None:
        """What is on screen: the session's result, or the copy edited by hand that is drawn in its place."""
        session = self._dock.session
        if self._dock.layers.copy is not None:
            self.save_edited()
            return
        shown = session.shown
        if shown is None or shown.preview or session.stale:
            self._dock.say("There is no finished segmentation to save; wait for the final result, then save.")
            return
        self._into([self._labels((shown,))])

    def save_all(self) -> None:
        done = self._dock.session.predictions
        if not done:
            self._dock.say("No combination is computed yet; wait for a final result, then save.")
            return
        self._into([self._labels(tuple(done.values()))])

    def save_edited(self) -> None:
        from napari_mrseg.io.export import write_labels
        from napari_mrseg.io.formats import label_ending

        layer = self._dock.layers.edited()
        if layer is None:
            self._dock.say(
                "There is no edited copy of this study; press “Edit a copy” first, or select another study's "
                "copy in the layer list."
            )
            return
        about = about_edit(layer)
        name = f"{edited_name(layer)}{label_ending(self._dock.session.task, len(layer.data))}"
        labels = np.array(layer.data)  # painting may go on while the file is written
        part = _Part(
            (name,),
            lambda folder, _: write_labels(labels, about["source"], folder / name),
            f"{name} of {about['case']}",
        )
        title = f"Save the edited copy of {self._dock.layers.whose(layer)} into this folder"
        self._into([part], title=title, done=lambda: mark_saved(layer, labels))

    def save_seg(self) -> None:
        front = self._front()
        if front is not None:
            self._into([self._seg(front)])

    def save_lesions(self) -> None:
        front = self._front()
        if front is not None:
            self._into([self._lesions(front)])

    def save_pdf(self) -> None:
        front = self._front()
        if front is not None:
            self._into([self._pdf(front)])

    def save_html(self) -> None:
        session = self._dock.session
        if session.study is None or not session.predictions:
            self._dock.say("There is nothing to report yet; wait for a final result, then save.")
            return
        self._into([self._html(session.study)])

    def save_everything(self) -> None:
        """Labels of all computed combinations, the copy edited by hand, DICOM SEG, lesions and both reports."""
        from napari_mrseg.io.export import write_labels
        from napari_mrseg.io.formats import label_ending

        front = self._front()
        if front is None:
            return
        session, copy = self._dock.session, self._dock.layers.copy
        parts = [self._labels(tuple(session.predictions.values()) or (front.result,))]
        labels: npt.NDArray[Any] = front.result.labels
        if copy is not None:
            source = about_edit(copy)["source"]
            name = f"{front.name}{label_ending(session.task, len(labels))}"
            parts.append(_Part((name,), lambda folder, _: write_labels(labels, source, folder / name), name))
        if self._is_dicom():
            parts.append(self._seg(front))
        if session.task.ndim == 3:
            parts.append(self._lesions(front))
        parts += [self._pdf(front), self._html(front.study)]
        self._into(parts, done=None if copy is None else lambda: mark_saved(copy, labels))

    def save_imagined(self) -> None:
        from napari_mrseg.io.imagined import files_of_imagined, imagined_file, write_imagined

        pictures = self._dock.imagining.core.shown
        if pictures is None:
            self._dock.say(
                "Nothing is imagined yet; press “imagine” beside a modality that is off, then save."
            )
            return
        imagined, found = pictures.imagined, pictures.likeness or {}
        like = {imagined.target: {"brain": found["brain"].rounded}} if "brain" in found else {}
        self._into(
            [
                _Part(
                    files_of_imagined([imagined]),
                    lambda folder, there: write_imagined([imagined], folder, likeness=like, overwrite=there),
                    f"{imagined_file(imagined)}, which is not a scan,",
                )
            ],
            title=f"Save {imagined.mark} into this folder",
        )

    def _name_imagined(self, action: QAction) -> None:
        pictures = self._dock.imagining.core.shown
        action.setEnabled(pictures is not None)
        action.setText(IMAGINED if pictures is None else f"{pictures.imagined.title} …")

    # -- what is written ----------------------------------------------------------------------------------

    def _front(self) -> _Front | None:
        """The result on screen, or None, which was said."""
        session, copy = self._dock.session, self._dock.layers.copy
        study, shown = session.study, session.shown
        from napari_mrseg.io.export import in_file_name
        from napari_mrseg.io.recognise import OURS

        if study is not None and copy is not None and shown is not None:
            from napari_mrseg.compare.case_report import with_labels

            about = about_edit(copy)
            combination = tuple(about["combination"])
            made = session.predictions.get(combination)
            if made is None or made.model["sha256"] != about["model"]["sha256"]:
                made = replace(shown, combination=combination, model=dict(about["model"]), notes=())
            return _Front(study, with_labels(made, np.asarray(copy.data)), True, edited_name(copy))
        if study is None or shown is None or shown.preview or session.stale:
            self._dock.say("There is no finished segmentation to save; wait for the final result, then save.")
            return None
        return _Front(study, shown, False, f"{in_file_name(study.case)}_{shown.key}{OURS}")

    def _is_dicom(self) -> bool:
        from napari_mrseg.io.dicom import names_series

        study, copy = self._dock.session.study, self._dock.layers.copy
        if study is None or study.task.ndim != 3:
            return False
        used = self._dock.session.combination if copy is None else tuple(about_edit(copy)["combination"])
        return bool(used) and used[0] in study.images and names_series(study.images[used[0]].source.path)

    def _labels(self, predictions: Sequence[Prediction]) -> _Part:
        from napari_mrseg.io.export import label_file, result_file

        session, chosen = self._dock.session, tuple(predictions)
        case = chosen[0].case
        names = [label_file(p.combination, p.task, frames=p.grid.shape[0], case=case) for p in chosen]
        result = result_file(case)
        return _Part(
            (*names, result),
            lambda folder, there: session.save(folder, chosen, overwrite=there, named=True),
            f"{names[0] if len(names) == 1 else f'{len(names)} label files'} and {result}",
        )

    def _seg(self, front: _Front) -> _Part:
        from napari_mrseg.io.dicom.seg import ENDING, encode_seg

        result, name = front.result, f"{front.name}{ENDING}"
        if not self._is_dicom():

            def refused(folder: Path, there: bool) -> None:
                raise InputError("A DICOM SEG needs scans read from DICOM; save this study as NIfTI.")

            return _Part((name,), refused, name)
        source = front.study.images[result.combination[0]].source
        return self._bytes(
            name,
            lambda: encode_seg(
                result.labels, source, result.task, result.combination, result.model, edited=front.edited
            ),
            f"{name}, which names the patient, as DICOM asks,",
        )

    def _lesions(self, front: _Front) -> _Part:
        from napari_mrseg.compare.case_report import report_lesions_csv

        report = self._report(front)
        name = f"{front.name}_lesions.csv"
        return self._bytes(name, lambda: report_lesions_csv(report).encode("utf-8", "replace"))

    def _pdf(self, front: _Front) -> _Part:
        from napari_mrseg.compare.case_report import report_pdf

        report = self._report(front)
        return self._bytes(f"{front.name}_report.pdf", lambda: report_pdf(report))

    def _report(self, front: _Front) -> CaseReport:
        from napari_mrseg.compare.case_report import CaseReport
        from napari_mrseg.io.export import versions

        measured = self._measured()
        return CaseReport(
            front.study,
            front.result,
            today.today().isoformat(),
            region=None if measured is None else measured[0],
            lesions=None if measured is None else measured[1],
            edited=front.edited,
            others=tuple(self._dock.session.predictions.values()),
            versions=versions(),
        )

    def _html(self, study: Study) -> _Part:
        from napari_mrseg.io.export import in_file_name

        session = self._dock.session
        found, model = session.predictions_of(study), session.model

        def html() -> bytes:
            from napari_mrseg.compare.comparison import Comparison
            from napari_mrseg.compare.comparison_report import report_html
            from napari_mrseg.compare.table import table_document
            from napari_mrseg.io.export import versions

            if model is None or not found:
                raise InputError("There is nothing to report yet; wait for a final result, then save.")
            comparison = Comparison(study, found.values(), expected=tuple(found), card=model.card)
            document = table_document(comparison, model=model.info, versions=versions())
            return report_html(comparison, document, date=today.today().isoformat()).encode(
                "utf-8", "replace"
            )

        return self._bytes(f"{in_file_name(study.case)}_report.html", html)

    @staticmethod
    def _bytes(name: str, make: Callable[[], bytes], words: str = "") -> _Part:
        from napari_mrseg.compare.figures import write_bytes

        return _Part((name,), lambda folder, _: write_bytes(folder / name, make()), words or name)

    # -- asking and writing -------------------------------------------------------------------------------

    def _into(
        self,
        parts: Sequence[_Part],
        *,
        title: str = "Save into this folder",
        done: Callable[[], None] | None = None,
    ) -> None:
        folder = self._ask(title)
        names = [name for part in parts for name in part.names]
        if folder is None or not self._may_replace(folder, names):
            return
        there, subject = any((folder / name).exists() for name in names), self._dock.session.subject

        def work() -> None:
            for part in parts:
                part.write(folder, there)

        def finished(_: object) -> None:
            if done is not None:
                done()
            words = parts[0].words if len(parts) == 1 else f"{len(names)} files"
            self._saved(words, folder, subject)

        self._dock.later(work, done=finished)

    def _saved(self, what: str, folder: Path, subject: str) -> None:
        """Say so in the dock, where it stays, and refresh what said “not saved”; nothing of a study that is gone."""
        if subject != self._dock.session.subject:
            return
        self._dock.panel.saved.setText(f"Saved {what} in {folder}")
        self._dock.result.changed.emit()

    def _ask(self, title: str) -> Path | None:
        from napari_mrseg._qt.user_settings import SAVED, last_folder, remember_folder

        chosen = QFileDialog.getExistingDirectory(self._dock, title, last_folder(SAVED))
        if not chosen:
            return None
        remember_folder(chosen, SAVED)
        self._dock.hush()
        return Path(chosen)

    def _may_replace(self, folder: Path, names: Sequence[str]) -> bool:
        there = [name for name in names if (folder / name).exists()]
        if not there:
            return True
        listed = ", ".join(there[:3]) + (" and more" if len(there) > 3 else "")
        question = f"There is already {listed} in {folder.name}, {_whose(folder, there)}. Replace?"
        if any(name.endswith("_result.json") for name in there):
            question += " All label files that it lists go; another folder keeps both."
        answer = QMessageBox.question(self._dock, "Replace?", question)
        return answer == QMessageBox.StandardButton.Yes


def _whose(folder: Path, names: Sequence[str]) -> str:
    """Of which case a file is, by what it says itself, and when it was written."""
    written = datetime.fromtimestamp((folder / names[0]).stat().st_mtime)
    when = f"saved on {written:%Y-%m-%d at %H:%M}"
    for name in (one for one in names if one.endswith(".json")):
        try:
            document = json.loads((folder / name).read_text(encoding="utf-8"))
            made = ", ".join(key(entry["combination"]) for entry in document["predictions"][:2])
            model = f"{document['model']['name']} {document['model']['version']}"
            return f"of case {document['case']} ({made}; {model}), {when}"
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return when
