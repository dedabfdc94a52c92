"""The bundled sample study."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import napari_mrseg
from napari_mrseg.io.open import open_study
from napari_mrseg.study import Study

FOLDER = Path(napari_mrseg.__file__).parent / "resources" / "sample"


@pytest.fixture(scope="module")
def study() -> Study:
    return open_study(FOLDER)


def test_sample_opens_complete_and_simulated(study: Study) -> None:
    """Four modalities and a reference on one 1 mm grid, marked as simulated, without a warning."""
    assert study.present == study.task.names
    assert study.simulated
    assert study.notes == ()
    assert study.grid.spacing == (1.0, 1.0, 1.0)


def test_sample_has_a_believable_tumour(study: Study) -> None:
    """Core, oedema and enhancing rim are there, the rim bright on T1ce and the oedema on FLAIR."""
    assert study.reference is not None
    labels = study.reference.labels
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    brain = study.images["t1"].data > 0
    for name, code in (("t1ce", 3), ("flair", 2)):
        image = study.images[name].data
        assert np.median(image[labels == code]) > np.percentile(image[brain & (labels == 0)], 90)


def test_sample_is_small_and_says_where_it_comes_from() -> None:
    """At most 10 MB, with the template's licence and how it was made."""
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) <= 10e6
    about = json.loads((FOLDER / "simulated.json").read_text())
    assert about["simulated"]
    assert about["command"].startswith("python -m tools.sample")
    assert "McGill" in (FOLDER / about["template_licence"]).read_text()


def test_sample_geometry_is_stated_twice_and_alike() -> None:
    """qform and sform are both set, equal, LPS, and the header holds no free text."""
    for file in FOLDER.glob("*.nii.gz"):
        header = nib.load(file).header
        assert int(header["qform_code"]) == int(header["sform_code"]) == 1
        np.testing.assert_allclose(header.get_qform(), header.get_sform())
        assert nib.aff2axcodes(header.get_sform()) == ("L", "P", "S")
        assert bytes(header["descrip"]).strip(b"\0") == b""
