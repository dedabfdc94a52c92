"""Data sets as people have them: what cannot be used is named before any work, and other labels are noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small import small_config, write_subjects
from synthetic import save_nifti

from mrseg_training.data.splits import read_split
from mrseg_training.data.subjects import Files
from mrseg_training.evaluate import evaluate
from mrseg_training.fit import train
from napari_mrseg.errors import InputError, MrsegError
from napari_mrseg.models.store import Model


def test_a_data_set_is_read_before_it_is_measured(tmp_path: Path, tiny: Model) -> None:
    """A truncated last subject is named with all others that cannot be used; nothing is measured, nothing written."""
    root = write_subjects(tmp_path / "data")
    last, third = root / "BraTS2021_00003" / "BraTS2021_00003_t1.nii.gz", root / "BraTS2021_00002"
    last.write_bytes(last.read_bytes()[:2000])
    (third / "BraTS2021_00002_t2.nii.gz").write_bytes(b"")
    said: list[object] = []
    with pytest.raises(InputError) as caught:
        evaluate(tiny.folder, root, tmp_path / "out", say=said.append)
    for part in (
        "BraTS2021_00003: BraTS2021_00003_t1.nii.gz is truncated",
        "BraTS2021_00002_t2.nii.gz is empty",
        "nothing was measured",
    ):
        assert part in str(caught.value)
    assert not any("measured" in str(line) for line in said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("extra", ["flair", "seg"])
def test_two_files_for_one_role_are_named(extra: str, tmp_path: Path, tiny: Model) -> None:
    """Two FLAIRs or two segmentations: the subject and both files, not "no folder holds a modality"."""
    root = write_subjects(tmp_path / "data")
    for subject in ("BraTS2021_00001", "BraTS2021_00002"):
        shutil.copy(root / subject / f"{subject}_{extra}.nii.gz", root / subject / f"second_{extra}.nii.gz")
    with pytest.raises(InputError) as caught:
        evaluate(tiny.folder, root, tmp_path / "out")
    for part in ("BraTS2021_00001: ", "BraTS2021_00002: ", f"second_{extra}.nii.gz"):
        assert part in str(caught.value)


def relabelled(root: Path, codes: dict[int, int], subjects: slice = slice(None)) -> Path:
    """The subjects' masks with other codes."""
    for path in sorted(root.glob("*/*_seg.nii.gz"))[subjects]:
        labels = np.asarray(nib.load(path).dataobj)
        other = np.zeros_like(labels)
        for old, new in codes.items():
            other[labels == old] = new
        save_nifti(path, other)
    return root


def test_a_data_set_in_another_scheme_is_refused_until_it_is_stated(tmp_path: Path, tiny: Model) -> None:
    """Evaluation and training notice the order of codes; stated, it is read right; the task's can be insisted on."""
    own = write_subjects(tmp_path / "own")
    msd = relabelled(write_subjects(tmp_path / "msd"), {1: 2, 2: 1, 4: 3})
    with pytest.raises(
        InputError, match=r"4 of 4 subjects look labelled in another scheme.*say --labels brats"
    ):
        evaluate(tiny.folder, msd, tmp_path / "out")
    with pytest.raises(InputError, match=r"look labelled in another scheme.*data\.labels"):
        train(small_config(msd, recipe=["supervised"]), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
    right = evaluate(tiny.folder, own, tmp_path / "right", shuffles=0)
    stated = evaluate(tiny.folder, msd, tmp_path / "stated", shuffles=0, labels="msd")
    assert [row["dice"] for row in stated["by_subject"]] == [row["dice"] for row in right["by_subject"]]
    insisted = evaluate(tiny.folder, msd, tmp_path / "insisted", shuffles=0, labels="brats")
    assert [row["dice"] for row in insisted["by_subject"]] != [row["dice"] for row in right["by_subject"]]
    train(small_config(msd, recipe=["supervised"], data={"labels": "msd"}), tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()


def test_old_and_new_codes_in_one_data_set_are_said(tmp_path: Path, tiny: Model) -> None:
    """{1, 2, 3} beside {1, 2, 4}: both are read as enhancing tumour, and it is said once."""
    root = relabelled(write_subjects(tmp_path / "data"), {1: 1, 2: 2, 4: 3}, slice(2))
    said: list[object] = []
    evaluate(tiny.folder, root, tmp_path / "out", shuffles=0, say=said.append)
    mixed = [str(line) for line in said if "the code 4" in str(line)]
    assert len(mixed) == 1
    assert "2 (BraTS2021_00000, …) the code 3; both are read as ET" in mixed[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_list_of_ids_in_any_editors_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    """A byte-order mark, UTF-16 and CRLF are read; bytes that are no text are refused by name."""
    ids = ["größe-1", "b", "c"]
    folder = tmp_path / "split"
    folder.mkdir()
    text = "größe-1\r\nb\r\n"
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    (folder / "train.txt").write_bytes(mark + text.encode(encoding))
    assert read_split(folder, ids)["train"] == ["größe-1", "b"]
    (folder / "train.txt").write_bytes("größe-1".encode("cp1252"))
    with pytest.raises(InputError, match=r"train\.txt is not text in UTF-8"):
        read_split(folder, ids)


def test_training_that_is_refused_writes_nothing(tmp_path: Path) -> None:
    """No data, no split, a start that is no model: no folder, no config.json."""
    root = write_subjects(tmp_path / "data")
    for config in (
        small_config(tmp_path / "nowhere"),
        small_config(root, start=str(tmp_path / "no-model")),
        small_config(root, data={"split": str(tmp_path / "no-split")}),
    ):
        with pytest.raises(MrsegError):
            train(config, tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "why", [KeyboardInterrupt(), InputError("b_t1.nii.gz cannot be read (gone); check it.")]
)
def test_what_is_measured_is_kept(
    why: BaseException, tmp_path: Path, tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the third subject, or it is gone since it was checked: the tables of two are there, which is said."""
    root = write_subjects(tmp_path / "data")
    opened: list[str] = []
    read = Files.open

    def until(self: Files, subject: str) -> object:
        opened.append(subject)
        if len(opened) == 3:
            raise why
        return read(self, subject)

    monkeypatch.setattr(Files, "open", until)
    with pytest.raises(MrsegError, match="the tables of the 2 subjects measured before are in out") as caught:
        evaluate(tiny.folder, root, tmp_path / "out", shuffles=0)
    assert caught.value.exit_code == (130 if isinstance(why, KeyboardInterrupt) else 2)
    document = json.loads((tmp_path / "out" / "table.json").read_text())
    assert document["subjects"] == ["BraTS2021_00000", "BraTS2021_00001"]
    assert {row["subject"] for row in document["by_subject"]} == set(document["subjects"])
    assert len(document["by_subject"]) == 30
