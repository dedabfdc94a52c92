"""Opens studies, asks what files and codes do not say, and takes over what napari's reader found.

From the moment a study is asked for until it is there, nothing of the old one is on screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_mrseg._qt.about import paths_of
from napari_mrseg._qt.assign import AssignDialog, ask_codes, ask_study, files_at, is_unclear, studies_at
from napari_mrseg._qt.file_choices import file_kinds, files_of
from napari_mrseg._qt.modalities import swapped
from napari_mrseg._qt.panel import CHOOSE, CODES, WHICH
from napari_mrseg._qt.unsaved import leave
from napari_mrseg._qt.user_settings import last_folder, remember_folder, remember_study
from napari_mrseg.errors import InputError, LabelCodesError, MrsegError, NotAlignedError
from napari_mrseg.io.brain import OF_A_CUT, How
from napari_mrseg.io.labels import CODES_OPTION
from napari_mrseg.session.opened import Opened
from napari_mrseg.session.opening import held_by, held_in_words, name_of, suggested_roles
from napari_mrseg.study import Study

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host


class Opener:
    """The ways a study gets into the dock. Reading is the session's work.

    ``asked``: what is to be opened, until it is. ``name``: what it is called meanwhile.
    """

    def __init__(self, dock: Host) -> None:
        self._dock = dock
        self._offered: list[str] = []
        self._old: Study | None = None  # what was open when it was asked for
        self._asking = False
        self.asked: Opened | None = None
        self.name = ""

    @property
    def reading(self) -> str:
        """What is being read, in words; nothing if nothing is."""
        session = self._dock.session
        if not session.opening or session.study is not None:
            return ""
        return f"Opening {self.name if self.asked is not None else 'a study'} …"

    @property
    def step(self) -> str:
        """Which file is being read, in words, or that all are."""
        session = self._dock.session
        role = session.openings.role
        return (
            f"reading {session.task.modality(role).title if role in session.task.names else role or 'names'}"
        )

    def open(self, paths: Sequence[str | Path], *, name: str = "", **options: Any) -> bool:
        """``name``: what it is called until it is there, by default as its folder. False if the old one stays."""
        assigned = dict(options.pop("assign", None) or {})
        return self._read(Opened(tuple(map(str, paths)), assigned, options), name)

    def assign(self, role: str, path: str) -> None:
        """Open the same once more with this file in that role."""
        session = self._dock.session
        self._read(session.corrected(swapped(files_of(session), role, path)))

    def may_leave(self, why: str = "opening another study") -> bool:
        """Whether the open study can go: asks, once, about what was painted and is not saved."""
        if self._asking:
            return False
        layers = self._dock.layers
        unsaved, self._asking = layers.unsaved(), True
        try:
            if not leave(unsaved, self._dock, why):
                return False
        finally:
            self._asking = False
        layers.given_up += layers.unsaved()
        return True

    def cancel(self) -> None:
        """Stop reading; the old study comes back."""
        name = self.name
        if self._dock.session.cancel_opening():
            self._dock.show_now()
            self._dock.say(f"Opening {name} was cancelled.")

    def heard(self) -> None:
        """Another study is there, or the old one is back."""
        session = self._dock.session
        if session.opening and session.study is None:
            return
        intact, asked, old, self._old = session.intact, self.asked, self._old, None
        if intact is None or intact is not old:
            self.asked = None
            if intact is not None and asked is not None and session.opened.paths == asked.paths:
                self._remember(asked)

    def _remember(self, asked: Opened) -> None:
        from napari_mrseg.resources import sample_study

        task = self._dock.session.task
        try:
            sample = str(sample_study(task))
        except InputError:  # a task without one
            sample = ""
        if sample in asked.paths:
            return
        remember_study(task.name, asked.paths)
        first = Path(asked.paths[0].rpartition("=")[2]).absolute()
        remember_folder(str(first.parent))

    def _read(self, asked: Opened, name: str = "") -> bool:
        session = self._dock.session
        if not self.may_leave():
            return False
        self._dock.hush()
        self._old = self._old or session.intact
        self.asked, self.name = asked, name or name_of(asked.paths)
        session.open_later(asked.paths, assign=asked.assigned, **asked.options)
        self._dock.show_now()  # no frame of the old study is drawn after this
        return True

    def ask_folder(self) -> None:
        what = "Open a subject's folder" if self._dock.session.task.ndim == 3 else "Open a folder of pictures"
        folder = QFileDialog.getExistingDirectory(self._dock, what, last_folder())
        if folder:
            self._dock.open([folder])

    def ask_files(self) -> None:
        title = (
            "Open one subject's scans" if self._dock.session.task.ndim == 3 else "Open one frame's pictures"
        )
        kinds = file_kinds(self._dock.session.task)
        files, _ = QFileDialog.getOpenFileNames(self._dock, title, last_folder(), kinds)
        if files:
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

    def read_before(self) -> list[str]:
        """Paths of what the reader put into the window before the dock was there."""
        return list(dict.fromkeys(path for layer in self._dock.viewer.layers for path in paths_of(layer)))

    def adopt(self, paths: Sequence[str]) -> None:
        """Take over what was :meth:`read_before`, unless the session has a study already."""
        session = self._dock.session
        if paths and session.study is None and not session.opening:
            self._dock.open(paths)

    # -- what the user can say where files do not --------------------------------------------------------

    def offer_fixes(self, cause: MrsegError | None) -> None:
        """The button for what would fix an opening that failed for ``cause``."""
        asked = () if self.asked is None else self.asked.paths
        panel, task = self._dock.panel, self._dock.session.task
        panel.which_button.setEnabled(True)
        studies = studies_at(asked, task) if asked else ()
        panel.which_button.setText(CHOOSE if studies else WHICH)
        # Where one scan cannot be aligned, the others go on without it: it can be set to "not used" there.
        unclear = isinstance(cause, NotAlignedError) or is_unclear(asked, task)
        panel.which_button.setVisible(bool(asked and (unclear or studies)))
        self.offer_codes(failed=bool(asked) and isinstance(cause, LabelCodesError))

    def offer_codes(self, *, failed: bool = False) -> None:
        """The button for what the reference's codes mean: where they are in doubt, or were."""
        study, stated = self._dock.session.study, self._dock.session.opened.options.get("labels")
        doubtful = study is not None and any(note.mend == CODES_OPTION for note in study.notes)
        button = self._dock.panel.codes_button
        button.setText(f"Codes of the reference: {stated} …" if stated else CODES)
        button.setVisible(failed or doubtful or bool(study and stated))

    def held_beyond(self, sentence: str) -> str:
        """What a folder without scans of its own holds instead, in words, if ``sentence`` does not name it all."""
        asked = () if self.asked is None else self.asked.paths
        held = held_by(asked, self._dock.session.task) if asked else ()
        named = all(path.name in sentence for path, _ in held)
        return "" if named else held_in_words(held)

    def forget_refused(self) -> None:
        """Something else is asked for: hide what an opening that failed had to offer."""
        if not self._dock.session.opening:
            self.asked = None
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
            lambda: suggested_roles(asked.paths, task),
            done=lambda suggested: self._ask_which(asked, suggested),
        )

    def _ask_which(self, asked: Opened, suggested: dict[str, str]) -> None:
        self._dock.panel.which_button.setEnabled(True)
        if asked is not self.asked:
            return  # something else was opened meanwhile
        task = self._dock.session.task
        dialog = AssignDialog(task, files_at(asked.paths, task), self._dock, suggested)
        if dialog.exec():
            self._read(replace(asked, assigned=dialog.roles()))

    def offer_brain(self) -> None:
        """The button for how the brain is cut out: where it was, was sought in vain, or was asked for."""
        session = self._dock.session
        study = session.study
        how: How = session.opened.options.get("brain") or "auto"
        told = study is not None and any(note.code in OF_A_CUT for note in study.notes)
        self._dock.panel.brain_choice.show_how(how)
        self._dock.panel.brain_choice.setVisible(told or (study is not None and how != "auto"))

    def cut_by(self, how: How) -> None:
        """Open the same once more, the brain cut out by ``how``."""
        opened = self._dock.session.opened
        self._read(replace(opened, options={**opened.options, "brain": how}))

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
        given_up = self._dock.layers.given_up
        given_up.append(layer)  # the mask is in use from now on
        if not self.may_leave("cutting the brain out anew"):
            given_up.remove(layer)
            return
        opened, used = session.opened, session.combination
        session.set_study(recut(session.study, mask), combination=used, opened=opened)

    def _open_offered(self) -> None:
        paths, self._offered = self._offered, []
        if not self._dock.closed:
            self._dock.open(paths)
