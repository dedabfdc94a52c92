"""Exports as scanners, archives and anonymisers leave them: every slice used once, every file left out said."""

from __future__ import annotations

import os
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid
from synthetic_dicom import TIMES, write_series

from napari_mrseg.errors import InputError
from napari_mrseg.io import inspect, open_study, recognise
from napari_mrseg.io.dicom.index import Series, index
from napari_mrseg.io.dicom.read import read_series

SHAPE = (12, 11, 10)
Change = Callable[[int, Any, random.Random], None]
T2: dict[str, Any] = {"description": "AX T2 TSE", "times": TIMES["t2"], "number": 5}


def scan(seed: int = 0) -> np.ndarray:
    """Noise in a box, nothing around it."""
    data = np.zeros(SHAPE, np.int32)
    data[3:-3, 3:-3, 3:-3] = np.random.default_rng(seed).integers(100, 1200, (6, 5, 4))
    return data


def affine() -> np.ndarray:
    """Voxels of 2 mm, axes L, P, S."""
    matrix = np.diag([-2.0, -2.0, 2.0, 1.0])
    matrix[:3, 3] = 20, 18, -10
    return matrix


def edit(paths: Sequence[Path], change: Change, seed: int = 0) -> None:
    """Apply ``change(slice, dataset, random)`` to each file, in the order of slices."""
    rng = random.Random(seed)
    for k, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        change(k, dataset, rng)
        dataset.save_as(path)


def renamed(dataset: Any, uid: str) -> None:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid


def volumes(folder: Path) -> list[Series]:
    return [one for one in index(folder).series if not one.refusal]


def voxels(series: Series) -> np.ndarray:
    return read_series(series)[0]


def roles(folder: Path) -> dict[str, int]:
    """Role → number of the series, for those that have one."""
    found = recognise(folder).files
    return {f.role: int(f.path.name.split()[1]) for f in found if f.role}


def holds(series: Series, data: np.ndarray) -> bool:
    """True if the series is ``data``, whichever way round its axes run."""
    found = voxels(series)
    return any(np.array_equal(np.flip(found, axes) if axes else found, data) for axes in ((), (2,)))


def echo(*values: float | None) -> Change:
    def change(k: int, dataset: Any, rng: random.Random) -> None:
        value = values[k % len(values)]
        if value is None:
            del dataset.EchoTime
        else:
            dataset.EchoTime = f"{value:.6g}"

    return change


def kinds(*words: tuple[str, ...], half: bool = False) -> Change:
    def change(k: int, dataset: Any, rng: random.Random) -> None:
        which = k * len(words) // SHAPE[2] if half else k % len(words)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", *words[which]]

    return change


def cosines(most: float) -> Change:
    def change(k: int, dataset: Any, rng: random.Random) -> None:
        turned = [float(v) + rng.uniform(-most, most) for v in dataset.ImageOrientationPatient]
        dataset.ImageOrientationPatient = [f"{v:.9f}" for v in turned]

    return change


def pixels(k: int, dataset: Any, rng: random.Random) -> None:
    dataset.PixelSpacing = [f"{float(v) * (1 + rng.uniform(-1e-6, 1e-6)):.9f}" for v in dataset.PixelSpacing]


def weight(k: int, dataset: Any, rng: random.Random) -> None:
    if k % 2:
        dataset.DiffusionBValue = 0.0


ROUNDED: dict[str, Change] = {
    "TE 94.949 and 94.951": echo(94.949, 94.951),
    "TE rounded to 95 in some": echo(95.0, 94.96, 95.04),
    "TE of each package": echo(94.2, 95.8, 97.1),
    "TE missing in every third": echo(95.0, 95.0, None),
    "cosines by a millionth": cosines(1e-6),
    "cosines at the edge of rounding": cosines(2e-3),
    "pixel sizes by a millionth": pixels,
    "NORM on every other slice": kinds(("M", "ND"), ("M", "ND", "NORM")),
    "NORM on the lower half": kinds(("M", "ND", "NORM"), ("M", "ND"), half=True),
    "three kinds of filter": kinds(("M", "SE", "FIL"), ("M", "SE"), ("M", "SE", "DIS2D")),
    "no kind in some": kinds((), ("M",)),
    "b 0 and no b": weight,
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", ROUNDED)
def test_what_differs_by_rounding_is_one_volume(kind: str, seed: int, tmp_path: Path) -> None:
    """All slices in one volume, voxel for voxel as they were; nothing beside it."""
    edit(write_series(tmp_path, scan(seed), affine(), seed=seed, **T2), ROUNDED[kind], seed)
    (one,) = index(tmp_path).series
    assert one.refusal == ""
    assert np.array_equal(voxels(one), scan(seed))
    assert roles(tmp_path) == {"t2": 5}


APART: dict[str, tuple[Change, Change]] = {
    "magnitude and phase": (kinds(("M", "ND")), kinds(("P", "ND"))),
    "water and fat": (kinds(("M", "WATER")), kinds(("M", "FAT"))),
    "with and without a filter": (kinds(("M", "ND")), kinds(("M", "ND", "NORM"))),
    "two echoes": (echo(30.0), echo(90.0)),
    "two near echoes": (echo(4.6), echo(4.9)),
    "two b values": (
        lambda k, d, r: setattr(d, "DiffusionBValue", 50.0),
        lambda k, d, r: setattr(d, "DiffusionBValue", 1000.0),
    ),
}


@pytest.mark.parametrize("shift", [0.0, 1.0], ids=["one place", "half a slice on"])
@pytest.mark.parametrize("kind", APART)
def test_what_shows_different_things_stays_apart(kind: str, shift: float, tmp_path: Path) -> None:
    """Two images of each place, or slices of two contrasts that alternate, are two volumes."""
    if shift and kind in ("with and without a filter", "two near echoes"):
        pytest.skip("alternating slices of one contrast are one volume")
    for number, change in enumerate(APART[kind]):
        place = affine()
        place[2, 3] += number * shift
        paths = write_series(tmp_path / str(number), scan(number), place, **T2)
        edit(paths, change)
        edit(paths, lambda k, d, r, n=number: renamed(d, generate_uid(entropy_srcs=[f"{n} {k}"])))
    found = volumes(tmp_path)
    assert len(found) == 2
    for number in range(2):
        assert sum(holds(one, scan(number)) for one in found) == 1


def tag(name: str, *values: Any) -> Callable[[int], Change]:
    return lambda part: lambda k, dataset, rng: setattr(dataset, name, values[part])


def times(name: str, start: tuple[int, int], step: float) -> Callable[[int], Change]:
    """Times of day in seconds, ``step`` apart from slice to slice, in each part from its own start."""

    def of(part: int) -> Change:
        def change(k: int, dataset: Any, rng: random.Random) -> None:
            seconds = start[part] + step * k
            whole = int(seconds)
            hour, minute, second = whole // 3600, whole // 60 % 60, whole % 60
            setattr(dataset, name, f"{hour:02d}{minute:02d}{second:02d}.{int(seconds % 1 * 1e4):04d}")

        return change

    return of


TOLD: dict[str, Callable[[int], Change]] = {
    "acquisition number": tag("AcquisitionNumber", 1, 2),
    "numbers far apart": tag("AcquisitionNumber", 7, 1201),
    "agent": tag("ContrastBolusAgent", "", "Gadovist"),
    "temporal position": tag("TemporalPositionIdentifier", 1, 2),
    "description": tag("SeriesDescription", "AX T2 TSE", "AX T2 TSE post"),
    "acquisition time": times("AcquisitionTime", (36000, 36900), 0.0),
    "acquisition time of each slice": times("AcquisitionTime", (36000, 36400), 2.5),
    "content time": times("ContentTime", (36000, 37000), 1.25),
}
PLACES = {"one place": 0.0, "half a slice on": 1.0, "a third on": 0.66, "slabs": 50.0, "overlap": 12.0}


def some(first: Sequence[str], second: Sequence[str], of: int) -> list[tuple[str, str]]:
    """One pair of each ``of``, so that each of both is there."""
    return [(a, b) for i, a in enumerate(first) for j, b in enumerate(second) if (i + j) % of == 0]


@pytest.mark.parametrize(("told", "place"), some(list(TOLD), list(PLACES), 2))
def test_two_acquisitions_in_one_series_are_two_volumes(told: str, place: str, tmp_path: Path) -> None:
    """Before and after the agent, or two slabs: no volume has slices of both; the earlier one comes first."""
    for part in range(2):
        matrix = affine()
        matrix[2, 3] += part * PLACES[place]
        paths = write_series(tmp_path / str(part), scan(part), matrix, seed=part, **T2)
        edit(paths, TOLD[told](part))
        edit(paths, lambda k, d, r, p=part: renamed(d, generate_uid(entropy_srcs=[f"{p} {k}"])))
    found = volumes(tmp_path)
    assert [one.part for one in found] == [1, 2]
    assert [holds(one, scan(part)) for part, one in enumerate(found)] == [True, True]
    assert "one_of_several_acquisitions" in [note.code for note in read_series(found[1])[2]]
    if "time" in told and "acquisition" in told:
        assert found[0].moment < found[1].moment


def every(count: int, name: str, *values: Any) -> Change:
    return lambda k, dataset, rng: setattr(dataset, name, values[k % count])


PACKAGES: dict[str, Change] = {
    "two by number": every(2, "AcquisitionNumber", 1, 2),
    "three by number": every(3, "AcquisitionNumber", 1, 2, 3),
    "two by time": every(2, "AcquisitionTime", "100000", "100400"),
    "three by time": every(3, "AcquisitionTime", "100000", "100400", "100800"),
    "halves by number": lambda k, d, r: setattr(d, "AcquisitionNumber", 1 + k // 5),
    "each slice its own": lambda k, d, r: setattr(d, "AcquisitionNumber", r.randrange(1000)),
    "content times": lambda k, d, r: setattr(d, "ContentTime", f"10{r.randrange(60):02d}00"),
}


@pytest.mark.parametrize("thick", ["SliceThickness", "SpacingBetweenSlices", "nothing"])
@pytest.mark.parametrize("kind", PACKAGES)
def test_packages_of_one_acquisition_stay_one_volume(kind: str, thick: str, tmp_path: Path) -> None:
    """Slices taken in turns are one volume, whatever number or time each has."""
    paths = write_series(tmp_path, scan(3), affine(), **T2)
    edit(paths, PACKAGES[kind], 4)
    if thick == "nothing":
        edit(paths, lambda k, d, r: delattr(d, "SliceThickness"))
    elif thick == "SpacingBetweenSlices":
        edit(paths, lambda k, d, r: (setattr(d, thick, "2"), setattr(d, "SliceThickness", "1.6"))[0])
    (one,) = volumes(tmp_path)
    assert one.part == 0
    assert np.array_equal(voxels(one), scan(3))


@pytest.mark.parametrize("lost", [0, 1, 4, 8, 9])
def test_packages_with_a_slice_lost_are_no_two_volumes(lost: int, tmp_path: Path) -> None:
    """Never the half of the slices as a volume: the rest is used if it is whole, else refused."""
    paths = write_series(tmp_path, scan(3), affine(), **T2)
    edit(paths, PACKAGES["two by number"])
    paths[lost].unlink()
    (one,) = volumes(tmp_path)
    if lost in (0, 9):
        assert voxels(one).shape[2] == 9
    else:
        with pytest.raises(InputError, match="lacks 1 of its slices"):
            voxels(one)


def one_uid(of_all: bool) -> Change:
    """SOPInstanceUIDs that a careless anonymiser numbered anew in each series, or made one."""
    return lambda k, dataset, rng: renamed(dataset, "1.2.3.4" if of_all else f"1.2.3.4.{k + 1}")


def series_of_slices(k: int, dataset: Any, rng: random.Random) -> None:
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[str(dataset.SOPInstanceUID), str(k)])


def series_of_two(k: int, dataset: Any, rng: random.Random) -> None:
    dataset.SeriesInstanceUID = f"{str(dataset.SeriesInstanceUID)[:50]}.{k // 2}"


def series_of_half(by: Callable[[int], int]) -> Change:
    def change(k: int, dataset: Any, rng: random.Random) -> None:
        dataset.SeriesInstanceUID = f"{str(dataset.SeriesInstanceUID)[:50]}.{by(k)}"

    return change


def no_number(k: int, dataset: Any, rng: random.Random) -> None:
    series_of_slices(k, dataset, rng)
    del dataset.SeriesNumber


def no_words(k: int, dataset: Any, rng: random.Random) -> None:
    series_of_slices(k, dataset, rng)
    dataset.SeriesDescription = ""


def one_series(k: int, dataset: Any, rng: random.Random) -> None:
    dataset.SeriesInstanceUID = "1.2.3.9"


CARELESS: dict[str, Change] = {
    "SOP UIDs numbered anew in each series": one_uid(False),
    "one SOP UID for all": one_uid(True),
    "a series UID for each slice": series_of_slices,
    "a series UID for each two slices": series_of_two,
    "a series UID for each slice, no number": no_number,
    "a series UID for each slice, no description": no_words,
    "a series UID for each half": series_of_half(lambda k: k // 5),
    "a series UID for each package": series_of_half(lambda k: k % 2),
    "one series UID for all": one_series,
}


@pytest.mark.parametrize("kind", CARELESS)
def test_careless_uids_lose_no_scan(kind: str, tmp_path: Path) -> None:
    """Three scans with one set of UIDs, or a scan with many: each is there with all its slices."""
    wanted = {"flair": 1, "t1": 2, "t2": 3}
    for name, number in wanted.items():
        paths = write_series(
            tmp_path / name, scan(number), affine(), number=number, description=name, times=TIMES[name]
        )
        edit(paths, CARELESS[kind])
    found = volumes(tmp_path)
    assert len(found) == 3
    for number in wanted.values():
        (one,) = (one for one in found if number in (one.number, wanted.get(one.description)))
        assert np.array_equal(voxels(one), scan(number))
    assert {f.role for f in recognise(tmp_path).files} == set(wanted)


@pytest.mark.parametrize("how", ["copied", "packed", "in a subfolder", "in an archive", "named anew"])
def test_a_copy_of_a_series_is_no_second_volume(how: str, tmp_path: Path) -> None:
    """The same slices once more, as they are or packed otherwise, do no harm."""
    paths = write_series(tmp_path / "e", scan(2), affine(), **T2)
    if how == "packed":
        again = write_series(tmp_path / "e" / "again", scan(2), affine(), syntax="1.2.840.10008.1.2.5", **T2)
        uids = [pydicom.dcmread(path).SOPInstanceUID for path in paths]
        edit(again, lambda k, d, r: renamed(d, uids[k]))
    elif how == "in an archive":
        with zipfile.ZipFile(tmp_path / "e" / "again.zip", "w") as archive:
            for path in paths:
                archive.write(path, path.name)
    else:
        where = tmp_path / "e" / "deep" if how == "in a subfolder" else tmp_path / "e"
        where.mkdir(exist_ok=True)
        for k, path in enumerate(paths):
            shutil.copy(path, where / (f"{path.name} (1)" if how == "copied" else f"copy{k}.dcm"))
    (one,) = index(tmp_path / "e").series
    assert np.array_equal(voxels(one), scan(2))


def scaled(slope: float, intercept: float) -> Change:
    def change(k: int, dataset: Any, rng: random.Random) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)

    return change


def each_its_own(k: int, dataset: Any, rng: random.Random) -> None:
    """Stored upside down and scaled otherwise in each slice, for the same values."""
    slope = (-1, 1, -0.5, 2)[k % 4]
    intercept = 2048 if slope < 0 else 0
    stored = (dataset.pixel_array.astype(float) - intercept) / slope
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)


SCALES: dict[str, tuple[Change, Callable[[np.ndarray], np.ndarray]]] = {
    "slope -1": (scaled(-1, 4095), lambda v: 4095 - v),
    "slope -1, intercept 1200": (scaled(-1, 1200), lambda v: 1200 - v),
    "slope -0.5": (scaled(-0.5, 600), lambda v: 600 - v / 2),
    "slope -2.5 and below 0": (scaled(-2.5, 100), lambda v: 100 - 2.5 * v),
    "slope 1, intercept -100": (scaled(1, -100), lambda v: v - 100),
    "slope 0, which says nothing": (scaled(0, 5), lambda v: v),
    "each slice its own": (each_its_own, lambda v: v),
}


@pytest.mark.parametrize("kind", SCALES)
def test_the_stated_scale_is_applied(kind: str, tmp_path: Path) -> None:
    """Value = slope × stored + intercept, also where the slope is negative."""
    change, wanted = SCALES[kind]
    data = scan(4) // 2 * 2
    edit(write_series(tmp_path, data, affine(), **T2), change)
    (one,) = volumes(tmp_path)
    assert np.allclose(voxels(one), wanted(data.astype(float)), atol=0.01)


@pytest.mark.parametrize(("slope", "intercept"), [(-1, 0), (-1, -5), (-0.001, 0), (-3, 0), (-2.5, -1000)])
def test_a_scale_that_leaves_nothing_above_0_is_refused(
    slope: float, intercept: float, tmp_path: Path
) -> None:
    """Inverted intensities are never taken for a scan."""
    edit(write_series(tmp_path, scan(4), affine(), **T2), scaled(slope, intercept))
    (one,) = volumes(tmp_path)
    with pytest.raises(InputError, match="negative scale"):
        voxels(one)


def padded(value: int, stated: int | None = None, limit: int | None = None, signed: bool = True) -> Change:
    """A border of ``value``, stated as padding."""

    def change(k: int, dataset: Any, rng: random.Random) -> None:
        dataset.PixelRepresentation = int(signed)
        data = dataset.pixel_array.astype(np.int64)
        data[:2] = value
        data[-1] = value if limit is None else limit
        dataset.PixelData = data.astype("<i2" if signed else "<u2").tobytes()
        said = value if stated is None else stated
        dataset.add_new("PixelPaddingValue", "SS" if signed and stated is None else "US", said)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", "SS" if signed else "US", limit)

    return change


PADDED: dict[str, Change] = {
    "-2000": padded(-2000),
    "-32768": padded(-32768),
    "65535": padded(65535, signed=False),
    "4095, brighter than tissue": padded(4095),
    "a range": padded(-2000, limit=-1990),
    "63536 stated for -2000": padded(-2000, stated=63536),
    "with a scale": lambda k, d, r: (padded(-2000)(k, d, r), scaled(1, 0)(k, d, r))[0],
}


@pytest.mark.parametrize("kind", PADDED)
def test_padding_is_background(kind: str, tmp_path: Path) -> None:
    """What a file says is no image is 0; the image within is as stored."""
    data = scan(6)
    edit(write_series(tmp_path, data, affine(), **T2), PADDED[kind])
    (one,) = volumes(tmp_path)
    wanted = data.copy()
    wanted[:, :2] = wanted[:, -1] = 0
    assert np.array_equal(voxels(one), wanted)


def test_an_inverted_series_is_turned_as_a_whole(tmp_path: Path) -> None:
    """MONOCHROME1: one turning point for all slices, not one for each."""
    data = scan(7)
    top = data.max()
    paths = write_series(tmp_path, top - data, affine(), PhotometricInterpretation="MONOCHROME1", **T2)
    assert len(paths) == SHAPE[2]
    (one,) = volumes(tmp_path)
    assert np.array_equal(voxels(one), data)


def mosaic(k: int, dataset: Any, rng: random.Random) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "NORM", "MOSAIC"]


def syntax(uid: str, private: bool = False) -> Change:
    def change(k: int, dataset: Any, rng: random.Random) -> None:
        if not private:
            dataset.PixelData = encapsulate([dataset.PixelData])
            dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)

    return change


def frames_without_places(k: int, dataset: Any, rng: random.Random) -> None:
    dataset.NumberOfFrames = 2
    dataset.PixelData = dataset.PixelData * 2


def lies_nowhere(k: int, dataset: Any, rng: random.Random) -> None:
    if k == 3:
        del dataset.ImagePositionPatient


ASIDE: dict[str, tuple[Change, str]] = {
    "mosaic": (mosaic, "a mosaic"),
    "MPEG-2": (syntax("1.2.840.10008.1.2.4.100"), "packed in a way that is not read"),
    "MPEG-4": (syntax("1.2.840.10008.1.2.4.102"), "packed in a way that is not read"),
    "a private syntax": (syntax("1.2.3.4.5.6", private=True), "packed in a way that is not read"),
    "frames without places": (frames_without_places, "10 of its 10 files do not say where"),
    "one slice without a place": (lies_nowhere, "1 of its 10 files do not say where"),
    "colour": (lambda k, d, r: setattr(d, "SamplesPerPixel", 3) or setattr(d, "PixelData", d.PixelData * 3), "colour"),  # type: ignore[func-returns-value]
    "another modality": (lambda k, d, r: setattr(d, "Modality", "PT"), "modality is PT"),
    "a direction that is no number": (lambda k, d, r: setattr(d, "ImageOrientationPatient", [0, 0, 0]), "do not say"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ASIDE)
def test_one_series_that_cannot_be_used_does_not_hide_the_rest(kind: str, tmp_path: Path) -> None:
    """The others have their roles; the one says why it is set aside."""
    change, why = ASIDE[kind]
    write_series(tmp_path / "1", scan(1), affine(), number=1, description="FLAIR", times=TIMES["flair"])
    edit(write_series(tmp_path / "2", scan(2), affine(), **T2), change)
    assert roles(tmp_path) == {"flair": 1}
    (said,) = (f.reason for f in recognise(tmp_path).files if f.path.name.startswith("series 5"))
    assert why in said


@pytest.mark.parametrize("how", ["classic", "enhanced", "implicit name", "in an archive", "beside others"])
def test_a_deflated_series_is_read(how: str, tmp_path: Path) -> None:
    """A file packed as a whole is unpacked, within a limit, and read as any other."""
    folder = tmp_path / "e"
    paths = write_series(folder / "d", scan(3), affine(), enhanced=how == "enhanced", **T2)
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        dataset.save_as(path)
        if how == "implicit name":
            path.rename(path.with_suffix(""))
    if how == "in an archive":
        with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
            for path in paths:
                archive.write(path, path.name)
        folder = tmp_path / "e.zip"
    if how == "beside others":
        write_series(folder / "1", scan(1), affine(), number=1, description="FLAIR", times=TIMES["flair"])
    (one,) = (one for one in volumes(folder) if one.number == 5)
    assert np.array_equal(voxels(one), scan(3))
    assert roles(folder)["t2"] == 5


def test_a_deflated_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the limit is refused, and the rest is read."""
    (path, *_) = write_series(tmp_path / "d", np.zeros((400, 400, 1), int), affine(), **T2)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    write_series(tmp_path / "1", scan(1), affine(), number=1, description="FLAIR", times=TIMES["flair"])
    assert "1 slices only" in " ".join(f.reason for f in recognise(tmp_path).files)
    monkeypatch.setattr("napari_mrseg.io.dicom.archive.MOST_INFLATED", 10_000)
    os.utime(path, (1, 1))
    found = {f.path.name: f.reason for f in recognise(tmp_path).files}
    assert "unpacks to too much" in found["1 file that cannot be read"]
    assert roles(tmp_path) == {"flair": 1}


def cut(share: float) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def scrambled(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[400:900] = random.Random(5).randbytes(500)
    path.write_bytes(bytes(raw))


HARMS: dict[str, Callable[[Path], None]] = {
    "most of the pixels": cut(0.9),
    "half": cut(0.5),
    "within the header": cut(0.3),
    "at its start": cut(0.15),
    "0 bytes": cut(0),
    "zeros": zeros,
    "a scrambled header": scrambled,
    "a byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
}


@pytest.mark.parametrize(
    ("harm", "where"), some(list(HARMS), ["at the end", "in the middle", "scattered", "all"], 2)
)
def test_files_that_cannot_be_read_are_said(harm: str, where: str, tmp_path: Path) -> None:
    """A series with files cut short is never used as if they had not been there; the rest of the export is."""
    write_series(tmp_path / "1", scan(1), affine(), number=1, description="FLAIR", times=TIMES["flair"])
    paths = write_series(tmp_path / "2", scan(2), affine(), seed=3 if where == "scattered" else None, **T2)
    chosen = {"at the end": paths[-4:], "in the middle": paths[5:7], "scattered": paths[::3], "all": paths}[
        where
    ]
    for path in chosen:
        HARMS[harm](path)
    said = {f.path.name: (f.role, f.reason) for f in recognise(tmp_path).files}
    assert said["series 1 (FLAIR)"][0] == "flair"
    refused = " ".join(reason for role, reason in said.values() if role is None)
    count = (
        f"{len(chosen)} file" if "cannot be read" in " ".join(said) else f"{len(chosen)} of its {len(paths)}"
    )
    told = " ".join(said) + refused
    if harm in ("0 bytes", "zeros") and where == "all":
        return  # nothing says that these were images
    assert count in told, said
    for one in index(tmp_path).series:
        if one.number == 5 and not one.refusal and one.frames:
            assert one.lost == len(chosen)
            if where == "at the end":
                assert "files_unreadable" in [note.code for note in read_series(one)[2]]
            else:
                with pytest.raises(InputError, match=r"lacks|uneven"):
                    read_series(one)


@pytest.mark.parametrize("harm", ["damaged", "bomb", "cut off", "empty inside", "beside it twice"])
def test_an_archive_in_an_export_that_cannot_be_read_is_said(harm: str, tmp_path: Path) -> None:
    """The rest of the export is read; how many archives were not, is said."""
    write_series(tmp_path / "1", scan(1), affine(), number=1, description="FLAIR", times=TIMES["flair"])
    paths = [tmp_path / "more.zip", *([tmp_path / "again.zip"] if harm == "beside it twice" else [])]
    for path in paths:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.dcm", bytes(2**27) if harm == "bomb" else b"x" * 1000)
        if harm not in ("bomb", "empty inside"):
            path.write_bytes(path.read_bytes()[: 60 if harm == "cut off" else -10])
    assert roles(tmp_path) == {"flair": 1}
    said = {f.path.name: f.reason for f in recognise(tmp_path).files}
    if harm == "empty inside":
        assert list(said) == ["series 1 (FLAIR)"]
    else:
        name = "2 files that cannot be read" if len(paths) == 2 else "1 file that cannot be read"
        assert "an archive that is damaged, locked or unpacks to too much" in said[name]


def test_an_export_of_damaged_files_says_so(tmp_path: Path) -> None:
    """Not that its names are unknown: what is wrong, and the fix."""
    for path in write_series(tmp_path, scan(2), affine(), **T2):
        cut(0.95)(path)
    with pytest.raises(
        InputError, match=r"no series that could be used \(series 5 .*10 of its 10 files are cut short"
    ):
        open_study(tmp_path)
    assert "cut short" in inspect(tmp_path)["files"][0]["reason"]
