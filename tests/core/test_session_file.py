"""Session files: what was open comes back, and nothing that changed does."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from synthetic import save_nifti
from tiny import model

from napari_mrseg.errors import InputError, MrsegError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.io import open_study
from napari_mrseg.io.brain import drawn_by_hand, recut
from napari_mrseg.models.store import Model
from napari_mrseg.session.file import Saved, files_of, fits, read_saved, write_saved
from napari_mrseg.session.restore import open_session, save_session
from napari_mrseg.session.state import Session


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def saved(make_study, tiny: Model, tmp_path: Path) -> Path:
    """A session of three modalities with the sweep done, FLAIR degraded, T1 off; saved beside the scans."""
    session = Session(device="cpu")
    session.set_model(tiny)
    session.open([make_study(("flair", "t1", "t2"))])
    session.degrade("flair", "blur", 0.5)
    session.use(["flair", "t2"])
    session.wait_for_sweep(60)
    file = tmp_path / "case.mrsession"
    save_session(session, file, {"slice": 7})
    session.close()
    return file


def test_a_session_comes_back_with_its_results(saved: Path, tiny: Model, monkeypatch) -> None:
    """Scans, combination, degradation, results and view are restored, and nothing is computed again."""
    monkeypatch.setattr(Engine, "_pass", lambda *_: pytest.fail("computed again"))
    session = Session(device="cpu")
    session.set_model(tiny)
    assert open_session(session, saved) == {"slice": 7}
    shown = session.wait(60)
    assert shown.combination == ("flair", "t2")
    assert session.degradations == {"flair": ("blur", 0.5)}
    assert session.study is not None
    assert session.study.reference is not None
    assert len(session.predictions) == 7
    assert np.array_equal(shown.labels, session.predictions[("flair", "t2")].labels)
    session.close()


def test_it_can_be_moved_with_its_scans(saved: Path, tiny: Model, tmp_path: Path) -> None:
    """Paths are relative: folder and session file together open elsewhere. No absolute path is inside."""
    other = tmp_path / "elsewhere"
    shutil.copytree(saved.parent / "case-1", other / "case-1")
    shutil.copy(saved, other / saved.name)
    with zipfile.ZipFile(saved) as archive:
        assert str(tmp_path) not in archive.read("session.json").decode()
    session = Session(device="cpu")
    session.set_model(tiny)
    open_session(session, other / saved.name)
    assert session.study is not None
    assert session.study.images["t1"].source.path.parent == (other / "case-1").resolve()
    session.close()


@pytest.mark.parametrize("what", ["changed", "gone", "damaged", "other model", "missing"])
def test_what_changed_is_refused_in_a_sentence(saved: Path, tiny: Model, tmp_path: Path, what: str) -> None:
    """A changed or missing scan, another model or a damaged file: one sentence, and the session stays as it was."""
    scan = saved.parent / "case-1" / "case-1_t1.nii.gz"
    says = "t1.nii.gz"
    if what == "changed":
        scan.write_bytes((saved.parent / "case-1" / "case-1_t2.nii.gz").read_bytes())
    elif what == "gone":
        scan.unlink()
    elif what == "damaged":
        saved.write_bytes(saved.read_bytes()[:200])
        says = "damaged"
    elif what == "missing":
        saved, says = tmp_path / "none.mrsession", "does not exist"
    session = Session(device="cpu")
    session.set_model(model(tmp_path / "other", seed=3) if what == "other model" else tiny)
    if what == "other model":
        says = "tiny"
    with pytest.raises(MrsegError, match=says):
        open_session(session, saved)
    assert session.study is None
    session.close()


def edited(path: Path, change: Callable[[dict], object]) -> Path:
    """The session file with its session.json changed, beside the old one."""
    other = path.with_name("edited.mrsession")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "session.json":
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            new.writestr(name, content)
    return other


def poked(content: bytes, offset: int, value: bytes) -> bytes:
    """A zip's first central directory entry with ``value`` at ``offset``."""
    at = content.index(b"PK\x01\x02") + offset
    return content[:at] + value + content[at + len(value) :]


@pytest.mark.parametrize("how", ["deflate", "encrypted", "method", "deep"])
def test_damage_of_any_kind_is_one_sentence(tmp_path: Path, how: str) -> None:
    """Whatever zip, deflate or JSON stumble over: an InputError that says so, never another error."""
    path = tmp_path / "a.mrsession"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("session.json", "[" * 200_000 if how == "deep" else "{}")
    content = path.read_bytes()
    start = 30 + len("session.json")
    path.write_bytes(
        {
            "deflate": content[:start] + b"\xff" + content[start + 1 :],
            "encrypted": poked(content, 8, b"\x01\x00"),
            "method": poked(content, 10, b"\x63\x00"),
            "deep": content,
        }[how]
    )
    with pytest.raises(InputError, match=r"a\.mrsession is no session file, or is damaged"):
        read_saved(path)


def test_only_files_beside_it_are_opened(make_study, tmp_path: Path) -> None:
    """An absolute path, of either system, and what is no regular file are refused."""
    study = open_study(make_study(("flair",)))
    file = tmp_path / "a.mrsession"
    write_saved(
        file, Saved("brats", files_of(study), {"name": "m", "version": "1", "sha256": "0"}, ("flair",))
    )
    scan = study.images["flair"].source.path
    for path in (str(scan), "C:\\scans\\a.nii.gz", "\\\\server\\a.nii.gz"):
        with pytest.raises(InputError, match="damaged"):
            read_saved(edited(file, lambda d, p=path: d["files"]["flair"].update(path=p)))
    with pytest.raises(InputError, match="is not where it was"):
        read_saved(edited(file, lambda d: d["files"]["flair"].update(path="case-1")))


def test_a_brain_mask_edited_by_hand_comes_back(make_study, tiny: Model, tmp_path: Path) -> None:
    """What was painted is not lost, and the results that it led to are not computed again."""
    session, file = Session(device="cpu"), tmp_path / "a.mrsession"
    session.set_model(tiny)
    session.open([make_study(("flair", "t2"))])
    assert session.study is not None
    mask = np.random.default_rng(0).random(session.study.grid.shape) < 0.8
    session.set_study(recut(session.study, mask), opened=session.opened)
    session.wait_for_sweep(60)
    before = session.wait(60)
    save_session(session, file)
    session.close()
    again = Session(device="cpu")
    again.set_model(tiny)
    open_session(again, file)
    assert again.study is not None
    assert np.array_equal(drawn_by_hand(again.study), mask)
    assert again.study.digest == before.digest
    assert len(again.predictions) == 3
    again.close()


def test_codes_that_were_stated_are_stated_again(make_study, tiny: Model, tmp_path: Path) -> None:
    """A reference that was read by another data set's codes is read by them when the session is opened."""
    folder, file = make_study(("flair",)), tmp_path / "a.mrsession"
    session = Session(device="cpu", sweep=False)
    session.set_model(tiny)
    session.open([folder], labels="msd")
    before = session.study
    assert before is not None
    assert before.reference is not None
    save_session(session, file)
    session.open([folder])
    assert session.study is not None
    assert session.study.reference is not None
    assert not np.array_equal(session.study.reference.labels, before.reference.labels)
    open_session(session, file)
    assert np.array_equal(session.study.reference.labels, before.reference.labels)
    session.close()


def test_a_session_of_before_still_opens(make_study, tmp_path: Path) -> None:
    """Where the options of reading were one word, as files of before have it, they are read from that."""
    study, file = open_study(make_study(("flair",))), tmp_path / "a.mrsession"
    about = {"name": "m", "version": "1", "sha256": "0"}
    write_saved(file, Saved("brats", files_of(study), about, ("flair",)))

    def older(document: dict) -> None:
        del document["options"]
        document["assume_ras"] = True

    assert read_saved(edited(file, older)).options == {"assume_ras": True}


@pytest.mark.parametrize("options", [{"steps": "x"}, {"labels": 3}, {"assume_ras": "yes"}, []])
def test_options_that_are_none_of_ours_are_damage(make_study, tmp_path: Path, options: object) -> None:
    """A session file passes nothing on to the reader but what is known, of the kind that it has."""
    study, file = open_study(make_study(("flair",))), tmp_path / "a.mrsession"
    about = {"name": "m", "version": "1", "sha256": "0"}
    write_saved(file, Saved("brats", files_of(study), about, ("flair",)))
    with pytest.raises(InputError, match="damaged"):
        read_saved(edited(file, lambda d: d.update(options=options)))


@pytest.mark.parametrize(("bits", "shape"), [(3, (4000, 4000, 4000)), (3, (-2, -3, 4)), (3, (2, 3, 5))])
def test_a_mask_that_lies_about_its_size_is_damage(
    make_study, tmp_path: Path, bits: int, shape: tuple[int, ...]
) -> None:
    """A session file cannot ask for more memory than it brings."""
    study, file = open_study(make_study(("flair",))), tmp_path / "a.mrsession"
    about = {"name": "m", "version": "1", "sha256": "0"}
    write_saved(file, Saved("brats", files_of(study), about, ("flair",)))
    with zipfile.ZipFile(file, "a") as archive:
        lying = {"mask": np.zeros(bits, np.uint8), "shape": np.array(shape)}
        archive.writestr("brain.safetensors", safetensors.numpy.save(lying))
    with pytest.raises(InputError, match="damaged"):
        read_saved(file)


def test_a_mask_of_another_grid_is_refused(make_study, tiny: Model, tmp_path: Path) -> None:
    """A session whose mask does not lie on the scans' grid opens nothing."""
    study, file = open_study(make_study(("flair",))), tmp_path / "a.mrsession"
    mask = np.ones((2, 3, 4), bool)
    write_saved(file, Saved("brats", files_of(study), tiny.info, ("flair",), brain=mask))
    session = Session(device="cpu")
    session.set_model(tiny)
    with pytest.raises(InputError, match=r"brain mask in a\.mrsession is of another grid"):
        open_session(session, file)
    assert session.study is None
    session.close()


def test_another_drive_is_a_sentence(make_study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no relative path leads to the scans, saving says so."""
    study = open_study(make_study(("flair",)))

    def other_drive(*_: object) -> str:
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr("os.path.relpath", other_drive)
    with pytest.raises(InputError, match="another drive"):
        write_saved(tmp_path / "a.mrsession", Saved("brats", files_of(study), {}, ("flair",)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(task="other"), "task other"),
        (lambda d: d.update(combination=["t1ce"]), "t1ce"),
        (lambda d: d.update(combination=[]), "No modality"),
        (lambda d: d.update(degradations={"t2": ["melt", 0.5]}), "melt"),
        (lambda d: d.update(degradations={"t2": ["blur", 7]}), "no degradation"),
        (lambda d: d.update(model={}), "damaged"),
        (lambda d: d.update(view=3), "damaged"),
    ],
)
def test_what_does_not_fit_changes_nothing(saved: Path, tiny: Model, change, says: str) -> None:
    """Another task, an impossible combination or degradation: one sentence, and what was open stays."""
    session = Session(device="cpu", sweep=False)
    session.set_model(tiny)
    with pytest.raises(MrsegError, match=says):
        open_session(session, edited(saved, change))
    assert session.study is None
    assert session.opened.paths == ()
    session.close()


def test_results_of_another_study_are_not_taken(saved: Path, tiny: Model) -> None:
    """A result enters the cache only if its model, images, grid and arrays are those of this session."""
    found = read_saved(saved)
    session = Session(device="cpu", sweep=False)
    session.set_model(tiny)
    open_session(session, saved)
    study = session.study
    session.close()
    assert study is not None
    assert all(fits(p, study, tiny.sha256) for p in found.predictions)
    good = found.predictions[0]
    moved = replace(good.grid, affine=tuple((*row[:3], row[3] + 9.0) for row in good.grid.affine))
    wrong: list[Prediction] = [
        replace(good, digest="0"),
        replace(good, grid=moved),
        replace(good, model={**good.model, "sha256": "0"}),
        replace(good, combination=("t1ce",)),
        replace(good, probabilities=good.probabilities[:1]),
        replace(good, labels=good.labels[:1]),
    ]
    assert not any(fits(p, study, tiny.sha256) for p in wrong)


def test_a_forged_result_is_computed_anew(saved: Path, tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a session asks for each of its results whether it fits, and drops what does not."""
    monkeypatch.setattr("napari_mrseg.session.restore.fits", lambda *_: False)
    session = Session(device="cpu", sweep=False)
    session.set_model(tiny)
    monkeypatch.setattr(session, "run", lambda: None)
    open_session(session, saved)
    assert session.predictions == {}
    session.close()


def test_the_newest_opening_wins_over_a_session_file(saved: Path, tiny: Model, monkeypatch) -> None:
    """What is opened while a session file is read stays, and a sentence says why the file was not opened."""
    from napari_mrseg.session import restore

    session = Session(device="cpu", sweep=False)
    session.set_model(tiny)
    read = restore.read_saved

    def slowly(path: Path) -> object:
        found = read(path)
        session.open([saved.parent / "case-1"])
        return found

    monkeypatch.setattr(restore, "read_saved", slowly)
    with pytest.raises(
        InputError, match=r"case\.mrsession was not opened, because something else was meanwhile"
    ):
        open_session(session, saved)
    assert session.combination == session.study.present  # type: ignore[union-attr]  # not the file's
    assert not session.opening
    session.close()


def test_assumed_orientation_comes_back(tiny: Model, tmp_path: Path) -> None:
    """Scans without orientation that were opened as RAS open so again, now and at the next correction."""
    data = np.random.default_rng(0).integers(1, 900, (12, 14, 10)).astype(np.int16)
    save_nifti(tmp_path / "x_t1.nii.gz", data, np.eye(4), codes=(0, 0))
    first, second = (Session(device="cpu", sweep=False) for _ in range(2))
    for session in (first, second):
        session.set_model(tiny)
    first.open([tmp_path / "x_t1.nii.gz"], assume_ras=True)
    save_session(first, tmp_path / "a.mrsession")
    first.close()
    open_session(second, tmp_path / "a.mrsession")
    assert second.study is not None
    save_session(second, tmp_path / "b.mrsession")
    assert read_saved(tmp_path / "b.mrsession").options == {"assume_ras": True}
    second.close()
