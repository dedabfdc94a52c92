"""``mrseg score``: predictions made elsewhere, in the tables of our own models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tiny
from small import write_subject

from mrseg_training.evaluate import evaluate
from mrseg_training.results import find_references
from mrseg_training.score import Naming, score, score_several
from napari_mrseg import cli
from napari_mrseg.errors import InputError
from napari_mrseg.io.result_names import find_results, read_combination
from napari_mrseg.tasks import BRATS, key

IDS = ("BraTS2021_00001", "BraTS2021_00002")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects, one with two modalities; ``predict --all`` of each, and ``evaluate`` of both."""
    root = tmp_path_factory.mktemp("score")
    tiny.model(root, spacings=(1.0,))
    write_subject(root / "data" / IDS[0], seed=1)
    write_subject(root / "data" / IDS[1], seed=2, modalities=("flair", "t2"))
    for subject in IDS:
        data, out, model = (str(p) for p in (root / "data" / subject, root / "ours" / subject, root / "tiny"))
        assert cli.main(["predict", data, "-o", out, "--all", "--model", model, "--device", "cpu"]) == 0
    evaluate(root / "tiny", root / "data", root / "evaluated", device="cpu", lesions=True)
    return root


def renamed(root: Path, to: Path, name: str, subjects: tuple[str, ...] = IDS) -> Path:
    """The predictions under other names: ``name`` with {subject} and {combination}."""
    for subject in subjects:
        for path in (root / "ours" / subject).glob("*.nii.gz"):
            combination = path.name.removesuffix(".nii.gz")
            new = to / name.format(
                subject=subject,
                combination=combination,
                joined=combination.replace("+", ""),
                digits="".join(str(int(m in combination.split("+"))) for m in BRATS.names),
            )
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, new)
    return to


def same_numbers(document: dict, expected: dict) -> None:
    """Everything that evaluate measured of label maps, to the last digit."""
    assert document["subjects"] == expected["subjects"]
    for part in ("rows", "average", "sd"):
        assert document[part] == expected[part]
    ours = {(r["subject"], key(r["combination"])): r for r in expected["by_subject"]}
    for row in document["by_subject"]:
        other = ours[row["subject"], key(row["combination"])]
        assert row == {name: value for name, value in other.items() if name != "seconds"}


def test_what_predict_wrote_scores_as_evaluate_says(root: Path, tmp_path: Path) -> None:
    """A folder written by ``predict --all``: every number equals that of ``evaluate``, digit by digit."""
    document = score(root / "ours", root / "data", tmp_path / "out", lesions=True)
    same_numbers(document, json.loads((root / "evaluated" / "table.json").read_text()))
    lines = [(p / "table.csv").read_text() for p in (tmp_path / "out", root / "evaluated")]
    assert lines[0] == lines[1]
    page = (tmp_path / "out" / "table.md").read_text()
    assert "read as {subject}/{combination}.nii.gz" in page
    assert "made elsewhere" in page
    assert (tmp_path / "out" / "tables" / "table-1.tex").is_file()


@pytest.mark.parametrize(
    ("name", "naming"),
    [
        ("{combination}/{subject}.nii.gz", Naming()),
        ("{subject}_{combination}_pred.nii.gz", Naming()),
        ("fold0/{joined}/{subject}_seg.nii.gz", Naming()),
        ("{digits}/{subject}.nii.gz", Naming(order=BRATS.names)),
        ("x{digits}y/{subject}.nii.gz", Naming("x{combination}y/{subject}.nii.gz", order=BRATS.names)),
    ],
)
def test_names_of_others_are_read(root: Path, tmp_path: Path, name: str, naming: Naming) -> None:
    """Folders by combination or subject, joined names, digits, a given pattern: the same numbers, and how is said."""
    results = renamed(root, tmp_path / "theirs", name)
    said: list[str] = []
    document = score(
        results,
        root / "data",
        tmp_path / "out",
        naming=naming,
        say=lambda x: said.append(str(x)),
        lesions=True,
    )
    same_numbers(document, json.loads((root / "evaluated" / "table.json").read_text()))
    assert said[0].startswith("theirs: 18 results of 2 subjects, read as ")


def test_the_command_and_two_folders_side_by_side(root: Path, tmp_path: Path) -> None:
    """Theirs beside what ``evaluate`` wrote: no difference at all between equal results; both named."""
    results = renamed(root, tmp_path / "theirs", "{combination}/{subject}.nii.gz")
    command = [
        "score",
        str(results),
        str(root / "evaluated"),
        "--reference",
        str(root / "data"),
        "--processes",
        "0",
    ]
    assert cli.main([*command, "-o", str(tmp_path / "out")]) == 0
    document = json.loads((tmp_path / "out" / "models.json").read_text())
    assert document["against"] == "theirs"
    assert list(document["models"]) == ["theirs", "evaluated"]
    gaps = [gap for row in document["rows"] for gap in row["difference"]["evaluated"].values()]
    assert gaps
    assert all(gap["mean"] == 0 == gap["low"] == gap["high"] for gap in gaps)


def test_references_may_be_a_folder_of_label_files(root: Path, tmp_path: Path) -> None:
    """``labels/ID_seg.nii.gz`` without scans, and one file a folder: the same subjects, the same Dice."""
    (tmp_path / "labels").mkdir()
    for subject in IDS:
        shutil.copy(root / "data" / subject / f"{subject}_seg.nii.gz", tmp_path / "labels")
        (tmp_path / "single" / subject).mkdir(parents=True)
        shutil.copy(
            root / "data" / subject / f"{subject}_seg.nii.gz", tmp_path / "single" / subject / "gt.nii.gz"
        )
    assert list(find_references(tmp_path / "labels", BRATS).ids) == list(IDS)
    assert list(find_references(tmp_path / "single", BRATS).ids) == list(IDS)
    document = score(root / "ours", tmp_path / "labels", tmp_path / "out", hd95=False)
    expected = json.loads((root / "evaluated" / "table.json").read_text())
    assert [r["WT"]["dice"] for r in document["rows"]] == [r["WT"]["dice"] for r in expected["rows"]]


def test_files_without_a_position_are_laid_as_the_reference_when_said(root: Path, tmp_path: Path) -> None:
    """Saved without an affine, or with the identity: refused with the option's name; with it the same numbers."""
    expected = json.loads((root / "evaluated" / "table.json").read_text())
    for kind, affine in (("none", None), ("identity", np.diag([1, 1, 1, 1]) + 500 * np.eye(4, k=3))):
        results = renamed(root, tmp_path / kind, "{subject}/{combination}.nii.gz")
        for path in results.glob("*/*.nii.gz"):
            nib.save(nib.Nifti1Image(np.asarray(nib.load(path).dataobj), affine), path)
        with pytest.raises(InputError, match="--as-reference"):
            score(results, root / "data", tmp_path / f"{kind}-out")
        document = score(
            results, root / "data", tmp_path / f"{kind}-out", naming=Naming(as_reference=True), lesions=True
        )
        same_numbers(document, expected)


def test_another_grid_is_resampled_and_said(root: Path, tmp_path: Path) -> None:
    """A result on a larger grid of the same voxels: laid onto the reference's, the same Dice, and named."""
    results = renamed(root, tmp_path / "padded", "{subject}/{combination}.nii.gz")
    path = results / IDS[0] / "flair.nii.gz"
    image = nib.load(path)
    affine = image.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [2, 2, 2]
    nib.save(nib.Nifti1Image(np.pad(np.asarray(image.dataobj), 2), affine), path)
    document = score(results, root / "data", tmp_path / "out")
    assert document["results"]["resampled"] == ["flair.nii.gz"]
    assert (
        "1 results, such as flair.nii.gz, lay on another one" in (tmp_path / "out" / "table.md").read_text()
    )
    expected = json.loads((root / "evaluated" / "table.json").read_text())
    assert [r["ET"]["dice"] for r in document["rows"]] == [r["ET"]["dice"] for r in expected["rows"]]


def test_subjects_without_results_and_stray_files_are_said(root: Path, tmp_path: Path) -> None:
    """What is missing is named in the table and not counted; other files are left out and counted."""
    results = renamed(root, tmp_path / "half", "{subject}/{combination}.nii.gz", IDS[:1])
    shutil.copy(results / IDS[0] / "flair.nii.gz", results / "notes.nii.gz")
    said: list[str] = []
    document = score(results, root / "data", tmp_path / "out", say=lambda x: said.append(str(x)))
    assert document["without_result"] == [IDS[1]]
    assert "1 other files, such as notes.nii.gz, are left out" in said[0]
    assert "1 subjects of the reference have no result" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flairt1cet1t2", BRATS.names),
        ("t1cet2", ("t1ce", "t2")),
        ("t1_t2", ("t1", "t2")),
        ("FLAIR+T1c", ("flair", "t1ce")),
        ("t1gd", ("t1ce",)),
        ("all", BRATS.names),
        ("checkpoint", None),
        ("t1t1", None),
    ],
)
def test_lists_of_modalities_are_read(text: str, expected: tuple[str, ...] | None) -> None:
    """Joined by anything or nothing, in any order and in the files' own words; other words are no list."""
    assert read_combination(text, BRATS) == expected


def test_names_of_two_meanings_are_refused(root: Path, tmp_path: Path) -> None:
    """``t2flair`` may be one sequence or two; digits need their order; two files of one result; nothing that fits."""
    with pytest.raises(InputError, match=r"may be flair or flair\+t2"):
        read_combination("t2flair", BRATS)
    with pytest.raises(InputError, match="--order"):
        read_combination("1011", BRATS)
    results = renamed(root, tmp_path / "twice", "{combination}/{subject}.nii.gz")
    renamed(root, results, "again/{subject}_{combination}.nii.gz")
    with pytest.raises(InputError, match="are both BraTS2021_00001 with"):
        find_results(results, IDS, BRATS)
    with pytest.raises(InputError, match="holds the id of a subject"):
        find_results(results, ("other",), BRATS)
    with pytest.raises(InputError, match=r"must hold \{subject\}"):
        find_results(results, IDS, BRATS, pattern="{combination}.nii.gz")
    found = find_results(results, IDS, BRATS, pattern="again/{subject}_{combination}.nii.gz")
    assert len(found.files[IDS[0]]) == 15
    missing = renamed(root, tmp_path / "missing", "no-{combination}/{subject}.nii.gz", IDS[:1])
    found = find_results(missing, IDS, BRATS, pattern="no-{missing}/{subject}.nii.gz")
    assert found.files[IDS[0]]["flair",].parent.name == "no-t1+t1ce+t2"


def test_foreign_tables_are_refused(root: Path, tmp_path: Path) -> None:
    """A table.json that is none of ours, and folders without a subject in common."""
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "table.json").write_text("{}")
    with pytest.raises(InputError, match="measure again"):
        score_several([root / "ours", tmp_path / "odd"], root / "data", tmp_path / "a")
    halves = [renamed(root, tmp_path / s, "{subject}/{combination}.nii.gz", (s,)) for s in IDS]
    with pytest.raises(InputError, match="no subject in common"):
        score_several(halves, root / "data", tmp_path / "b")
