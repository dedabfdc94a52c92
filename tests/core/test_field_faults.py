"""Faults of files from the field: each is refused by one sentence, or read as what it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from synthetic import save_nifti

from napari_mrseg import cli, io
from napari_mrseg.errors import InputError
from napari_mrseg.io import nifti, open_study
from napari_mrseg.models.store import Model
from napari_mrseg.study import joined

DATA = np.zeros((20, 22, 24), dtype=np.float32)
DATA[5:15, 5:17, 5:19] = np.random.default_rng(0).uniform(100, 200, (10, 12, 14))


def with_voxels(path: Path, mm: float, shape: tuple[int, int, int] = (20, 22, 24)) -> Path:
    data = np.resize(DATA, shape)
    nib.save(nib.Nifti1Image(data, np.diag([mm, mm, mm, 1.0])), path)
    return path


@pytest.mark.parametrize(
    ("mm", "shape", "wrong", "fix"),
    [
        (0.001, (20, 22, 24), "which no scanner makes", "metres: multiply its affine and pixdim by 1000"),
        (0.1, (20, 22, 24), "which no scanner makes", "centimetres: multiply its affine and pixdim by 10"),
        (10, (200, 20, 20), "measures 2000×200×200 mm", "correct the voxel size"),
        (1000, (20, 22, 24), "measures 20000×22000×24000 mm", "correct the voxel size"),
    ],
)
def test_voxels_that_no_scan_has_are_refused_at_once(
    tmp_path: Path, mm: float, shape: tuple[int, int, int], wrong: str, fix: str
) -> None:
    """A wrong unit or voxel size is named with the factor or the fix, before anything of that size is made."""
    path = with_voxels(tmp_path / "x_flair.nii.gz", mm, shape)
    with pytest.raises(InputError) as caught:
        open_study(path)
    assert "x_flair.nii.gz" in str(caught.value)
    assert wrong in str(caught.value)
    assert fix in str(caught.value)


@pytest.mark.parametrize("mm", [0.3, 1.0, 5.0])
def test_voxels_of_real_scans_are_read(tmp_path: Path, mm: float) -> None:
    """From 0.3 to 5 mm nothing is said."""
    assert open_study(with_voxels(tmp_path / "x_flair.nii.gz", mm)).notes == ()


def test_a_negative_scale_is_refused(tmp_path: Path) -> None:
    """Dark would be bright: the sentence says so."""
    image = nib.Nifti1Image(DATA.astype(np.int16), np.eye(4))
    nib.save(image, tmp_path / "x.nii")
    raw = bytearray((tmp_path / "x.nii").read_bytes())
    raw[112:120] = np.array([-1, 0], dtype="<f4").tobytes()
    (tmp_path / "x_flair.nii").write_bytes(raw)
    with pytest.raises(InputError, match="intensities are inverted"):
        open_study(tmp_path / "x_flair.nii")


def test_a_sheared_grid_is_said(tmp_path: Path) -> None:
    """Axes at 60 degrees get a note; the few degrees of a tilted gantry's rounding do not."""
    for angle, said in ((60, True), (89, False)):
        affine = np.eye(4)
        affine[:2, 1] = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        nib.save(nib.Nifti1Image(DATA, affine), tmp_path / f"{angle}_flair.nii.gz")
        notes = nifti.read(tmp_path / f"{angle}_flair.nii.gz")[2]
        assert [note.code for note in notes] == (["sheared"] if said else [])
        assert not said or "60°" in notes[0].message


def put(where: tuple[slice, ...]) -> Callable[[np.ndarray], np.ndarray]:
    def change(data: np.ndarray) -> np.ndarray:
        data = data.copy()
        data[where] = np.nan
        return data

    return change


def test_nan_outside_the_head_is_background(tmp_path: Path) -> None:
    """NaN for background gives the voxels of 0; one NaN inside is refused."""
    save_nifti(tmp_path / "a_flair.nii.gz", np.where(DATA == 0, np.nan, DATA).astype(np.float32))
    assert np.array_equal(nifti.read(tmp_path / "a_flair.nii.gz")[0], DATA)
    save_nifti(tmp_path / "b_flair.nii.gz", put((slice(9, 10),) * 3)(DATA))
    with pytest.raises(InputError, match="1 voxels that are NaN"):
        nifti.read(tmp_path / "b_flair.nii.gz")


def scan_of(path: Path, data: np.ndarray, mm: tuple[float, float, float] = (1, 1, 1)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([-mm[0], -mm[1], mm[2], 1.0])), path)
    return path


def test_thick_slices_in_centimetres_are_refused(tmp_path: Path) -> None:
    """0.05 × 0.05 × 0.4: no side is that small, but all of it is smaller than a head."""
    path = scan_of(tmp_path / "x_flair.nii.gz", DATA, (0.05, 0.05, 0.4))
    with pytest.raises(InputError, match="centimetres: multiply its affine"):
        open_study(path)


@pytest.mark.parametrize("codes", [(0, 1), (0, 1, 2, 4), (0, 0.25, 0.5, 1)])
def test_a_mask_is_no_scan(codes: tuple[float, ...], tmp_path: Path) -> None:
    """A mask or label map given as a modality is refused, and how else to give it is said."""
    data = np.array(codes)[np.random.default_rng(0).integers(0, len(codes), (20, 22, 24))]
    scan_of(tmp_path / "mask.nii.gz", data)
    with pytest.raises(InputError, match=r"mask\.nii\.gz holds \d different values only.*--reference"):
        open_study([f"flair={tmp_path / 'mask.nii.gz'}"])


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 1, 1), (22, 24, 2), (4, 22, 24)])
def test_a_few_voxels_are_no_head(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """Two voxels, eight, two slices, four: refused."""
    path = scan_of(tmp_path / "x_flair.nii.gz", np.random.default_rng(0).normal(300, 40, shape))
    with pytest.raises(InputError, match=r"too few for a head|single slice"):
        open_study(path)


def test_a_note_that_is_true_of_several_files_is_said_once(tmp_path: Path, tiny: Model, capsys) -> None:
    """Four scans with the same background, four in centimetres by their header: one line each, naming all files."""
    for name in ("flair", "t1", "t1ce", "t2"):
        rng = np.random.default_rng(len(name))
        data = np.where(DATA > 0, rng.normal(300, 40, DATA.shape), -9)
        image = nib.Nifti1Image(data.astype(np.int16), np.diag([-0.001, -0.001, 0.001, 1]))
        image.header.set_xyzt_units("meter")
        (tmp_path / "case").mkdir(exist_ok=True)
        nib.save(image, tmp_path / "case" / f"x_{name}.nii.gz")
    out = tmp_path / "out"
    assert cli.main(["predict", str(tmp_path / "case"), "-o", str(out), "--model", str(tiny.folder)]) == 0
    written = json.loads((out / "result.json").read_text())["warnings"]
    for code in ("unit_converted", "background"):
        (message,) = [w["message"] for w in written if w["code"] == code]
        assert message.startswith("x_flair.nii.gz (as x_t1.nii.gz, x_t1ce.nii.gz, x_t2.nii.gz)")
    said = capsys.readouterr()
    assert (said.out + said.err).count("stated in") == 1
    only = open_study(tmp_path / "case").only(["t1"])
    assert [note.message for note in joined(only.notes) if note.code == "background"] == [
        "x_t1.nii.gz: its background is -9; what is connected to the border was taken for 0."
    ]


def layered(*codes: int) -> np.ndarray:
    """A ball in a ball in a ball, outermost first, of these codes; an int says how many there are."""
    where = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in DATA.shape], indexing="ij"))
    radius = np.sqrt((where**2).sum(0))
    labels = np.zeros(DATA.shape, np.float32)
    for code, size in zip(codes, (0.6, 0.45, 0.3), strict=False):
        labels[radius < size] = code
    return labels


@pytest.mark.parametrize(
    ("scheme", "codes", "want"),
    [
        (None, (2, 1, 3), (2, 1, 3)),  # BraTS: oedema, core, enhancing
        (None, (2, 1, 4), (2, 1, 3)),
        ("msd", (1, 2, 3), (2, 1, 3)),
        ("hd-glio", (1, 2), (2, 3)),
        ("brats-ped", (4, 2, 1), (2, 1, 3)),
        ("brats-2015", (2, 3, 4), (2, 1, 3)),
        ("brats-2024", (2, 3, 4), (2, 3, 0)),
        ("whole", (1,), (2,)),
    ],
)
def test_a_scheme_of_labels_is_noticed_and_can_be_stated(
    scheme: str | None, codes: tuple[int, ...], want: tuple[int, ...], tmp_path: Path
) -> None:
    """By the task's order nothing is said; another is noticed by what lies outermost, and read right once stated."""
    scan_of(tmp_path / "x_flair.nii.gz", DATA + np.random.default_rng(0).normal(0, 1, DATA.shape))
    scan_of(tmp_path / "x_seg.nii.gz", layered(*codes))
    plain = open_study(tmp_path)
    noticed = [n.message for n in plain.notes if n.code in ("label_scheme", "reference_unusable")]
    if scheme is None:
        assert noticed == []
        stated = plain
    else:
        (message,) = noticed
        assert "--labels" in message
        stated = open_study(tmp_path, labels=scheme)
        assert [n.code for n in stated.notes if n.code in ("label_scheme", "reference_scheme")] == [
            "reference_scheme"
        ]
    assert stated.reference is not None
    assert np.array_equal(
        stated.reference.source.from_ipl(stated.reference.labels), layered(*want).astype(np.uint8)
    )


def test_an_unknown_scheme_or_code_is_refused(tmp_path: Path) -> None:
    """The sentence lists the schemes there are, or what the stated one has."""
    scan_of(tmp_path / "x_flair.nii.gz", DATA + np.random.default_rng(0).normal(0, 1, DATA.shape))
    seg = scan_of(tmp_path / "x_seg.nii.gz", layered(1, 2, 5))
    for scheme, said in (
        ("msd", "holds the code 5, which msd does not have"),
        ("mds", "known: brats, brats-2015, brats-2024"),
    ):
        with pytest.raises(InputError, match=said):
            open_study(tmp_path, labels=scheme, reference=seg)


def test_labels_of_almost_whole_numbers_are_codes(tmp_path: Path) -> None:
    """0.9999 is 1; 0.5 is no code."""
    scan_of(tmp_path / "x_flair.nii.gz", DATA + np.random.default_rng(0).normal(0, 1, DATA.shape))
    scan_of(tmp_path / "x_seg.nii.gz", layered(2, 1, 3) * 0.9999)
    reference = open_study(tmp_path).reference
    assert reference is not None
    assert set(np.unique(reference.labels)) == {0, 1, 2, 3}


@pytest.mark.parametrize("code", [-1, 256, 300])
def test_our_writer_refuses_codes_that_a_label_file_cannot_hold(code: int, tmp_path: Path) -> None:
    """Never a label written as another; nothing is left."""
    path = scan_of(tmp_path / "x_flair.nii.gz", DATA + np.random.default_rng(0).normal(0, 1, DATA.shape))
    study = open_study(path)
    labels = np.zeros(study.grid.shape, dtype=np.int32)
    labels[5, 5, 5] = code
    with pytest.raises(InputError, match="a label file holds 0 to 255"):
        io.write_labels(labels, study.images["flair"].source, tmp_path / "out.nii.gz")
    assert not (tmp_path / "out.nii.gz").exists()


def mrseg(*arguments: object, cwd: Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "napari_mrseg.cli", *map(str, arguments)],
        cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["cp1251", "cp437", "cp932"])
def test_a_console_without_our_letters_is_written_to(
    encoding: str, make_study, tiny: Model, tmp_path: Path
) -> None:
    """inspect prints ×; --json is JSON that reads back. No traceback after the work is done."""
    folder = make_study(["flair"], case="Größe")
    run = mrseg("inspect", folder, cwd=tmp_path, PYTHONIOENCODING=encoding)
    out, err = run.communicate(timeout=120)
    assert (run.returncode, err) == (0, b"")
    assert b"flair" in out
    run = mrseg("inspect", folder, "--json", cwd=tmp_path, PYTHONIOENCODING=encoding)
    out, err = run.communicate(timeout=120)
    assert json.loads(out.decode(encoding))["case"] == "Größe"


def test_a_folder_whose_name_is_no_text_is_read(make_study, tiny: Model, tmp_path: Path) -> None:
    """Bytes that are not UTF-8 in a name: the result is whole, with a question mark where they stood."""
    folder = os.fsencode(make_study(["flair"])).replace(b"case-1", b"f\xe4lle")
    os.rename(os.fsencode(tmp_path / "case-1"), folder)
    assert (
        cli.main(["predict", os.fsdecode(folder), "-o", str(tmp_path / "o"), "--model", str(tiny.folder)])
        == 0
    )
    assert json.loads((tmp_path / "o" / "result.json").read_text(encoding="utf-8"))["case"] == "f?lle"


def test_a_terminated_run_leaves_nothing(make_study, tmp_path: Path) -> None:
    """SIGTERM, as a cluster sends it, ends as Ctrl-C does: exit code 130, no result, no .partial."""
    folder = make_study(shape=(96, 96, 96))
    run = mrseg("predict", folder, "-o", "out", "--all", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".mrseg-*.partial")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert b"Cancelled" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["case-1"]


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """doctor and the window say which folder and what to do; predict needs none."""
    broken = {"HOME": "/dev/null", "XDG_CONFIG_HOME": "", "XDG_CACHE_HOME": ""}
    run = mrseg("doctor", cwd=tmp_path, **broken)
    out, _ = run.communicate(timeout=120)
    assert b"/dev/null/.config/napari cannot be written" in out
    run = mrseg("demo", "--screenshot", "x.png", cwd=tmp_path, **broken)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 2
    assert b"set HOME" in err


@pytest.mark.parametrize(
    "name", ["with spaces", "Größe und Übermaß", "n" * 200, "日本語", "a'b\"c & d;e", "-starts-with-a-dash"]
)
def test_any_path_is_opened_and_written(name: str, make_study, tiny: Model, tmp_path: Path) -> None:
    """Spaces, umlauts, 200 characters, quotes, and through a symbolic link in a read-only folder."""
    folder = make_study(["flair"])
    there = tmp_path / name
    folder.rename(there)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "case").symlink_to(there)
    (tmp_path / "links").chmod(0o555)
    out = tmp_path / "out" / name
    for path in (there, tmp_path / "links" / "case"):
        arguments = ["predict", "-o", str(out), "--overwrite", "--model", str(tiny.folder), "--", str(path)]
        assert cli.main(arguments) == 0
    assert (out / "flair.nii.gz").is_file()
    (tmp_path / "links").chmod(0o755)
