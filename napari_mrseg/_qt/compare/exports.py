"""Out of the window: report, table, figures, session file. Everything is written on a thread."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QWidget

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.compare.live_comparison import LiveComparison
from napari_mrseg._qt.user_settings import SAVED, last_folder, remember_folder
from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.errors import InputError
from napari_mrseg.session.restore import open_session, save_session

SUFFIX = ".mrsession"
_FIGURE = "Figure (*.png *.svg)"
_SESSION = f"Session (*{SUFFIX})"


class Exports(QObject):
    """Menu and work. ``done`` carries a sentence that says what was written where."""

    began = Signal(str)
    done = Signal(str)
    failed = Signal(str)

    def __init__(
        self,
        state: LiveComparison,
        view: Callable[[], dict[str, Any]],
        restore: Callable[[dict[str, Any]], None],
        where: Callable[[], tuple[int, int] | None],
        parent: QWidget,
    ) -> None:
        """``view`` and ``restore`` describe the window; ``where`` gives (axis, index) of the slice on screen."""
        super().__init__(parent)
        self._state, self._view, self._restore, self._where = state, view, restore, where
        self._window = parent
        self.may_leave: Callable[[], bool] = lambda: True  # asked before another study is opened

    def menu(self) -> QMenu:
        menu = QMenu(self._window)
        menu.setToolTipsVisible(True)
        for text, tip, slot in (
            ("Report …", "Label files, tables and report.html in a folder of their own", self._ask_report),
            (
                "Table as CSV or JSON …",
                "The matrix for scripts; described in docs/results.md",
                self._ask_table,
            ),
            ("Figure of the matrix …", "PNG or SVG", self._ask_matrix),
            (
                "Figure of the contact sheet …",
                "The slice on screen in every combination, PNG or SVG",
                self._ask_sheet,
            ),
            ("Save session …", "Paths, hashes, results and this view, to go on later", self._ask_save),
            ("Open session …", "Go on where a saved session ended", self._ask_open),
        ):
            action = menu.addAction(text, slot)
            action.setToolTip(tip)
        menu.insertSeparator(menu.actions()[4])
        return menu

    # -- work ---------------------------------------------------------------------------------------------

    def report(self, folder: Path, overwrite: bool = False) -> None:
        """What ``mrseg compare`` writes, into ``folder``."""
        session = self._state.session

        def work() -> str:
            from napari_mrseg.compare.write import REPORT, write_comparison

            study, model = session.study, session.model
            if study is None or model is None:
                raise InputError("There is nothing to report; open a study first.")
            found = session.predictions_of(study)
            if not found:
                raise InputError("There is nothing to report yet; wait for the first combination.")
            write_comparison(
                study, found.values(), folder,
                model=model.info, combinations=tuple(found), overwrite=overwrite,
            )  # fmt: skip
            return f"Wrote {folder / REPORT} with {len(found)} combinations."

        self._do("Writing the report …", work)

    def table(self, path: Path) -> None:
        """The matrix as CSV or JSON, by the file's ending."""

        def work() -> str:
            from napari_mrseg.compare.figures import write_bytes
            from napari_mrseg.compare.table import table_csv, table_document
            from napari_mrseg.io.export import versions

            comparison = self._comparison()
            if path.suffix.lower() == ".csv":
                text = table_csv(comparison)
            elif path.suffix.lower() == ".json":
                model = self._state.session.model
                info = None if model is None else model.info
                document = table_document(comparison, model=info, versions=versions())
                text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            else:
                raise InputError(f"{path.name} is neither .csv nor .json; choose one of them.")
            write_bytes(path, text.encode())
            return f"Wrote {path}."

        self._do("Writing the table …", work)

    def matrix(self, path: Path) -> None:
        def work() -> str:
            from napari_mrseg.compare.figures import matrix, save

            save(matrix(self._comparison()), path)
            return f"Wrote {path}."

        self._do("Drawing the matrix …", work)

    def sheet(self, path: Path) -> None:
        """The contact sheet of the slice on screen."""
        where = self._where() or (0, None)

        def work() -> str:
            from napari_mrseg.compare.figures import save_contact_sheet

            save_contact_sheet(self._comparison(), path, axis=where[0], index=where[1])
            return f"Wrote {path}."

        self._do("Drawing the contact sheet …", work)

    def save_session(self, path: Path) -> None:
        view = self._view()

        def work() -> str:
            save_session(self._state.session, path, view)
            return f"Wrote {path}."

        self._do("Saving the session …", work)

    def open_session(self, path: Path) -> None:
        self._do("Opening the session …", lambda: open_session(self._state.session, path), self._restore)

    def _comparison(self) -> Comparison:
        comparison = self._state.comparison
        if comparison is None or not comparison.predictions:
            raise InputError("There is no result to write yet; wait for the first combination.")
        return comparison

    def _do(self, what: str, work: Callable[[], Any], done: Callable[[Any], None] | None = None) -> None:
        self.began.emit(what)

        def finished(found: Any) -> None:
            self.done.emit(found if isinstance(found, str) else "")
            if done is not None:
                done(found)

        BackgroundTask(work, done=finished, failed=self.failed.emit, parent=self)

    # -- dialogs ------------------------------------------------------------------------------------------

    def _ask_report(self) -> None:
        study = self._state.session.study
        if study is None:
            self.failed.emit("There is nothing to report; open a study first.")
            return
        parent = QFileDialog.getExistingDirectory(
            self._window, "Folder for the report's own folder", last_folder(SAVED)
        )
        if not parent:
            return
        remember_folder(parent, SAVED)
        folder = Path(parent) / f"{study.case}-comparison"
        overwrite = False
        if folder.exists() and any(folder.iterdir()):
            text = f"{folder.name} is there already. Replace what is in it?"
            if QMessageBox.question(self._window, "Report", text) != QMessageBox.StandardButton.Yes:
                return
            overwrite = True
        self.report(folder, overwrite)

    def _ask_table(self) -> None:
        self._ask("Save the table", "comparison.csv", "Table (*.csv *.json)", self.table)

    def _ask_matrix(self) -> None:
        self._ask("Save the matrix", "matrix.png", _FIGURE, self.matrix)

    def _ask_sheet(self) -> None:
        self._ask("Save the contact sheet", "contact-sheet.png", _FIGURE, self.sheet)

    def _ask_save(self) -> None:
        self._ask("Save the session", f"session{SUFFIX}", _SESSION, self.save_session)

    def _ask_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, "Open a session", last_folder(SAVED), _SESSION)
        if path and self.may_leave():
            remember_folder(str(Path(path).parent), SAVED)
            self.open_session(Path(path))

    def _ask(self, title: str, name: str, kinds: str, act: Callable[[Path], None]) -> None:
        study = self._state.session.study
        start = Path(last_folder(SAVED)) / (f"{study.case}-{name}" if study else name)
        path, _ = QFileDialog.getSaveFileName(self._window, title, str(start), kinds)
        if path:
            remember_folder(str(Path(path).parent), SAVED)
            act(Path(path))
