"""Data sets as distributed, splits, the cache, and the report of what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import NAMES_2023, small_config, write_subject, write_subjects
from synthetic import save_nifti

from mrseg_training.augment import augment, regions_of, with_artefacts
from mrseg_training.data import prepared
from mrseg_training.data.audit import check
from mrseg_training.data.loader import Loader
from mrseg_training.data.prepared import Volumes, fill_cache, is_sound
from mrseg_training.data.splits import draw_split, read_split, write_split
from mrseg_training.data.subjects import Files, find_brats, find_folders
from mrseg_training.log import Count
from mrseg_training.perturb import generators
from mrseg_training.settings import AugmentPart
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import BRATS

TREES = {
    "2018": ("HGG/Brats18_TCIA01_1", "_", None, ".nii.gz"),
    "2020": ("BraTS20_Training_001", "_", None, ".nii"),
    "2021": ("BraTS2021_00001", "_", None, ".nii.gz"),
    "2023": ("ASNR/BraTS-GLI-00001-000", "-", NAMES_2023, ".nii.gz"),
}


def files(root: Path) -> Files:
    return Files(find_brats(root), BRATS, 1.0)


@pytest.mark.parametrize("year", TREES)
@pytest.mark.parametrize("enhancing", [3, 4])
def test_brats_folders_as_distributed(year: str, enhancing: int, tmp_path: Path) -> None:
    """2018, 2020, 2021 and 2023 trees, both naming schemes, enhancing tumour as 4 or as 3: the same subject."""
    folder, separator, names, suffix = TREES[year]
    write_subject(tmp_path / folder, separator=separator, names=names, suffix=suffix, enhancing=enhancing)
    (tmp_path / "name_mapping.csv").write_text("x")
    source = files(tmp_path)
    assert source.ids == (Path(folder).name,)
    prepared = source.load(source.ids[0])
    assert prepared.available.all()
    assert set(prepared.labels.unique().tolist()) == {0, 1, 2, 3}
    assert all(n % 8 == 0 for n in prepared.labels.shape)
    plain = files(write_subject(tmp_path.parent / f"plain-{year}-{enhancing}" / "BraTS_x").parent).load(
        "BraTS_x"
    )
    assert torch.equal(plain.images, prepared.images)
    assert torch.equal(plain.labels, prepared.labels)


def test_brats_2015_as_distributed(tmp_path: Path) -> None:
    """A folder for each .mha, T1c apart from T1; of its five codes two are of the core that does not enhance."""
    import SimpleITK as sitk  # noqa: N813 - the usual short name

    plain = write_subject(tmp_path / "plain" / "BraTS_x")
    subject = tmp_path / "2015" / "HGG" / "brats_tcia_pat101_0001"
    named = {"flair": "O.MR_Flair", "t1": "O.MR_T1", "t1ce": "O.MR_T1c", "t2": "O.MR_T2", "seg": "XX.OT"}
    for number, (role, word) in enumerate(named.items()):
        image = sitk.ReadImage(str(plain / f"{plain.name}_{role}.nii.gz"))
        if role == "seg":
            codes = sitk.GetArrayFromImage(image)
            first = np.argwhere(codes == 1)[0]
            codes[tuple(first)] = 3
            other = sitk.GetImageFromArray(codes)
            other.CopyInformation(image)
            image = other
        stem = f"VSD.Brain.XX.{word}.{54500 + number}"
        (subject / stem).mkdir(parents=True)
        sitk.WriteImage(image, str(subject / stem / f"{stem}.mha"))
    found = find_brats(tmp_path / "2015")
    assert set(found[subject.name]) == {"flair", "t1", "t1ce", "t2", "reference"}
    prepared = Files(found, BRATS, 1.0, labels="brats-2015").load(subject.name)
    wanted = files(plain.parent).load("BraTS_x")
    assert torch.equal(prepared.images, wanted.images)
    assert torch.equal(prepared.labels, wanted.labels)


def test_the_misnamed_segmentation_of_2020(tmp_path: Path) -> None:
    """Subject 355's "W39_1998.09.19_Segm.nii" is its segmentation."""
    folder = write_subject(tmp_path / "BraTS20_Training_355", suffix=".nii")
    (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    assert find_brats(tmp_path)[folder.name]["reference"].name == "W39_1998.09.19_Segm.nii"


def test_no_brats_there(tmp_path: Path) -> None:
    """A folder of something else, and no folder at all."""
    with pytest.raises(InputError, match="holds no BraTS subject"):
        find_brats(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        find_brats(tmp_path / "nowhere")


def test_any_folders_by_a_glob(tmp_path: Path) -> None:
    """Subjects anywhere a pattern finds them, modalities by their names; twins get their path as id."""
    for place in ("a/visit1", "b/visit1", "c/other"):
        write_subject(tmp_path / place, modalities=("flair", "t2"))
    (tmp_path / "d" / "visit1").mkdir(parents=True)
    found = find_folders(tmp_path, "*/visit1", BRATS)
    assert list(found) == ["a__visit1", "b__visit1"]
    assert list(found["a__visit1"]) == ["flair", "t2", "reference"]
    prepared = Files(found, BRATS, 2.0).load("a__visit1")
    assert prepared.available.tolist() == [True, False, False, True]
    assert float(prepared.images[1].abs().max()) == 0.0
    assert prepared.labels.shape == (16, 16, 16)


def test_splits_have_the_papers_proportions() -> None:
    """315/17/37, 219/50/100 and 200/85 of data sets of that size; shares of others; seeded; every id once."""
    for sizes in ((315, 17, 37), (219, 50, 100), (200, 0, 85)):
        ids = [f"s{k}" for k in range(sum(sizes))]
        split = draw_split(ids, sizes, 0)
        assert tuple(len(split[g]) for g in ("train", "validation", "test")) == sizes
        assert sorted(i for group in split.values() for i in group) == sorted(ids)
        assert split == draw_split(ids[::-1], sizes, 0)
        assert split != draw_split(ids, sizes, 1)
    few = draw_split([f"s{k}" for k in range(10)], (219, 50, 100), 0)
    assert [len(group) for group in few.values()] == [7, 1, 2]


def test_given_splits_are_text_files_of_ids(tmp_path: Path) -> None:
    """Read back as written; comments allowed; unknown ids and ids in two groups are named."""
    split = {"train": ["a", "b"], "validation": [], "test": ["c"]}
    write_split(split, tmp_path)
    assert read_split(tmp_path, ["a", "b", "c", "d"]) == split
    (tmp_path / "test.txt").write_text("# held out\nc  # as in the paper\n\na\n")
    with pytest.raises(InputError, match=r"a is in train\.txt and in test\.txt"):
        read_split(tmp_path, ["a", "b", "c"])
    with pytest.raises(InputError, match=r"test\.txt names c"):
        read_split(tmp_path, ["a", "b"])


def test_report_names_each_bad_subject(tmp_path: Path) -> None:
    """Missing segmentation, unreadable file, NaN, other grid, unknown label: each by subject and file."""
    write_subjects(tmp_path, 1)
    (write_subject(tmp_path / "BraTS_noseg") / "BraTS_noseg_seg.nii.gz").unlink()
    (write_subject(tmp_path / "BraTS_text") / "BraTS_text_t1.nii.gz").write_text("no scan")
    nan = np.full((24, 24, 24), np.nan, dtype=np.float32)
    save_nifti(write_subject(tmp_path / "BraTS_nan") / "BraTS_nan_t2.nii.gz", nan)
    other = np.random.default_rng(0).uniform(1, 9, (20, 24, 24)).astype(np.float32)
    save_nifti(write_subject(tmp_path / "BraTS_grid") / "BraTS_grid_flair.nii.gz", other)
    write_subject(tmp_path / "BraTS_label", enhancing=7)
    write_subject(tmp_path / "BraTS_lacks", modalities=("flair", "t1", "t2"))
    write_subject(tmp_path / "BraTS_empty", tumour=False)
    problems = check(files(tmp_path))
    by_subject = {p.subject: p for p in problems}
    assert {p.subject for p in problems if p.serious} == {
        "BraTS_noseg", "BraTS_text", "BraTS_nan", "BraTS_grid", "BraTS_label",
    }  # fmt: skip
    assert "BraTS_text_t1.nii.gz" in by_subject["BraTS_text"].message
    assert "BraTS_nan_t2.nii.gz" in by_subject["BraTS_nan"].message
    assert "another grid" in by_subject["BraTS_grid"].message
    assert "7" in by_subject["BraTS_label"].message
    assert "t1ce" in by_subject["BraTS_lacks"].message
    assert "without a tumour" in by_subject["BraTS_empty"].message


def test_bad_subjects_stop_the_run_or_are_left_out(tmp_path: Path) -> None:
    """By default a sentence that names them and a report; with skip_bad the others are used."""
    root = write_subjects(tmp_path / "data", 2)
    (root / "BraTS2021_00001" / "BraTS2021_00001_t1.nii.gz").write_text("no scan")
    source = files(root)
    with pytest.raises(InputError, match=r"BraTS2021_00001 cannot be used \(BraTS2021_00001_t1"):
        fill_cache(source, source.ids, tmp_path / "cache")
    assert "BraTS2021_00001_t1.nii.gz" in (tmp_path / "cache" / "problems.txt").read_text()
    cached = fill_cache(source, source.ids, tmp_path / "cache", skip_bad=True)
    assert [c.subject for c in cached] == ["BraTS2021_00000"]


def test_several_processes_prepare_the_same(tmp_path: Path) -> None:
    """With workers the same subjects, files and problems come out, in order."""
    root = write_subjects(tmp_path / "data", 3)
    (root / "BraTS2021_00001" / "BraTS2021_00001_t1.nii.gz").write_text("no scan")
    source = files(root)
    alone = fill_cache(source, source.ids, tmp_path / "alone", skip_bad=True)
    together = fill_cache(source, source.ids, tmp_path / "together", skip_bad=True, workers=2)
    assert [c.subject for c in alone] == [c.subject for c in together]
    for one, other in zip(alone, together, strict=True):
        first, second = load_file(one.path), load_file(other.path)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert is_sound(other.path, source.fingerprint(other.subject))
    reports = [(tmp_path / folder / "problems.txt").read_text() for folder in ("alone", "together")]
    assert reports[0] == reports[1]


def test_cache_is_verified_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sound is not made again; a flipped byte, a changed scan or another spacing is."""
    root = write_subjects(tmp_path / "data", 2)
    source = files(root)
    cached = fill_cache(source, source.ids, tmp_path / "cache")
    loaded: list[str] = []
    real = prepared.examine

    def counted(source: Files, subject: str) -> object:
        loaded.append(subject)
        return real(source, subject)

    monkeypatch.setattr(prepared, "examine", counted)
    fill_cache(source, source.ids, tmp_path / "cache")
    assert loaded == []
    content = bytearray(cached[0].path.read_bytes())
    content[-1] ^= 1
    cached[0].path.write_bytes(content)
    fill_cache(source, source.ids, tmp_path / "cache")
    assert loaded == [cached[0].subject]
    write_subject(root / cached[1].subject, seed=77)
    fill_cache(source, source.ids, tmp_path / "cache")
    assert loaded == [c.subject for c in cached]
    assert not is_sound(cached[0].path, Files(source.found, BRATS, 2.0).fingerprint(cached[0].subject))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Volumes, Volumes]:
    """Five cached subjects, in memory and from the files."""
    root = write_subjects(tmp_path_factory.mktemp("data"), 5)
    source = files(root)
    cached = fill_cache(source, source.ids, tmp_path_factory.mktemp("cache"))
    return Volumes(cached, "yes"), Volumes(cached, "no")


def loader(volumes: Volumes, rank: int = 0, processes: int = 1, batch: int = 2) -> Loader:
    part = small_config().stage("contrast").model_copy(update={"batch": batch})
    return Loader(
        volumes, part, BRATS, seed=0, stage=1, device=torch.device("cpu"), rank=rank, processes=processes
    )


def test_coarse_steps_see_twice_the_spacing(volumes: tuple[Volumes, Volumes]) -> None:
    """With ``coarse`` the same extents cover twice the head, sampled as a subject prepared at that spacing."""
    part = small_config().stage("contrast")
    part = part.model_copy(update={"coarse": 1.0, "augment": AugmentPart(flip=False, rotate=0, centred=0)})
    part = part.model_copy(
        update={"extents": ((16, 16, 16),)}
    )  # the whole volume of 24³ voxels, padded to 32³
    batch = Loader(volumes[0], part, BRATS, seed=0, stage=1, device=torch.device("cpu")).batch(0)
    assert batch.images.shape == (2, 4, 16, 16, 16)
    subjects = [volumes[0].subjects[k] for k in (0, 1, 2, 3, 4)]
    sizes = {float((volumes[0].labels(s) > 0).sum()) / 8 for s in subjects}
    for regions in batch.regions:
        assert min(abs(float(regions[0].sum()) - size) / size for size in sizes) < 0.25


def test_batches_are_the_same_from_memory_and_from_files(volumes: tuple[Volumes, Volumes]) -> None:
    """Memory-mapped pieces and held volumes give the same batches, read ahead or not."""
    held, mapped = volumes
    for one, two in zip(loader(held).batches(3, 6), map(loader(mapped).batch, range(3, 6)), strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.regions, two.regions)
        assert one.images.shape == (2, 4, 16, 16, 16)
        assert one.regions.shape == (2, 3, 16, 16, 16)
        assert one.images.is_contiguous(memory_format=torch.channels_last_3d)


def test_two_processes_share_the_global_batch(volumes: tuple[Volumes, Volumes]) -> None:
    """Two processes with batch 1 see what one sees with batch 2."""
    whole = loader(volumes[0]).batch(4)
    parts = [loader(volumes[0], rank, 2, batch=1).batch(4) for rank in (0, 1)]
    assert torch.equal(whole.images, torch.cat([p.images for p in parts]))


def test_every_subject_comes_once_an_epoch(volumes: tuple[Volumes, Volumes]) -> None:
    """The row of subjects is shuffled anew each epoch, without gaps."""
    one = loader(volumes[0])
    first, second = ([one._subject(p) for p in range(e * 5, e * 5 + 5)] for e in (0, 1))
    assert sorted(first) == sorted(second) == volumes[0].subjects
    assert first != second


def test_augmentation_moves_image_and_labels_together() -> None:
    """A mirrored and turned ball stays under its label; without either, voxels are untouched."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 20)] * 3, indexing="ij")
    ball = sum((a - c) ** 2 for a, c in zip(axes, (0.3, -0.4, 0.1), strict=True)) < 0.1
    images, labels = (
        ball.float()[None, None].repeat(8, 2, 1, 1, 1),
        ball[None].repeat(8, 1, 1, 1).to(torch.uint8),
    )
    turned, codes = augment(images, labels, AugmentPart(rotate=25), generators(0, 0, 0, 0, 8))
    for image, code in zip(turned[:, 0] > 0.5, codes.bool(), strict=True):
        assert 2 * (image & code).sum() / (image.sum() + code.sum()) > 0.9
    assert not torch.equal(codes, labels)
    still = augment(images, labels, AugmentPart(flip=False, rotate=0), generators(0, 0, 0, 0, 8))
    assert torch.equal(still[0], images)
    assert torch.equal(still[1], labels)


def test_augmentation_scales_image_and_labels_together() -> None:
    """``scale`` makes some samples larger and some smaller, within its factor, image and labels alike."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 24)] * 3, indexing="ij")
    ball = sum(a**2 for a in axes) < 0.25
    images, labels = ball.float()[None, None].repeat(16, 2, 1, 1, 1), ball[None].repeat(16, 1, 1, 1).byte()
    part = AugmentPart(flip=False, rotate=0, scale=0.3)
    scaled, codes = augment(images, labels, part, generators(0, 0, 0, 0, 16))
    for image, code in zip(scaled[:, 0] > 0.5, codes.bool(), strict=True):
        assert 2 * (image & code).sum() / (image.sum() + code.sum()) > 0.9
    sizes = codes.bool().flatten(1).sum(1) / ball.sum()
    assert 0.8 / 1.3**3 < float(sizes.min()) < 0.9
    assert 1.1 < float(sizes.max()) < 1.2 * 1.3**3


def test_files_can_get_a_scanners_faults() -> None:
    """``faults`` 1 changes every modality, each by itself; background and median stay."""
    image = torch.randn(4, 12, 14, 10, generator=torch.Generator().manual_seed(3))
    image[:, :2] = 0
    part = AugmentPart(faults=1.0)
    for k in range(12):
        first, again = (with_artefacts(image, part, generators(0, 0, k, 0, 1)[0]) for _ in range(2))
        assert torch.equal(first, again)
        assert torch.equal(first[:, :2], image[:, :2])
        assert torch.isfinite(first).all()
        for before, after in zip(image[:, 2:], first[:, 2:], strict=True):
            assert not torch.equal(before, after)
            assert float(after.median()) == pytest.approx(float(before.median()), abs=0.02)
    assert with_artefacts(image, AugmentPart(), generators(0, 0, 0, 0, 1)[0]) is image


def test_intensities_can_be_stretched_and_moved() -> None:
    """``gain`` and ``shift`` change each modality by a factor and a sum of its own; background stays 0."""
    images = torch.zeros(1, 2, 4, 4, 4)
    images[:, :, 1:3] = torch.linspace(1, 2, 32).view(2, 4, 4)
    part = AugmentPart(flip=False, rotate=0, gain=0.2, shift=0.2)
    out, _ = augment(images, torch.zeros(1, 4, 4, 4), part, generators(0, 0, 0, 0, 1))
    assert torch.equal(out != 0, images != 0)
    factors = []
    for m in range(2):
        x, y = images[0, m, 1:3].flatten(), out[0, m, 1:3].flatten()
        slope = (y[-1] - y[0]) / (x[-1] - x[0])
        torch.testing.assert_close(y, slope * x + (y[0] - slope * x[0]), rtol=1e-4, atol=1e-5)
        factors.append(float(slope))
    assert factors[0] != pytest.approx(1.0, abs=1e-3)
    assert factors[0] != pytest.approx(factors[1], abs=1e-3)


def test_heads_can_be_mirrored_left_to_right_only() -> None:
    """Of many samples some are mirrored in the last axis, and none in another."""
    labels = torch.zeros(16, 4, 4, 4, dtype=torch.uint8)
    labels[:, 1, 2, 3] = 1
    only = AugmentPart(flip="left-right", rotate=0)
    _, codes = augment(labels[:, None].float(), labels, only, generators(0, 0, 0, 0, 16))
    assert {tuple(place[1:].tolist()) for place in torch.nonzero(codes)} == {(1, 2, 3), (1, 2, 0)}


def test_regions_are_nested() -> None:
    """WT is codes 1, 2, 3; TC 1, 3; ET 3."""
    codes = [r.codes for r in BRATS.regions]
    regions = regions_of(torch.tensor([0, 1, 2, 3], dtype=torch.uint8).view(1, 4, 1, 1), codes)
    assert regions[0, :, :, 0, 0].tolist() == [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]


@pytest.mark.real
def test_real_scans_as_training_data(real_data: Path, tmp_path: Path) -> None:
    """Folders of real scans by a glob: found, split, prepared, and one step of each stage to a model folder."""
    from mrseg_training.loop import train
    from napari_mrseg.models.store import load_model

    data = {
        "source": "folders",
        "path": str(real_data / ".." / real_data.name),  # as a script may put it together
        "pattern": "BraTS2021_0147[67]",
        "spacing": 4.0,
        "proportions": [1, 0, 0],
    }
    stages = {name: {"steps": 1} for name in ("reconstruct", "contrast", "adapt")}
    model = train(small_config(data=data, stages=stages), tmp_path / "run", report=lambda _: None)
    assert load_model(model).card.trained_on == ("2 subjects of the user's own folders",)
    assert (tmp_path / "run" / "split" / "train.txt").read_text() == "BraTS2021_01476\nBraTS2021_01477\n"


def test_a_subject_lost_during_the_run_is_named(tmp_path: Path) -> None:
    """A cached file that vanishes or is cut short while training: a sentence, no traceback."""
    source = files(write_subjects(tmp_path / "data", 1))
    (cached,) = fill_cache(source, source.ids, tmp_path / "cache")
    volumes = Volumes([cached], "no")
    cached.path.write_bytes(cached.path.read_bytes()[:100])
    with pytest.raises(InputError, match="can no longer be read"):
        volumes.labels(cached.subject)
    cached.path.unlink()
    with pytest.raises(InputError, match="can no longer be read"):
        volumes.piece(cached.subject, (slice(0, 8),) * 3)


def test_progress_travels_as_numbers(tmp_path: Path) -> None:
    """Whoever shows how far the preparation is reads numbers; as text they are a line for people."""
    source = files(write_subjects(tmp_path / "data", 2))
    said: list[Count] = []
    fill_cache(source, source.ids, tmp_path / "cache", say=said.append)
    assert said == [Count("prepared", 1, 2), Count("prepared", 2, 2)]
    assert str(said[0]) == "prepared 1 of 2 subjects"


def test_what_was_not_asked_for_does_not_stop_a_search(tmp_path: Path) -> None:
    """Named subjects are found beside a folder whose files cannot be told apart, which stops a search for all."""
    for folder, names in {"A": ["x_flair"], "B": ["y_flair", "z_flair"]}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            save_nifti(tmp_path / folder / f"{name}.nii.gz", np.ones((4, 4, 4), np.int16))
    with pytest.raises(InputError, match="B: "):
        find_folders(tmp_path, "**/", BRATS)
    assert list(find_folders(tmp_path, "**/", BRATS, ["A"])) == ["A"]
