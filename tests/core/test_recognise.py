"""Which file is which modality."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from napari_mrseg.errors import InputError
from napari_mrseg.io import Recognition, recognise
from napari_mrseg.io.recognise import with_roles
from napari_mrseg.session.memory import recall, remember
from napari_mrseg.session.opening import suggested_roles
from napari_mrseg.tasks import BRATS, Label, Modality, Region, Task


def touch(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [
        folder / (name if name.endswith((".nii", ".gz", ".mnc")) else f"{name}.nii.gz") for name in names
    ]
    for path in paths:
        path.touch()
    return paths


def roles(found: Recognition) -> dict[str, str | None]:
    return {f.path.name.removesuffix(".nii.gz"): f.role for f in found.files}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Brats17_TCIA_1_flair", "flair"),
        ("BraTS2021_01481_t1ce", "t1ce"),
        ("BraTS-GLI-00000-000-t1n", "t1"),
        ("BraTS-GLI-00000-000-t1c", "t1ce"),
        ("BraTS-GLI-00000-000-t2W", "t2"),
        ("BraTS-GLI-00000-000-t2f", "flair"),
        ("T1POST_N4_reduced_regtoFLAIR_brain_N4_regtoMNI", "t1ce"),
        ("T1_N4_reduced_regtoFLAIR_brain_N4_regtoMNI", "t1"),
        ("T2_regto_FLAIR", "t2"),
        ("T1_to_FLAIR", "t1"),
        ("OtherEXampleFromTCIA_fla_bet", "flair"),
        ("UPENN-GBM-00001_11_T1GD", "t1ce"),
        ("UCSF-PDGM-0004_T1c", "t1ce"),
        ("patient.T1 post", "t1ce"),
        ("T2_FLAIR", "flair"),
        ("T1_post-op", "t1"),
        ("sub-01_T1w", "t1"),
        ("sub-01_FLAIR", "flair"),
        ("sub-01_ce-gad_T1w", "t1ce"),
        ("sub-01_ses-2_ce-dotarem_run-1_T1w", "t1ce"),
        ("sub-T1_acq-T2_FLAIR", "flair"),
        ("T2_dark_fluid", "flair"),
        ("t2_tirm_tra_dark-fluid", "flair"),
        ("t2_tirm_cor_dark-fluid_p2", "flair"),
        ("T1_contrast", "t1ce"),
        ("T1_with_contrast", "t1ce"),
        ("t1_mprage_contrast", "t1ce"),
        ("T1_enhanced", "t1ce"),
        ("T1w_enhanced_p2", "t1ce"),
        ("T1_postGd", "t1ce"),
        ("T1_pre_contrast", "t1"),
        ("T1_without_contrast", "t1"),
        ("t1_mprage_tra", "t1"),
        ("BraTS2021_01481_seg", "reference"),
        ("pseudo-seg", "reference"),
        ("sub-01_T1w_dseg", "reference"),
        ("GOLD_STANDARD_N4_regtoFLAIR_regtoMNI", None),
        ("T1_brain_mask", None),
        ("adc", None),
        ("t10", None),
    ],
)
def test_names_in_use(tmp_path: Path, name: str, role: str | None) -> None:
    """Every naming in use is read by whole words, in any case, and the reason is given."""
    (found,) = recognise(touch(tmp_path, name)).files
    assert found.role == role
    assert found.reason


@pytest.mark.parametrize(
    ("name", "candidates"),
    [("T1_axial_Gd", ("t1", "t1ce")), ("post_T1w", ("t1", "t1ce")), ("FLAIR_T2", ("flair", "t2"))],
)
def test_doubt_is_not_guessed(tmp_path: Path, name: str, candidates: tuple[str, str]) -> None:
    """A name that says two things gets no role, and the sentence names both and the fix."""
    found = recognise(touch(tmp_path, name))
    assert found.files[0].role is None
    assert found.files[0].doubt == candidates
    (problem,) = found.problems(BRATS)
    assert all(c in problem for c in candidates)
    assert f"={name}.nii.gz" in problem


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("T1_axial_contrast", ("t1", "t1ce")),
        ("T1_axial_postGd", ("t1", "t1ce")),
        ("t2_tirm_cor", ("flair", "t2")),
        ("Ax T1 FSPGR +C", ("t1", "t1ce")),
        ("AX_T1_FSPGR_C", ("t1", "t1ce")),
        ("t1_mprage_sag_con_contraste", ("t1", "t1ce")),
        ("T1_se_mdc", ("t1", "t1ce")),
        ("t1_vibe_Gadovist", ("t1", "t1ce")),
        ("t2_space_flair_sag_iso", ("flair", "t2")),
        ("t2_spc_space_dark-fluid", ("flair", "t2")),
    ],
)
def test_flair_and_contrast_are_never_taken_for_the_plain_scan(
    tmp_path: Path, name: str, candidates: tuple[str, str]
) -> None:
    """A word of FLAIR or of contrast apart from "T2" or "T1" leaves a doubt, not the plain modality."""
    (found,) = recognise(touch(tmp_path, name)).files
    assert found.role is None
    assert sorted(found.doubt) == list(candidates)


@pytest.mark.parametrize("name", ["T2_star", "t2_gre", "t1_fa10", "t2_stir_cor"])
def test_another_kind_of_image_is_not_guessed(tmp_path: Path, name: str) -> None:
    """A word that may make it another sequence leaves "T1" or "T2" open, and the sentence says the fix."""
    found = recognise(touch(tmp_path, name))
    assert found.files[0].role is None
    assert found.files[0].doubt == (name[:2].lower(),)
    (problem,) = found.problems(BRATS)
    assert name.partition("_")[2].partition("_")[0] in problem
    assert f"{name[:2].lower()}={name}.nii.gz" in problem


@pytest.mark.parametrize(
    "name",
    ["T2_rCBV", "T1_prob", "T1_biasfield", "T2_pred", "t2_swi", "T1_map", "t1_adc", "T2_perf", "t2_swi3d"],
)
def test_maps_and_other_sequences_are_set_aside(tmp_path: Path, name: str) -> None:
    """They get no role and raise no question; the reason names the word."""
    recognition = recognise(touch(tmp_path, "x_flair", name))
    found = next(f for f in recognition.files if f.path.name.startswith(name))
    assert recognition.problems(BRATS) == ()
    assert (found.role, found.doubt) == (None, ())
    assert f"“{name.partition('_')[2].lower()}”" in found.reason


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("x_brain_segmentation", None), ("ventricle_mask", None), ("x_wm_seg", None),
        ("brain_tumor_seg", "reference"), ("lesion_mask", "reference"), ("x_seg", "reference"),
    ],
)  # fmt: skip
def test_masks_of_the_brain_and_its_parts_are_no_reference(
    tmp_path: Path, name: str, role: str | None
) -> None:
    """A segmentation of the brain, the ventricles or a tissue is set aside; one of the tumour in it is taken."""
    (found,) = recognise(touch(tmp_path, name)).files
    assert found.role == role


@pytest.mark.parametrize("name", ["sub-01_acq-gd_T1w", "sub-01_acq-mpragegad_T1w", "T1+C", "T1 +Gd"])
def test_an_agent_is_seen_wherever_it_is_named(tmp_path: Path, name: str) -> None:
    """An agent in a free word of BIDS, or after a plus sign, makes T1 a post-contrast one, or asks."""
    (found,) = recognise(touch(tmp_path, name)).files
    assert found.role == "t1ce" or found.doubt == ("t1", "t1ce")


@pytest.mark.parametrize("name", ["t1_mprage_sin_contraste", "T1_ohne_Kontrast", "t1_senza_mdc"])
def test_without_an_agent_in_other_languages(tmp_path: Path, name: str) -> None:
    """Negated words of contrast leave plain T1."""
    (found,) = recognise(touch(tmp_path, name)).files
    assert found.role == "t1"


def test_unknown_words_beside_a_modality_are_shown(tmp_path: Path) -> None:
    """The reason names the words that decided nothing, but not those that all files share, nor numbers."""
    touch(tmp_path, "pat7_t1_fancyseq_3", "pat7_t2_3", "pat7_flair_3")
    reasons = {found.path.name[5:7]: found.reason for found in recognise(tmp_path).files}
    assert reasons == {"t1": "word “t1”, beside “fancyseq”", "t2": "word “t2”", "fl": "word “flair”"}


def test_another_kind_of_image_beside_the_scans_is_ignored(tmp_path: Path) -> None:
    """A folder with a clear T1 opens whatever maps lie beside it; a shared word in all names decides nothing."""
    touch(tmp_path / "a", "x_t1", "x_t1_map")
    touch(tmp_path / "b", "map-7_t1", "map-7_t2")
    for folder in ("a", "b"):
        assert recognise(tmp_path / folder).problems(BRATS) == ()
    assert len(recognise(tmp_path / "b").of("t2")) == 1


def test_a_shared_token_decides_nothing(tmp_path: Path) -> None:
    """A study's name with a modality's word in it does not stand in the way of the files' own words."""
    touch(tmp_path / "case", "T1-trial_seg-7_flair", "T1-trial_seg-7_t1", "T1-trial_seg-7_t2")
    found = recognise([tmp_path / "case"])
    assert list(roles(found).values()) == ["flair", "t1", "t2"]


def test_a_doubt_that_changes_nothing_is_ignored(tmp_path: Path) -> None:
    """An ambiguous extra file does not stop a folder in which its candidates are clear."""
    touch(tmp_path, "a_flair", "a_t2", "flair_t2_difference")
    assert recognise(tmp_path).problems(BRATS) == ()


def test_own_results_are_left_aside(tmp_path: Path) -> None:
    """Label files of this program are no scans: joined names, edited copies, those in result.json."""
    touch(tmp_path, "x_flair", "flair+t1ce", "t1ce_edited", "t1")
    (tmp_path / "result.json").write_text(json.dumps({"predictions": [{"file": "t1.nii.gz"}]}))
    assert roles(recognise(tmp_path)) == {
        "x_flair": "flair", "flair+t1ce": None, "t1ce_edited": None, "t1": None
    }  # fmt: skip


def test_two_of_a_kind(tmp_path: Path) -> None:
    """Two files for one modality is a problem that names both and the fix."""
    touch(tmp_path, "a_flair", "b_flair", "a_t1")
    (problem,) = recognise(tmp_path).problems(BRATS)
    assert "a_flair.nii.gz and b_flair.nii.gz both claim flair" in problem
    assert "flair=a_flair.nii.gz" in problem


def test_explicit_pairs(tmp_path: Path) -> None:
    """``modality=file`` wins over the name, takes synonyms, and the case is the parent folder's name."""
    a, b = touch(tmp_path / "case-7", "scan1", "b_t1")
    (seg,) = touch(tmp_path / "elsewhere", "mine")
    found = recognise([f"FLAIR={a}", f"t1gd={b}", f"reference={seg}"])
    assert [f.role for f in found.files] == ["flair", "t1ce", "reference"]
    assert found.problems(BRATS) == ()
    assert found.case == "case-7"
    assert all(f.explicit for f in found.files)


def test_one_file_as_two(tmp_path: Path) -> None:
    """One file for two modalities is a slip of the hand and refused; the same word twice is not."""
    (a,) = touch(tmp_path, "scan")
    (problem,) = recognise([f"flair={a}", f"t1={a}"]).problems(BRATS)
    assert "given as flair and as t1" in problem
    assert len(recognise([f"flair={a}", f"flair={a}"]).files) == 1


def test_equals_sign_in_a_file_name(tmp_path: Path) -> None:
    """A path that exists is a path, whatever signs its name holds."""
    (path,) = touch(tmp_path, "te=90_t2")
    assert recognise([str(path)]).files[0].role == "t2"


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ([], "No file or folder"),
        (["nowhere.nii.gz"], "nowhere.nii.gz does not exist"),
        (["flair=nowhere.nii.gz"], "nowhere.nii.gz does not exist"),
        (["pet={a}"], "“pet” is not a modality"),
        (["flair="], "names no file"),
        (["{folder}", "{a}"], "one folder, or files only"),
        (["flair={folder}"], "is a folder"),
        (["x" * 300], "does not exist"),
    ],
)
def test_bad_paths(tmp_path: Path, given: list[str], part: str) -> None:
    """What was typed wrongly is refused with one sentence."""
    (a,) = touch(tmp_path, "a_t1")
    with pytest.raises(InputError, match=part) as caught:
        recognise([text.format(a=a, folder=tmp_path) for text in given])
    assert "\n" not in str(caught.value)


def test_case_is_the_folder_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The case is the folder's name, also where it was given as a dot."""
    touch(tmp_path / "case-3", "t1")
    monkeypatch.chdir(tmp_path / "case-3")
    assert recognise(".").case == "case-3"


def test_nothing_recognised(tmp_path: Path) -> None:
    """An empty folder, unknown names and one level too high each get their own sentence."""
    empty, unknown, above = tmp_path / "e", tmp_path / "u", tmp_path / "above"
    empty.mkdir()
    touch(unknown, "scan1", "scan2")
    touch(above / "visit1", "t1")
    assert "holds no NIfTI file" in recognise(empty).problems(BRATS)[0]
    assert "flair=scan1.nii.gz" in recognise(unknown).problems(BRATS)[0]
    assert "visit1" in recognise(above).problems(BRATS)[0]


def test_other_formats_and_hidden_files(tmp_path: Path) -> None:
    """Formats that are not read are named with the fix; hidden files are not seen at all."""
    touch(tmp_path, "a_t1", "b_t2.mnc", "._a_t1")
    found = recognise(tmp_path)
    assert [f.role for f in found.files] == ["t1", None]
    assert "convert" in found.files[1].reason


def test_correction_by_hand(tmp_path: Path) -> None:
    """A correction moves a role from the file recognised for it; unknown files and roles are refused."""
    touch(tmp_path, "a_flair", "b_t1", "scan")
    found = with_roles(recognise(tmp_path), {"scan.nii.gz": "flair", "b_t1.nii.gz": None}, BRATS)
    assert roles(found) == {"a_flair": None, "b_t1": None, "scan": "flair"}
    with pytest.raises(InputError, match="not among the files"):
        with_roles(found, {"other.nii.gz": "t1"}, BRATS)
    with pytest.raises(InputError, match="not a modality"):
        with_roles(found, {"scan.nii.gz": "pet"}, BRATS)


def test_another_task(tmp_path: Path) -> None:
    """Names come from the task alone: a two-modality task is recognised by its own words."""
    task = Task(
        "pet-ct", "", (Modality("ct", "CT", ("ct",)), Modality("pet", "PET", ("pet", "suv"))),
        (Label(1, "L", "lesion", ("#fff",)),), (Region("L", "lesion", (1,), 1),),
        nested=False, fill="copy", ndim=3,
    )  # fmt: skip
    touch(tmp_path, "x_CT", "x_SUV", "x_t1")
    assert roles(recognise(tmp_path, task)) == {"x_CT": "ct", "x_SUV": "pet", "x_t1": None}


@pytest.mark.real
def test_real_folders(real_data: Path) -> None:
    """Every shared folder is recognised as its README says."""
    four = {"flair": 1, "t1": 1, "t1ce": 1, "t2": 1}
    for folder in sorted(p for p in real_data.iterdir() if p.is_dir()):
        found = recognise(folder)
        count = {name: len(found.of(name)) for name in (*BRATS.names, "reference")}
        if folder.name.startswith(("BraTS", "tcga")):
            labelled = folder.name != "BraTS-GLI-00027-000"
            assert count == {**four, "reference": int(labelled)}, folder.name
        elif folder.name.startswith("dvn2"):
            assert count == {"flair": 1, "t1": 1, "t1ce": 0, "t2": 0, "reference": 1}, folder.name
        elif folder.name.startswith("ms-cross"):
            assert count == {**four, "reference": 0}, folder.name
            assert found.of("t1ce")[0].path.name.startswith("T1POST")
        elif folder.name.startswith("ms-longitudinal"):
            assert count == {"flair": 1, "t1": 1, "t1ce": 0, "t2": 1, "reference": 0}
        elif folder.name.startswith("dicom-philips"):
            assert "holds 2 studies" in found.problems(BRATS)[0]
            for number in (1, 2):
                one = recognise(folder / f"study {number}")
                assert len(one.files) == 2
                assert len(one.of("t1")) == 1
        else:
            assert found.files == ()


def test_corrections_are_remembered(tmp_path: Path) -> None:
    """What was assigned by hand is so the next time the same files are opened, and said; elsewhere it is not."""
    for folder in ("a", "b"):
        touch(tmp_path / folder, "scan1", "scan2")
    one, other = str(tmp_path / "a"), str(tmp_path / "b")
    assert recall([one], BRATS) == {}
    remember([one], {"scan1.nii.gz": "t2", str(tmp_path / "a" / "scan2.nii.gz"): None}, BRATS)
    assert recall([one], BRATS) == {
        str(tmp_path / "a" / "scan1.nii.gz"): "t2",
        str(tmp_path / "a" / "scan2.nii.gz"): None,
    }
    assert recall([other], BRATS) == {}
    touch(tmp_path / "a", "scan3")
    assert recall([one], BRATS) == {}


@pytest.mark.real
def test_scans_without_a_name_are_told_by_their_contrast(real_data: Path, tmp_path: Path) -> None:
    """Four files whose names say nothing: suggested as what they are; masks and maps are not."""
    kinds = ("t1", "t1ce", "t2", "flair")
    for number, name in enumerate(kinds):
        source = real_data / "BraTS2021_01481" / f"BraTS2021_01481_{name}.nii.gz"
        shutil.copy(source, tmp_path / f"scan{number}.nii.gz")
    looks = suggested_roles([tmp_path], BRATS)
    assert [looks[str(tmp_path / f"scan{n}.nii.gz")] for n in range(4)] == list(kinds)
    (tmp_path / "scan3.nii.gz").rename(tmp_path / "x_adc.nii.gz")
    assert len(suggested_roles([tmp_path], BRATS)) == 3
