"""Opens studies, asks what files and codes do not say, and takes over what napari's reader found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSettings, QTimer
from qtpy.QtWidgets import QFileDialog

from napari_mrseg._qt.assign import AssignDialog, ask_codes, ask_study, files_at, is_unclear, studies_at
from napari_mrseg._qt.files import file_kinds, files_of
from napari_mrseg._qt.modalities import swapped
from napari_mrseg._qt.panel import CHOOSE, CODES, WHICH
from napari_mrseg.errors import InputError, LabelCodesError, MrsegError, NotAlignedError
from napari_mrseg.io.labels import MEND
from napari_mrseg.openings import suggested_roles
from napari_mrseg.session import Opened

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host


class Opener:
    """The ways a study gets into the dock. Reading is the session's work.

    ``asked``: what is to be opened, until it is.
    """

    def __init__(self, dock: Host) -> None:
        self._dock = dock
        self._offered: list[str] = []
        self.asked: Opened | None = None

    @property
    def reading(self) -> str:
        """What is being read, in words; nothing if nothing is."""
        if self.asked is None or not self._dock.session.opening:
            return ""
        return f"Reading {Path(self.asked.paths[0].split('=')[-1]).name} …"

    def open(self, paths: Sequence[str | Path], **options: Any) -> None:
        assigned = dict(options.pop("assign", None) or {})
        self._read(Opened(tuple(map(str, paths)), assigned, options))

    def assign(self, role: str, path: str) -> None:
        """Open the same once more with this file in that role."""
        session = self._dock.session
        self._read(session.corrected(swapped(files_of(session), role, path)))

    def _read(self, asked: Opened) -> None:
        self._dock.hush()
        self.asked = asked
        self._dock.session.open_later(asked.paths, assign=asked.assigned, **asked.options)

    def ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self._dock, "Open a subject's folder", last_folder())
        if folder:
            remember_folder(str(Path(folder).parent))
            self._dock.open([folder])

    def ask_files(self) -> None:
        title = "Open one subject's scans"
        kinds = file_kinds(self._dock.session.task)
        files, _ = QFileDialog.getOpenFileNames(self._dock, title, last_folder(), kinds)
        if files:
            remember_folder(str(Path(files[0]).parent))
            self._dock.open(files)

    def open_sample(self) -> None:
        from napari_mrseg.resources import sample_study

        try:
            self._dock.open([sample_study(self._dock.session.task)])
        except InputError as error:
            self._dock.say(str(error))

    def offer(self, path: str) -> None:
        """Open a path dropped on the window; files dropped together make one study."""
        if not self._offered:
            QTimer.singleShot(100, self._open_offered)
        self._offered.append(path)

    def adopt(self) -> None:
        """Take over what the reader opened before the dock was there."""
        session = self._dock.session
        if session.study is not None or session.opening:
            return
        layers = self._dock.viewer.layers
        paths = [p for la in layers for p in la.metadata.get("mrseg", {}).get("paths", ())]
        if paths:
            self._dock.open(list(dict.fromkeys(paths)))

    # -- what the user can say where files do not --------------------------------------------------------

    def offer_mends(self, cause: MrsegError | None) -> None:
        """The button for what would mend an opening that failed for ``cause``."""
        asked = () if self.asked is None else self.asked.paths
        panel, task = self._dock.panel, self._dock.session.task
        panel.which_button.setEnabled(True)
        panel.which_button.setText(CHOOSE if asked and studies_at(asked, task) else WHICH)
        # Where one scan cannot be aligned, the others go on without it: it can be set to "not used" there.
        unclear = isinstance(cause, NotAlignedError) or is_unclear(asked, task)
        panel.which_button.setVisible(bool(asked and unclear))
        self.offer_codes(failed=bool(asked) and isinstance(cause, LabelCodesError))

    def offer_codes(self, *, failed: bool = False) -> None:
        """The button for what the reference's codes mean: where they are in doubt, or were."""
        study, said = self._dock.session.study, self._dock.session.opened.options.get("labels")
        doubtful = study is not None and any(note.mend == MEND for note in study.notes)
        button = self._dock.panel.codes_button
        button.setText(f"Codes of the reference: {said} …" if said else CODES)
        button.setVisible(failed or doubtful or bool(study and said))

    def hide_mends(self) -> None:
        """Hide what an opening that failed had to offer."""
        self._dock.panel.which_button.setVisible(False)
        self.offer_codes()

    def codes(self) -> None:
        """Ask whose codes the reference has, and open the same once more so."""
        opened = self.asked or self._dock.session.opened
        answer = ask_codes(self._dock.session.task, opened.options.get("labels"), self._dock)
        if answer is not None:
            self._read(replace(opened, options={**opened.options, **answer}))

    def which(self) -> None:
        """Look at the files whose names leave it open, then ask which file is which, and open them so."""
        asked, task = self.asked, self._dock.session.task
        if asked is None:
            return
        studies = studies_at(asked.paths, task)
        if studies:
            chosen = ask_study(studies, self._dock)
            if chosen is not None:
                self._read(replace(asked, paths=(str(chosen),)))
            return
        self._dock.panel.which_button.setEnabled(False)
        self._dock.later(
            lambda: suggested_roles(asked.paths, task), done=lambda looks: self._ask_which(asked, looks)
        )

    def _ask_which(self, asked: Opened, looks: dict[str, str]) -> None:
        self._dock.panel.which_button.setEnabled(True)
        if asked is not self.asked:
            return  # something else was opened meanwhile
        task = self._dock.session.task
        dialog = AssignDialog(task, files_at(asked.paths, task), self._dock, looks)
        if dialog.exec():
            self._read(replace(asked, assigned=dialog.roles()))

    def recut(self) -> None:
        """Cut the brain out anew, by the mask as it was painted."""
        from napari_mrseg.io.brain import recut

        session, layer = self._dock.session, self._dock.layers.brain
        if session.study is None or layer is None:
            return
        mask = np.asarray(layer.data) > 0
        if not mask.any():
            self._dock.say("The brain mask is empty; paint the brain into it first.")
            return
        opened, used = session.opened, session.combination
        session.set_study(recut(session.study, mask), combination=used, opened=opened)

    def _open_offered(self) -> None:
        paths, self._offered = self._offered, []
        if not self._dock.closed:
            self._dock.open(paths)


def last_folder() -> str:
    """Where the user last opened or saved something."""
    return str(QSettings("napari-mrseg", "dock").value("folder", ""))


def remember_folder(folder: str) -> None:
    QSettings("napari-mrseg", "dock").setValue("folder", folder)
