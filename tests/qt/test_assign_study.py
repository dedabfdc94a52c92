"""An export of several studies: the user chooses one, and that one alone is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog, QWidget
from synthetic_dicom import write_series

from napari_mrseg._qt.assign import ask_study, studies_at
from napari_mrseg.io import recognise
from napari_mrseg.tasks import BRATS


def test_one_study_of_an_export_is_chosen(
    tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list names patients by number; what is chosen is a path that opens."""
    data = np.random.default_rng(0).integers(1, 900, (20, 18, 12))
    affine = np.diag([-3.0, -3.0, 3.0, 1.0])
    write_series(tmp_path / "a", data, affine, description="T2", study="1.2.3")
    write_series(tmp_path / "b", data, affine, description="FLAIR", study="1.2.4", PatientID="other")
    studies = studies_at([tmp_path], BRATS)
    assert [words.partition(" (")[0] for _, words in studies] == ["study 1", "study 2"]
    assert {"patient 1", "patient 2"} == {words.split("(")[1].split(",")[0] for _, words in studies}
    parent = QWidget()
    qtbot.addWidget(parent)
    monkeypatch.setattr(QInputDialog, "getItem", lambda *args: (args[3][1], True))
    chosen = ask_study(studies, parent)
    assert chosen is not None
    assert len(recognise([str(chosen)], BRATS).of("flair")) == 1
    monkeypatch.setattr(QInputDialog, "getItem", lambda *args: ("", False))
    assert ask_study(studies, parent) is None
    assert studies_at([tmp_path / "study 1"], BRATS) == ()
