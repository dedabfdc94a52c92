"""Files as people have them, run through the program: each is read as what it is, or refused by a sentence.

    python benchmarks/robustness.py ../shared/data/BraTS-GLI-00000-000 -o docs/robustness.md

Takes FLAIR and T1ce of a case without skull, makes every kind of fault from them, and runs ``mrseg predict``. Exits
with 1 if one kind is not answered as it should be. "same" is the Dice of the whole tumour to the clean result.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the usual short name

from napari_mrseg import cli
from napari_mrseg.io import open_study
from napari_mrseg.io.background import connected_to_faces

Array = npt.NDArray[np.generic]
LEAST = 0.97  # Dice to the clean result that counts as the same


@dataclass
class Clean:
    """The case as it should be: arrays and place."""

    flair: Array
    t1ce: Array
    labels: Array
    affine: npt.NDArray[np.float64]

    def write(self, folder: Path, **instead: Array) -> Path:
        """Both scans in ``folder``; arrays given by name take the place of a scan's, None leaves it out."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("flair", "t1ce"):
            data = instead.get(name, getattr(self, name))
            save(data, self.affine, folder / f"x_{name}.nii.gz")
        return folder


def save(data: Array, affine: npt.NDArray[np.float64], path: Path, unit: str = "mm") -> Path:
    image = nib.Nifti1Image(data, affine)
    image.header.set_qform(affine, 1)
    image.header.set_sform(affine, 1)
    image.header.set_xyzt_units(unit)
    path.write_bytes(gzip.compress(image.to_bytes(), 1) if path.name.endswith(".gz") else image.to_bytes())
    return path


@dataclass
class Kind:
    """``make`` writes into a folder and gives predict's arguments. ``want``: same, asked, refused or said; a word."""

    group: str
    name: str
    want: str
    word: str
    make: Callable[[Clean, Path], list[str]]


KINDS: list[Kind] = []


def kind(
    group: str, name: str, want: str, word: str = ""
) -> Callable[[Callable[[Clean, Path], object]], None]:
    def add(make: Callable[[Clean, Path], object]) -> None:
        def arguments(clean: Clean, folder: Path) -> list[str]:
            made = make(clean, folder)
            return made if isinstance(made, list) else [str(made or folder)]

        KINDS.append(Kind(group, name, want, word, arguments))

    return add


def both(change: Callable[[Array], Array]) -> Callable[[Clean, Path], Path]:
    return lambda clean, folder: clean.write(folder, flair=change(clean.flair), t1ce=change(clean.t1ce))


def outside(value: float) -> Callable[[Array], Array]:
    return lambda data: np.where(data == 0, value, data.astype(np.float32)).astype(np.float32)


def z_scored(data: Array) -> Array:
    data = data.astype(np.float32)
    return (data - data.mean()) / data.std()


def noisy(data: Array) -> Array:
    noise = np.abs(np.random.default_rng(0).normal(0, 0.02 * np.percentile(data[data > 0], 99), data.shape))
    return np.where(data == 0, noise, data.astype(np.float32)).astype(np.float32)


def nan_outside(data: Array) -> Array:
    return np.where(connected_to_faces(data == 0), np.nan, data.astype(np.float32)).astype(np.float32)


def nan_inside(data: Array) -> Array:
    changed = data.astype(np.float32)
    changed[tuple(n // 2 for n in data.shape)] = np.nan
    return changed


G = "intensities"
kind(G, "z-scored over the whole volume", "same")(both(z_scored))
kind(G, "background is the brain's minimum", "same")(both(lambda d: outside(float(d[d > 0].min()))(d)))
kind(G, "background −9", "same")(both(outside(-9)))
kind(G, "background −1024", "same")(both(outside(-1024)))
kind(G, "scaled to −1 … 1", "same")(
    both(lambda d: (2 * d.astype(np.float32) / d.max() - 1).astype(np.float32))
)
kind(G, "every voxel 100 more", "same")(both(lambda d: (d + 100).astype(np.int16)))
kind(G, "noise of 2 % outside the head", "same")(both(noisy))
kind(G, "float64 of 1e-30", "same")(both(lambda d: d.astype(np.float64) * 1e-30))
kind(G, "float64 of 1e+12", "same")(both(lambda d: d.astype(np.float64) * 1e12))
kind(G, "NaN outside the head", "same")(both(nan_outside))
kind(G, "NaN within", "refused", "NaN or infinite")(both(nan_inside))
kind(G, "all zeros", "refused", "all zeros")(both(lambda d: d * 0))


@kind(G, "negative scl_slope", "refused", "intensities are inverted")
def _(clean: Clean, folder: Path) -> object:
    clean.write(folder)
    raw = bytearray(gzip.decompress((folder / "x_flair.nii.gz").read_bytes()))
    raw[112:120] = np.array([-1, 0], dtype="<f4").tobytes()
    (folder / "x_flair.nii.gz").write_bytes(gzip.compress(raw, 1))
    return None


G = "geometry"


def placed(affine: npt.NDArray[np.float64], unit: str = "mm") -> Callable[[Clean, Path], object]:
    def make(clean: Clean, folder: Path) -> object:
        folder.mkdir()
        for name in ("flair", "t1ce"):
            save(getattr(clean, name), affine @ clean.affine, folder / f"x_{name}.nii.gz", unit)
        return None

    return make


def scaled(factor: float) -> npt.NDArray[np.float64]:
    return np.diag([factor, factor, factor, 1.0])


SHEARED = np.eye(4)
SHEARED[0, 1] = 0.6
kind(G, "affine in metres, unit stated", "same")(placed(scaled(0.001), "meter"))
kind(G, "affine in metres, no unit", "refused", "metres")(placed(scaled(0.001), "unknown"))
kind(G, "affine in centimetres, no unit", "refused", "centimetres")(placed(scaled(0.1), "unknown"))
kind(G, "thick slices in centimetres", "refused", "centimetres")(placed(np.diag([0.05, 0.05, 0.12, 1])))
for mm in (3, 10, 1000):
    kind(G, f"voxels of {mm} mm", "refused", "more than any head")(placed(scaled(mm)))
kind(G, "strongly sheared", "said", "stand")(placed(SHEARED))


def reoriented(codes: str) -> Callable[[Clean, Path], object]:
    def make(clean: Clean, folder: Path) -> object:
        folder.mkdir()
        for name in ("flair", "t1ce"):
            image = nib.Nifti1Image(getattr(clean, name), clean.affine)
            have = nib.io_orientation(image.affine)
            want = nib.orientations.axcodes2ornt(tuple(codes))
            turned = image.as_reoriented(nib.orientations.ornt_transform(have, want))
            save(np.asarray(turned.dataobj), turned.affine, folder / f"x_{name}.nii.gz")
        return None

    return make


for codes in ("RAS", "PIR", "SLA"):
    kind(G, f"axes {codes}", "same")(reoriented(codes))
kind(G, "two slices", "refused", "too few")(both(lambda d: d[:, :, 70:72]))
kind(G, "8 voxels", "refused", "too few")(both(lambda d: d[100:102, 100:102, 70:72]))

G = "which file is which"


@kind(G, "a mask given as FLAIR", "refused", "mask or label map")
def _(clean: Clean, folder: Path) -> object:
    return clean.write(folder, flair=(clean.labels > 0).astype(np.uint8))


@kind(G, "a label map given as FLAIR", "refused", "mask or label map")
def _(clean: Clean, folder: Path) -> object:
    return clean.write(folder, flair=clean.labels)


@kind(G, "FLAIR and T1ce exchanged", "said", "exchanged")
def _(clean: Clean, folder: Path) -> object:
    return clean.write(folder, flair=clean.t1ce, t1ce=clean.flair)


@kind(G, "FLAIR given twice", "said", "same image")
def _(clean: Clean, folder: Path) -> object:
    return clean.write(folder, t1ce=clean.flair)


def named(name: str, contrast: str = "t1ce") -> Callable[[Clean, Path], object]:
    def make(clean: Clean, folder: Path) -> object:
        clean.write(folder)
        (folder / f"x_{contrast}.nii.gz").rename(folder / name)
        return None

    return make


for text in ("Ax T1 FSPGR +C", "t1_con_contraste", "T1 mdc", "sub-1_acq-gd_T1w", "T1 Gadovist"):
    kind(G, f"“{text}” beside FLAIR", "asked")(named(f"{text}.nii.gz"))
kind(G, "“t2_space_flair_sag_iso” as FLAIR", "asked")(named("t2_space_flair_sag_iso.nii.gz", "flair"))
for text in (
    "t2_swi3d",
    "T2_rCBV",
    "T1_prob",
    "T1_biasfield",
    "t1c_pred",
    "x_brain_segmentation",
    "ventricle_mask",
):

    def beside(clean: Clean, folder: Path, text: str = text) -> object:
        clean.write(folder)
        shutil.copy(folder / "x_flair.nii.gz", folder / f"{text}.nii.gz")
        return None

    kind(G, f"“{text}” lies beside", "same")(beside)

G = "containers"


def container(ending: str) -> Callable[[Clean, Path], object]:
    def make(clean: Clean, folder: Path) -> object:
        clean.write(folder)
        for path in sorted(folder.iterdir()):
            image, other = nib.load(path), path.with_name(path.name.removesuffix(".nii.gz") + ending)
            data = np.asarray(image.dataobj)
            if ending == ".mgz":
                nib.save(nib.MGHImage(data.astype(np.float32), image.affine), other)
            elif ending == ".hdr":
                nib.save(nib.Nifti1Pair(data, image.affine, image.header), other)
            elif ending == ".nii":
                other.write_bytes(path.read_bytes())
            elif ending == ".NII.GZ":
                path.rename(other)
                continue
            else:
                lps = np.diag([-1, -1, 1, 1]) @ image.affine
                spacing = np.sqrt((lps[:3, :3] ** 2).sum(0))
                made = sitk.GetImageFromArray(data.transpose(2, 1, 0))
                made.SetSpacing(spacing.tolist())
                made.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
                made.SetOrigin(lps[:3, 3].tolist())
                sitk.WriteImage(made, str(other))
            path.unlink()
        return None

    return make


for ending, what in (
    (".mha", "MetaImage"), (".mhd", "MetaImage, two files"), (".nrrd", "NRRD"), (".mgz", "MGZ"),
    (".hdr", "NIfTI pair"), (".nii", "gzipped, though named .nii"), (".NII.GZ", "capitals"),
):  # fmt: skip
    kind(G, what, "same")(container(ending))


@kind(G, "not gzipped, though named .nii.gz", "same")
def _(clean: Clean, folder: Path) -> object:
    clean.write(folder)
    for path in folder.iterdir():
        path.write_bytes(gzip.decompress(path.read_bytes()))
    return None


@kind(G, "truncated", "refused", "truncated")
def _(clean: Clean, folder: Path) -> object:
    clean.write(folder)
    path = folder / "x_t1ce.nii.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return None


@kind(G, "an image of 4 volumes", "refused", "4-D with 4 volumes")
def _(clean: Clean, folder: Path) -> object:
    return clean.write(folder, flair=np.stack([clean.flair] * 4, -1))


G = "paths"
for text in ("with spaces", "Größe", "n" * 200, "日本語", "a'b;c&d"):

    def at(clean: Clean, folder: Path, text: str = text) -> object:
        return clean.write(folder / text)

    kind(G, f"a folder named “{text if len(text) < 50 else '200 letters'}”", "same")(at)


@kind(G, "a folder whose name is not UTF-8", "same")
def _(clean: Clean, folder: Path) -> object:
    return clean.write(folder / os.fsdecode(b"f\xe4lle"))


@kind(G, "symbolic links", "same")
def _(clean: Clean, folder: Path) -> object:
    (folder / "links").mkdir(parents=True)
    for path in clean.write(folder / "there").iterdir():
        (folder / "links" / path.name).symlink_to(path)
    return folder / "links"


@kind(G, "a link to a file that is not there", "refused", "is a link to a file that is not there")
def _(clean: Clean, folder: Path) -> object:
    clean.write(folder)
    (folder / "x_t1ce.nii.gz").unlink()
    (folder / "x_t1ce.nii.gz").symlink_to("nowhere.nii.gz")
    return None


G = "references"
FROM = {"msd": {1: 2, 2: 1, 3: 3}, "brats-ped": {1: 2, 2: 4, 3: 1}, "whole": {1: 1, 2: 1, 3: 1}}


def labelled(codes: dict[int, int], scheme: str | None = None) -> Callable[[Clean, Path], list[str]]:
    def make(clean: Clean, folder: Path) -> list[str]:
        clean.write(folder)
        labels = np.zeros(clean.labels.shape, np.uint8)
        for old, new in codes.items():
            labels[clean.labels == old] = new
        save(labels, clean.affine, folder / "x_seg.nii.gz")
        return [str(folder), *(["--labels", scheme] if scheme else [])]

    return make


kind(G, "codes 1, 2, 4", "same")(labelled({1: 1, 2: 2, 3: 4}))
for scheme, codes in FROM.items():
    kind(G, f"in the order of {scheme}", "said", "--labels")(labelled(codes))
    kind(G, f"in the order of {scheme}, stated", "same")(labelled(codes, scheme))


@kind(G, "one-hot, 4-D", "said", "left out")
def _(clean: Clean, folder: Path) -> object:
    clean.write(folder)
    hot = np.stack([clean.labels == code for code in (1, 2, 3)], -1).astype(np.uint8)
    save(hot, clean.affine, folder / "x_seg.nii.gz")
    return None


def run(arguments: list[str], out: Path) -> tuple[int, str, Array | None]:
    """(exit code, what was said, labels if there are any)."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = cli.main(["predict", *arguments, "-o", str(out)])
    found = next(out.glob("*.nii.gz"), None) if out.is_dir() else None
    labels = None
    if found is not None:
        image = nib.as_closest_canonical(nib.load(found))
        labels = np.asarray(image.dataobj)
        said.write(json.dumps(json.loads((out / "result.json").read_text())["warnings"], ensure_ascii=False))
    return code, said.getvalue(), labels


def answered(one: Kind, code: int, said: str, labels: Array | None, clean: Array) -> tuple[bool, str]:
    """Whether it is as it should be, and what was seen."""
    if "Traceback" in said:
        return False, "a traceback"
    if one.want == "asked" and code == 2 and "say which" in said and labels is None:
        return True, f"asked: {said.strip().splitlines()[-1]}"
    if one.want == "refused":
        return code == 2 and one.word in said and labels is None, f"refused: {said.strip().splitlines()[-1]}"
    if labels is None:
        return False, f"exit code {code}: {said.strip()[-150:]}"
    if one.want == "said":
        lines = said.replace('"message": "', "\n").splitlines()
        found = next((line for line in lines if one.word in line), None)
        if found is None:
            return False, "nothing said"
        sentence = found.removeprefix("Warning: ").partition('"}')[0]
        return True, f"said: {sentence}"
    if labels.shape != clean.shape:
        return False, f"another grid {labels.shape}"
    a, b = labels > 0, clean > 0
    dice = 2 * (a & b).sum() / max(1, a.sum() + b.sum())
    return code == 0 and dice >= LEAST, f"Dice to the clean result {dice:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", type=Path)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--only", help="kinds whose name holds this")
    args = parser.parse_args()
    study = open_study(args.case)
    assert study.reference is not None
    source = study.images["flair"].source
    clean = Clean(
        *(
            study.images[n].source.from_ipl(study.images[n].data).astype(np.float32)
            for n in ("flair", "t1ce")
        ),
        labels=source.from_ipl(study.reference.labels).copy(),
        affine=source.grid.matrix,
    )
    rows, wrong = [], 0
    with tempfile.TemporaryDirectory() as place:
        _, _, want = run([str(clean.write(Path(place) / "clean"))], Path(place) / "clean-out")
        assert want is not None
        for number, one in enumerate(KINDS):
            if args.only and args.only not in one.name:
                continue
            folder = Path(place) / f"{number}"
            right, seen = answered(one, *run(one.make(clean, folder), Path(place) / f"{number}-out"), want)
            wrong += not right
            should = {"same": "the same labels", "asked": "the same labels, or asked"}.get(one.want, one.want)
            seen = seen.replace(str(folder), "").replace("|", "\\|")
            rows.append(f"| {one.group} | {one.name} | {should} | {'' if right else '**WRONG** '}{seen} |")
            print(rows[-1], flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(Path(place) / f"{number}-out", ignore_errors=True)
    print(f"{len(rows) - wrong} of {len(rows)} as they should be")
    if args.out:
        args.out.write_text(document(args.case.name, rows, wrong), encoding="utf-8")
    raise SystemExit(bool(wrong))


BEFORE = """\
# Files as people have them

Every kind below was made from FLAIR and T1ce of `{case}` and given to `mrseg predict` by
`python benchmarks/robustness.py DIR -o docs/robustness.md`: {right} of {all} are answered as they should be.
"The same labels": whole tumour with a Dice of at least {least:g} to the result of the clean files. Refused: one
sentence, exit code 2, nothing written. Said: a result, and a warning in the terminal, the dock and `result.json`.

| kind | input | should be | was |
|---|---|---|---|
"""
AFTER = """
Each kind is a test too (`tests/core/test_field_faults.py`, `test_background.py`, `test_volumes.py`,
`test_plausibility.py`, `test_recognise.py`, `test_nifti.py`), and so are those that need another process or a
data set: consoles in cp1251, cp437 and cp932, SIGTERM, a home that cannot be written, label codes that no file
holds; data sets that mix codes or come in another scheme, with two files for a role or a truncated last subject,
lists in UTF-16, refused training (`tests/training/test_data_sets.py`).
"""


def document(case: str, rows: list[str], wrong: int) -> str:
    before = BEFORE.format(case=case, right=len(rows) - wrong, all=len(rows), least=LEAST)
    return before + "\n".join(rows) + "\n" + AFTER


if __name__ == "__main__":
    main()
