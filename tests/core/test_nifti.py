"""Reading one volume, and opening a study from files."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import MakeStudy, WriteNifti
from synthetic import LPS, save_nifti

from napari_mrseg.errors import InputError
from napari_mrseg.io import describe, inspect, nifti, open_study

DATA = np.random.default_rng(0).integers(0, 900, (6, 7, 8)).astype(np.int16)


def note_codes(notes: object) -> list[str]:
    return [note.code for note in notes]  # type: ignore[attr-defined]


def test_voxels_as_nibabel_reads_them(tmp_path: Path) -> None:
    """Scale, intercept and voxel type are applied as nibabel applies them."""
    for dtype in (np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64):
        image = nib.Nifti1Image((DATA % 200).astype(dtype), LPS)
        image.header.set_slope_inter(0.25, -3)
        nib.save(image, tmp_path / "a.nii.gz")
        read, _, _ = nifti.read(tmp_path / "a.nii.gz")
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, nib.load(tmp_path / "a.nii.gz").get_fdata(dtype=np.float32))


def test_hash_is_of_the_files_bytes(write_nifti: WriteNifti) -> None:
    """The source names the very file: the sha256 of its bytes."""
    path = write_nifti("a.nii.gz", DATA)
    assert nifti.read(path)[1].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_compression_is_seen_by_content(tmp_path: Path, write_nifti: WriteNifti) -> None:
    """A packed file called .nii and a plain one called .nii.gz are read for what they are."""
    packed, plain = write_nifti("a.nii.gz", DATA), write_nifti("b.nii", DATA)
    packed.rename(tmp_path / "c.nii")
    plain.rename(tmp_path / "d.nii.gz")
    for name in ("c.nii", "d.nii.gz"):
        np.testing.assert_array_equal(nifti.read(tmp_path / name)[0], DATA)


def test_extensions_are_not_read_or_kept(tmp_path: Path) -> None:
    """A header extension (often a dump of DICOM tags) moves the voxels, and is dropped."""
    image = nib.Nifti1Image(DATA, LPS)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe^Jane" * 20))
    nib.save(image, tmp_path / "a.nii.gz")
    read, source, _ = nifti.read(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read, DATA)
    assert "Doe" not in str(source.header)


def test_trailing_singletons_are_squeezed(write_nifti: WriteNifti) -> None:
    """A 4-D file of one volume is that volume."""
    read, source, _ = nifti.read(write_nifti("a.nii.gz", DATA[..., None]))
    assert read.shape == source.grid.shape == DATA.shape


def test_header_fields_are_copies(write_nifti: WriteNifti) -> None:
    """The source keeps the geometry fields themselves, in the machine's byte order."""
    path = write_nifti("a.nii.gz", DATA, np.diag([-0.5, -0.75, 2, 1]), codes=(2, 4))
    header, original = nifti.read(path)[1].header, nib.load(path).header
    for name in (*nifti.GEOMETRY, "dim"):
        np.testing.assert_array_equal(header[name], original[name])


class TestForms:
    """qform and sform."""

    def test_agreeing(self, write_nifti: WriteNifti) -> None:
        """Two forms that agree to within a millimetre raise no doubt."""
        near = LPS.copy()
        near[0, 3] = 0.9
        assert nifti.read(write_nifti("a.nii.gz", DATA, LPS, qform=near))[2] == ()

    @pytest.mark.parametrize("codes", [(0, 1), (1, 0)])
    def test_code_zero_is_absent(self, write_nifti: WriteNifti, codes: tuple[int, int]) -> None:
        """A form with code 0 is not there: no conflict, the other one counts."""
        other = LPS.copy()
        other[:3, 3] = (40, 50, 60)
        path = write_nifti("a.nii.gz", DATA, LPS, qform=other, codes=codes)
        _, source, notes = nifti.read(path)
        assert notes == ()
        np.testing.assert_allclose(source.grid.matrix, other if codes == (1, 0) else LPS)

    def test_shift(self, write_nifti: WriteNifti) -> None:
        """Forms more than a millimetre apart are a warning, and the sform counts."""
        other = LPS.copy()
        other[1, 3] = 1.5
        _, source, notes = nifti.read(write_nifti("a.nii.gz", DATA, LPS, qform=other))
        assert note_codes(notes) == ["qform_sform_differ"]
        assert "1.5 mm" in notes[0].message
        np.testing.assert_allclose(source.grid.matrix, LPS)

    def test_rotation_shows_at_the_corners(self, write_nifti: WriteNifti) -> None:
        """Forms with one origin but turned against each other differ too."""
        turned = LPS.copy()
        turned[:2, :2] = [[-0.96, 0.28], [-0.28, -0.96]]
        notes = nifti.read(write_nifti("a.nii.gz", DATA, LPS, qform=turned))[2]
        assert note_codes(notes) == ["qform_sform_differ"]

    def test_handedness(self, write_nifti: WriteNifti) -> None:
        """Mirror images are a warning however near their corners lie."""
        small = np.diag([0.2, 0.2, 0.2, 1])
        mirror = np.diag([-0.2, 0.2, 0.2, 1])
        notes = nifti.read(write_nifti("a.nii.gz", DATA, small, qform=mirror))[2]
        assert "mirror" in notes[0].message

    def test_neither(self, write_nifti: WriteNifti) -> None:
        """A file that does not say how it lies is refused, unless RAS is asked for; then a note says so."""
        path = write_nifti("a.nii.gz", DATA, np.diag([2, 3, 4, 1]), codes=(0, 0))
        with pytest.raises(InputError, match="--assume-ras"):
            nifti.read(path)
        _, source, notes = nifti.read(path, assume_ras=True)
        assert note_codes(notes) == ["assumed_ras"]
        np.testing.assert_allclose(source.grid.matrix, np.diag([2, 3, 4, 1]))

    def test_assume_ras_changes_nothing_else(self, write_nifti: WriteNifti) -> None:
        """A file that does say how it lies is believed."""
        _, source, notes = nifti.read(write_nifti("a.nii.gz", DATA), assume_ras=True)
        assert notes == ()
        assert source.grid.axis_codes == ("L", "P", "S")


@pytest.mark.parametrize(
    ("unit", "size", "spacing", "code"),
    [
        ("mm", 1.0, 1.0, None),
        ("meter", 0.001, 1.0, "unit_converted"),
        ("micron", 500.0, 0.5, "unit_converted"),
        ("meter", 1.0, 1.0, "unit_doubtful"),
        ("micron", 1.0, 1.0, "unit_doubtful"),
    ],
)
def test_units(write_nifti: WriteNifti, unit: str, size: float, spacing: float, code: str | None) -> None:
    """Metres and micrometres become millimetres, unless that cannot be meant; either is said."""
    _, source, notes = nifti.read(write_nifti("a.nii.gz", DATA, np.diag([size] * 3 + [1]), unit=unit))
    np.testing.assert_allclose(source.grid.spacing, spacing, rtol=1e-6)
    assert note_codes(notes) == ([code] if code else [])


class TestOpenStudy:
    """Files → Study."""

    def test_folder(self, make_study: MakeStudy) -> None:
        """A folder gives its modalities in the task's order, contiguous and read-only, and the reference."""
        study = open_study(make_study())
        assert study.present == ("flair", "t1", "t1ce", "t2")
        assert study.case == "case-1"
        assert study.reference is not None
        assert set(np.unique(study.reference.labels)) == {0, 1, 2, 3}
        assert study.notes == ()
        for image in study.images.values():
            assert image.data.flags.c_contiguous
            assert image.data.dtype == np.float32
            assert not image.data.flags.writeable
            assert image.source.reason

    @pytest.mark.parametrize("some", [("t2",), ("t1ce", "flair"), ("t1", "t2", "t1ce")])
    def test_subsets(self, make_study: MakeStudy, some: tuple[str, ...]) -> None:
        """Any non-empty subset is a study."""
        study = open_study(make_study(some, seg=False))
        assert set(study.present) == set(some)
        assert study.reference is None

    def test_mixed_axis_orders(self, make_study: MakeStudy, tmp_path: Path) -> None:
        """Files whose axes run differently but cover the same voxels are one grid."""
        folder = make_study(("flair", "t1"), seg=False)
        image = nib.load(folder / "case-1_t1.nii.gz")
        turned = nib.as_closest_canonical(image)
        save_nifti(folder / "case-1_t1.nii.gz", np.asanyarray(turned.dataobj), turned.affine)
        study = open_study(folder)
        assert study.images["t1"].source.grid.axis_codes == ("R", "A", "S")
        assert study.images["t1"].data.shape == study.grid.shape

    def test_assign(self, make_study: MakeStudy) -> None:
        """A correction by hand swaps what the names say, and can leave a file out."""
        folder = make_study()
        plain = open_study(folder)
        study = open_study(
            folder,
            assign={"case-1_t1.nii.gz": "t1ce", "case-1_t1ce.nii.gz": "t1", "case-1_t2.nii.gz": None},
        )
        assert study.present == ("flair", "t1", "t1ce")
        np.testing.assert_array_equal(study.images["t1"].data, plain.images["t1ce"].data)

    def test_use(self, make_study: MakeStudy) -> None:
        """A modality that is not used is as if its file had never been there, whatever is wrong with it."""
        folder = make_study(("flair", "t1"), seg=False)
        alone = open_study(folder, use=["t1"])
        for name in ("case-1_flair.nii.gz", "other_flair.nii.gz"):
            (folder / name).write_text("damaged")
        study = open_study(folder, use=["T1"])
        assert study.present == ("t1",)
        assert study.digest == alone.digest
        with pytest.raises(InputError, match=r"has no t1ce; choose among what is there \(flair, t1\)"):
            open_study(folder, use=["t1", "t1ce"])

    def test_simulated(self, make_study: MakeStudy) -> None:
        """A simulated case says so."""
        folder = make_study(seg=False)
        assert not open_study(folder).simulated
        (folder / "simulated.json").write_text("{}")
        assert open_study(folder).simulated

    def test_what_is_not_used_names_nothing(self, make_study: MakeStudy) -> None:
        """Case and "simulated" come from the used files: a dropped one's folder was never there."""
        first, second = make_study(("flair",), case="case-1"), make_study(("t1",), case="case-2")
        (first / "simulated.json").write_text("{}")
        pairs = [f"flair={first / 'case-1_flair.nii.gz'}", f"t1={second / 'case-2_t1.nii.gz'}"]
        for use, alone in (("t1", pairs[1:]), ("flair", pairs[:1])):
            restricted, given = open_study(pairs, use=[use]), open_study(alone)
            assert (restricted.case, restricted.simulated) == (given.case, given.simulated)
        assert open_study(pairs, use=["t1"]).case == "case-2"
        assert open_study(pairs).case == "case-1"

    def test_notes_name_their_modality(self, make_study: MakeStudy) -> None:
        """A doubt about one file goes when that modality is switched off."""
        folder = make_study(("flair", "t1"), seg=False)
        other = LPS.copy()
        other[1, 3] = 5
        data = np.asanyarray(nib.load(folder / "case-1_t1.nii.gz").dataobj)
        save_nifti(folder / "case-1_t1.nii.gz", data, LPS, qform=other)
        study = open_study(folder)
        assert [(n.code, n.modality) for n in study.notes] == [("qform_sform_differ", "t1")]
        assert study.only(["flair"]).notes == ()


class TestReference:
    """The segmentation beside the scans."""

    def seg(self, folder: Path, labels: object, name: str = "case-1_seg.nii.gz") -> Path:
        return save_nifti(folder / name, np.asarray(labels), LPS)

    def test_codes_of_older_data(self, make_study: MakeStudy) -> None:
        """Code 4 is read as 3, also from a float file."""
        folder = make_study(["t1"])
        labels = np.asanyarray(nib.load(folder / "case-1_seg.nii.gz").dataobj).astype(np.float32)
        wanted = open_study(folder).reference
        labels[labels == 3] = 4.0000005
        self.seg(folder, labels)
        reference = open_study(folder).reference
        assert reference is not None
        assert wanted is not None
        np.testing.assert_array_equal(reference.labels, wanted.labels)

    @pytest.mark.parametrize(
        ("values", "part"),
        [([0, 1, 7], "code 7"), ([0, 0.5, 1], "between the label codes"), ([0, 3, 4], "means something else"),
         ([0, -1, 1], "code -1"), ([0, 1, 300], "code 300")],
    )  # fmt: skip
    def test_other_codes(self, make_study: MakeStudy, values: list[float], part: str) -> None:
        """Codes the task does not have: left out with a note if merely found, refused if given."""
        folder = make_study(["t1"], seg=False)
        path = self.seg(folder, np.resize(np.array(values, dtype=np.float32), (12, 14, 10)))
        study = open_study(folder)
        assert study.reference is None
        assert [n.code for n in study.notes] == ["reference_unusable"]
        with pytest.raises(InputError, match=part):
            open_study(folder, reference=path)
        assert open_study(folder, reference=False).notes == ()

    def test_another_grid(self, make_study: MakeStudy) -> None:
        """A found reference on another grid is left out with a note; a given one is refused."""
        folder = make_study(["t1"], seg=False)
        path = self.seg(folder, np.zeros((5, 5, 5), dtype=np.uint8))
        assert [n.code for n in open_study(folder).notes] == ["reference_unusable"]
        with pytest.raises(InputError, match="another grid"):
            open_study(folder, reference=path)

    def test_unreadable(self, make_study: MakeStudy) -> None:
        """A damaged reference that was merely found does not fail the study."""
        folder = make_study(["t1"], seg=False)
        (folder / "seg.nii.gz").write_text("text")
        study = open_study(folder)
        assert study.reference is None
        assert "not a NIfTI file" in study.notes[0].message

    def test_empty_mask(self, make_study: MakeStudy) -> None:
        """No tumour is a finding: a reference of zeros is one."""
        folder = make_study(["t1"], seg=False)
        self.seg(folder, np.zeros((12, 14, 10), dtype=np.uint8))
        reference = open_study(folder).reference
        assert reference is not None
        assert not reference.labels.any()

    def test_two(self, make_study: MakeStudy) -> None:
        """Of two found references none is guessed; naming one uses it."""
        folder = make_study(["t1"])
        path = self.seg(folder, np.zeros((12, 14, 10), dtype=np.uint8), "other_mask.nii.gz")
        assert [n.code for n in open_study(folder).notes] == ["reference_ambiguous"]
        reference = open_study(folder, reference=path).reference
        assert reference is not None
        assert reference.source.path.name == "other_mask.nii.gz"

    def test_from_elsewhere(self, make_study: MakeStudy, tmp_path: Path) -> None:
        """A reference may lie in another folder and have any name; a missing one is refused."""
        folder = make_study(["t1"])
        path = self.seg(tmp_path / "elsewhere", np.ones((12, 14, 10), dtype=np.uint8), "gold.nii.gz")
        reference = open_study(folder, reference=str(path)).reference
        assert reference is not None
        assert reference.labels.all()
        with pytest.raises(InputError, match="does not exist"):
            open_study(folder, reference=tmp_path / "no.nii.gz")

    def test_computed(self, make_study: MakeStudy) -> None:
        """A mask named as computed is used, and said to be one."""
        folder = make_study(["t1"])
        (folder / "case-1_seg.nii.gz").rename(folder / "pseudo-seg.nii.gz")
        study = open_study(folder)
        assert study.reference is not None
        assert [n.code for n in study.notes] == ["reference_computed"]


def test_inspect(make_study: MakeStudy) -> None:
    """inspect tells role, reason, size, spacing and letters of each file, and what can be asked."""
    found = inspect(make_study(("t1ce", "flair")))
    assert found["present"] == ["flair", "t1ce"]
    assert found["missing"] == ["t1", "t2"]
    assert found["combinations"] == ["flair+t1ce", "flair", "t1ce"]
    assert found["usable"]
    first = found["files"][0]
    assert (first["role"], first["orientation"], first["shape"]) == ("flair", "LPS", [12, 14, 10])
    text = describe(found)
    assert "case-1_seg.nii.gz" in text
    assert "flair+t1ce" in text


def test_inspect_reports_instead_of_raising(make_study: MakeStudy) -> None:
    """One unreadable file among four is reported as such beside the three that are fine."""
    folder = make_study()
    (folder / "case-1_t1.nii.gz").write_bytes(gzip.compress(b"no scan"))
    found = inspect(folder)
    assert not found["usable"]
    assert found["combinations"] == []
    assert sum(bool(f["problems"]) for f in found["files"]) == 1
    assert "case-1_t1.nii.gz" in found["problems"][0]
    assert "Problem: case-1_t1.nii.gz" in describe(found)


@pytest.mark.real
class TestRealScans:
    """The shared scans open as their README says."""

    def test_true_mask_with_qform_only(self, real_data: Path) -> None:
        """BraTS-GLI-00000-000: the mask's sform_code of 0 is no conflict."""
        study = open_study(real_data / "BraTS-GLI-00000-000")
        assert study.present == ("flair", "t1", "t1ce", "t2")
        assert study.grid.shape == (155, 240, 240)
        assert study.notes == ()
        assert study.reference is not None
        assert set(np.unique(study.reference.labels)) == {0, 1, 2, 3}

    def test_older_codes(self, real_data: Path) -> None:
        """BraTS2021_01481: code 4 becomes 3."""
        study = open_study(real_data / "BraTS2021_01481")
        assert study.reference is not None
        assert set(np.unique(study.reference.labels)) == {0, 1, 2, 3}

    def test_pseudo_mask(self, real_data: Path) -> None:
        """tcga-fg-6692: its mask is used and said to be computed."""
        study = open_study(real_data / "tcga-fg-6692")
        assert [n.code for n in study.notes] == ["reference_computed"]

    def test_no_tumour_reference(self, real_data: Path) -> None:
        """ms-cross-07: the lesion mask of another disease is not taken as reference, unless given."""
        folder = real_data / "ms-cross-07"
        study = open_study(folder)
        assert study.present == ("flair", "t1", "t1ce", "t2")
        assert study.images["t1"].source.grid.axis_codes == ("L", "A", "S")
        assert study.reference is None
        gold = next(folder.glob("GOLD*"))
        assert open_study([folder / next(folder.glob("T1_*")).name], reference=gold).reference is not None

    def test_three_grids(self, real_data: Path) -> None:
        """ms-longitudinal-01-raw: three grids come onto the finest, the brain is cut out, and both is said."""
        folder = real_data / "ms-longitudinal-01-raw"
        study = open_study(folder)
        assert study.present == ("flair", "t1", "t2")
        assert study.grid.same_as(study.images["t1"].source.own_grid)
        assert [note.code for note in study.notes] == [
            "resampled",
            "resampled",
            "brain_cut_out",
            "brain_cut_off",
        ]
        assert study.images["t1"].mask is not None
        brain_ml = float(study.images["t1"].mask.sum()) * study.grid.voxel_ml
        assert 1250 < brain_ml < 1500  # looked at as a picture
        with pytest.raises(InputError, match="study1_FLAIR"):
            open_study(folder, steps=())
        assert open_study(folder / "study1_T1W.nii.gz", steps=()).present == ("t1",)
