"""What a model was not made for is said: one warning each, from the modalities in use, and no false positive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from synthetic import LPS, save_nifti
from tiny import model, network, source

from napari_mrseg import cli
from napari_mrseg.inference import plausibility
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.io.recognise import UNSURE
from napari_mrseg.models.card import ModelCard
from napari_mrseg.models.store import Model, load_model, save_model
from napari_mrseg.prepare import measure
from napari_mrseg.resources import sample_study
from napari_mrseg.session.opening import settled
from napari_mrseg.study import Image, Note, Study
from napari_mrseg.tasks import BRATS, Combination

MM = 4.0
SHAPE = (38, 48, 40)
RADII = np.array([68.0, 85.0, 70.0])
# Intensities of fluid, cortex, white matter and vessels.
SIGNAL = {
    "flair": (20, 120, 100, 110),
    "t1": (30, 75, 110, 60),
    "t1ce": (30, 75, 110, 300),
    "t2": (400, 120, 90, 60),
}


def tissue(scale: float = 1.0) -> np.ndarray:
    """(I, P, L) 0 outside, 1 fluid, 2 cortex, 3 white matter, 4 vessels: a head of ellipsoids at 4 mm."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*[MM * (np.arange(n) - (n - 1) / 2) for n in SHAPE], indexing="ij")
    head = sum((a / (scale * r)) ** 2 for a, r in zip(axes, RADII, strict=True)) < 1
    depth = distance_transform_edt(head, sampling=MM)
    found = np.select([~head, depth <= 4, depth <= 11], [0, 1, 2], 3)
    found[head & (rng.random(SHAPE) < 0.06)] = 1
    found[head & (rng.random(SHAPE) < 0.01)] = 4
    return found


def data(name: str, where: np.ndarray) -> np.ndarray:
    """The tissue as one modality shows it, with some noise."""
    rng = np.random.default_rng(BRATS.names.index(name))
    clean = np.array([0, *SIGNAL[name]], np.float32)[where]
    return (clean * (1 + 0.05 * rng.standard_normal(where.shape))).astype(np.float32)


def head(images: Mapping[str, np.ndarray] | None = None) -> Study:
    """A study of the given images, by default all modalities of an adult's head."""
    where = tissue()
    images = images or {name: data(name, where) for name in BRATS.names}
    return Study(BRATS, "head", {n: Image(d, source(n, d.shape, MM)) for n, d in images.items()})


def statistics_of(study: Study) -> dict[str, plausibility.ImageStatistics]:
    return {
        name: plausibility.image_statistics(image, measure(torch.from_numpy(image.data.copy())))
        for name, image in study.images.items()
    }


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """The card of a model for adult brains, the default. Slices of 4 mm are what these heads are made of."""
    return model(tmp_path_factory.mktemp("models")).card.model_copy(update={"expects": "adult brain"})


@pytest.fixture(autouse=True)
def thick_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plausibility, "THICK_MM", 1.5 * MM)


def doubts(study: Study, card: ModelCard, combination: Combination | None = None) -> tuple[Note, ...]:
    only = study.only(combination or study.present)
    return plausibility.implausible_inputs(only, statistics_of(only), card)


def codes(study: Study, card: ModelCard, combination: Combination | None = None) -> list[str]:
    return [note.code for note in doubts(study, card, combination)]


@pytest.mark.parametrize("combination", BRATS.combinations(), ids="+".join)
def test_a_brain_as_expected_gives_no_warning(card: ModelCard, combination: Combination) -> None:
    """A whole stripped adult brain, correctly assigned, is not warned of in any combination."""
    assert doubts(head(), card, combination) == ()


@pytest.mark.parametrize(
    "pair", [p for p in combinations(BRATS.names, 2) if p != ("t1", "t1ce")], ids="+".join
)
def test_exchanged_modalities_are_named(card: ModelCard, pair: tuple[str, str]) -> None:
    """Two modalities exchanged give one warning that names both files, alone or among all four."""
    x, y = pair
    images = {name: image.data for name, image in head().images.items()}
    images[x], images[y] = images[y], images[x]
    for combination in (BRATS.names, pair):
        (note,) = doubts(head(images), card, combination)
        assert note.code == "wrong_contrast"
        assert f"({x}.nii.gz)" in note.message
        assert f"({y}.nii.gz)" in note.message


@pytest.mark.parametrize(("given", "true"), [("t1", "t2"), ("t1", "flair"), ("t2", "t1")])
def test_a_single_wrong_contrast_is_seen(card: ModelCard, given: str, true: str) -> None:
    """T2 or FLAIR given as T1, and T1 given as T2, is seen without any other modality."""
    (note,) = doubts(head({given: data(true, tissue())}), card)
    assert (note.code, note.modality) == ("wrong_contrast", given)


def test_vessels_answer_whether_an_agent_was_given() -> None:
    """The question goes where they are brighter in T1ce; it stays where they are not, and without the other scan."""
    asked = tuple(Note(UNSURE, f"{name} was taken for it", name) for name in ("t1", "t1ce"))
    other = Note("no_units", "x states no unit")
    right = replace(head(), notes=(*asked, other))
    assert settled(right).notes == (other,)
    images = {name: image.data for name, image in head().images.items()}
    same = replace(head({**images, "t1ce": images["t1"] * np.float32(1.1)}), notes=asked)
    turned = replace(head({**images, "t1": images["t1ce"], "t1ce": images["t1"]}), notes=asked)
    for study in (same, turned, replace(right.only(["t1", "flair"]), notes=asked[:1])):
        assert settled(study).notes == study.notes


def test_the_same_image_twice(card: ModelCard) -> None:
    """One image in two roles, even rescaled, is said to be the same."""
    images = {name: image.data for name, image in head().images.items()}
    images["t1ce"] = 3 * images["t1"]
    (note,) = doubts(head(images), card)
    assert note.code == "same_image"
    assert "(t1.nii.gz)" in note.message
    assert "(t1ce.nii.gz)" in note.message


def test_a_skull_is_seen_and_nothing_is_made_of_it(card: ModelCard) -> None:
    """A head with its skull gives the warning skull only: sizes and contrasts of it say nothing."""
    images = {n: d.data + 80 * (tissue(1.25) > 0) * (tissue() == 0) for n, d in head().images.items()}
    assert codes(head(images), card) == ["skull"]


def test_a_part_of_a_head_is_seen(card: ModelCard) -> None:
    """Half a head: cut off at the field of view, or followed by zeros."""
    whole = {name: image.data for name, image in head().images.items()}
    assert codes(head({n: np.ascontiguousarray(d[:, :24]) for n, d in whole.items()}), card) == [
        "partial_head"
    ]
    assert codes(head({n: d * (np.arange(SHAPE[2]) < 20) for n, d in whole.items()}), card) == [
        "partial_head"
    ]


def test_a_small_head_is_seen(card: ModelCard) -> None:
    """A head of 0.7 of the size: a child's, or a wrong voxel size."""
    assert codes(head({n: data(n, tissue(0.7)) for n in BRATS.names}), card) == ["small_head"]


def test_thick_slices_are_seen(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the spacing, and by slices that repeat their neighbour, along any axis."""
    for axis in range(3):
        twice = {n: d.data.take(np.arange(SHAPE[axis]) // 2 * 2, axis) for n, d in head().images.items()}
        assert codes(head(twice), card) == ["thick_slices"]
    monkeypatch.undo()
    assert codes(head(), card) == ["thick_slices"]
    assert "4.0 mm" in doubts(head(), card)[0].message


def test_what_is_switched_off_is_not_warned_of(card: ModelCard) -> None:
    """A fault of one file is said in the combinations that use it, and in no other."""
    images = {name: image.data for name, image in head().images.items()}
    images["t2"] = images["t2"] + 80 * (tissue(1.25) > 0) * (tissue() == 0)
    for combination in BRATS.combinations():
        assert codes(head(images), card, combination) == (["skull"] if "t2" in combination else [])


def test_units_and_origin_do_not_matter(card: ModelCard) -> None:
    """What is looked at does not depend on the unit of the intensities."""
    statistics = statistics_of(
        head({name: image.data * np.float32(1000) for name, image in head().images.items()})
    )
    for name, stats in statistics_of(head()).items():
        assert statistics[name].volume_ml == stats.volume_ml
        assert statistics[name].tail == pytest.approx(stats.tail, abs=1e-3)
        assert statistics[name].rise == pytest.approx(stats.rise, abs=1e-3)


def test_a_model_may_expect_anything(card: ModelCard) -> None:
    """A card that expects anything gives no warning about the scans."""
    anything = card.model_copy(update={"expects": "anything"})
    assert doubts(head({"t1": data("t2", tissue(0.7))}), anything) == ()


def test_odd_images_are_looked_at_without_error(card: ModelCard) -> None:
    """Tiny, flat or thin images, and slices that are all alike, are judged, whatever comes out."""
    columns = np.repeat(data("t1", tissue())[20:21], 30, axis=0)
    assert "thick_slices" in codes(head({"t1": columns, "t2": columns.max() - columns}), card)
    for shape in ((1, 1, 1), (2, 30, 30), (9, 3, 50)):
        flat = np.ones(shape, np.float32)
        assert codes(head({"flair": flat, "t1": flat}), card)


class TestFinding:
    """A result that holds nothing, or far too much."""

    STATISTICS = property(lambda self: statistics_of(head()))

    def test_nothing_found_quotes_the_card(self, card: ModelCard) -> None:
        """Nothing found does not mean nothing there: the card's Dice for this combination is said."""
        rows = tuple({"combination": ["t1", "t2"], "dice": {"WT": dice}} for dice in (0.2, 0.6, None))
        measured = card.model_copy(update={"measured": (*rows, {"combination": ["t1"], "dice": {"WT": 0.9}})})
        sizes = {"WT": 0.0, "TC": 0.0, "ET": 0.0}
        (note,) = plausibility.implausible_finding(BRATS, ("t1", "t2"), sizes, self.STATISTICS, measured)
        assert note.code == "nothing_found"
        assert "does not mean that nothing is there" in note.message
        assert "2 scans" in note.message
        assert "0.40, at worst 0.20" in note.message
        (note,) = plausibility.implausible_finding(BRATS, ("t2",), sizes, self.STATISTICS, measured)
        assert "states no result for this combination" in note.message

    def test_too_much_found(self, card: ModelCard) -> None:
        """A tumour of more than a third of the brain is doubted, one of a fifth is not."""
        brain = self.STATISTICS["t1"].volume_ml
        (note,) = plausibility.implausible_finding(BRATS, ("t1",), {"WT": 0.5 * brain}, self.STATISTICS, card)
        assert note.code == "large_finding"
        assert "takes 50% of the brain" in note.message
        (note,) = plausibility.implausible_finding(
            BRATS, ("t1",), {"WT": 1.07 * brain}, self.STATISTICS, card
        )
        assert "is larger than the brain" in note.message  # 107 % is no share
        assert (
            plausibility.implausible_finding(BRATS, ("t1",), {"WT": 0.2 * brain}, self.STATISTICS, card) == ()
        )


@pytest.fixture(scope="module")
def blind(card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model for adult brains that never finds anything."""
    made = network()
    with torch.no_grad():
        made.head.bias.fill_(-100.0)
    folder = tmp_path_factory.mktemp("blind") / "blind"
    coarse = tuple(
        v.model_copy(update={"spacing_mm": k * MM}) for v, k in zip(card.validated, (1, 2), strict=True)
    )
    save_model(folder, made, card.model_copy(update={"validated": coarse}))
    return load_model(folder)


def test_warnings_reach_the_prediction(blind: Model) -> None:
    """The engine's results carry the warnings; only a final says that nothing was found."""
    exchanged = {"t1": data("t2", tissue()), "t2": data("t1", tissue())}
    preview, final = Engine(blind, device="cpu").run(head(exchanged), ["t1", "t2"])
    assert [n.code for n in preview.notes] == ["et_without_contrast", "wrong_contrast"]
    assert [n.code for n in final.notes] == ["et_without_contrast", "wrong_contrast", "nothing_found"]


def test_warnings_reach_result_json(blind: Model, tmp_path: Path) -> None:
    """``mrseg predict`` writes each warning once, with the file's name and without a path."""
    for name in ("flair", "t1ce"):
        values = data(name, tissue(0.7)).transpose(2, 1, 0)[::-1, :, ::-1]
        save_nifti(tmp_path / "case" / f"case_{name}.nii.gz", values, LPS * [MM, MM, MM, 1])
    out = tmp_path / "out"
    assert cli.main(["predict", str(tmp_path / "case"), "-o", str(out), "--model", str(blind.folder)]) == 0
    warnings = json.loads((out / "result.json").read_text())["warnings"]
    assert [w["code"] for w in warnings] == ["brain_not_found", "small_head", "nothing_found"]
    assert "case_flair.nii.gz" in warnings[1]["message"]
    assert str(tmp_path) not in json.dumps(warnings)


def test_the_bundled_sample_gives_no_warning(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `mrseg demo` shows is within what the model was made for."""
    monkeypatch.undo()
    study = open_study(sample_study())
    statistics = statistics_of(study)
    for combination in BRATS.combinations():
        assert (
            plausibility.implausible_inputs(
                study.only(combination), {n: statistics[n] for n in combination}, card
            )
            == ()
        )


REAL = (
    *("BraTS-GLI-00000-000", "BraTS-GLI-00001-000", "BraTS2021_01476", "BraTS2021_01477", "BraTS2021_01478"),
    *("BraTS2021_01480", "BraTS2021_01481", "BraTS2021_01482", "BraTS2021_01483", "BraTS2021_01484"),
    *("BraTS-GLI-00027-000", "tcga-fg-6692", "ms-cross-07", "ms-cross-19"),
)
CUT_OFF = {"BraTS-GLI-00027-000"}  # 20.5 cm² at the border of its field of view
UNSEEN = {("BraTS2021_01482", "t1", "t1ce")}  # hardly a vessel is brighter in its T1ce than in its T1


@pytest.mark.real
class TestRealScans:
    """The limits hold on real scans; benchmarks/plausibility.py has the whole table."""

    @pytest.fixture(autouse=True)
    def as_shipped(self, thick_is_more: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()

    @pytest.mark.parametrize("case", REAL)
    def test_stripped_scans_give_no_warning_and_exchanged_ones_do(
        self, case: str, real_data: Path, card: ModelCard
    ) -> None:
        """No false positive in 15 combinations; any two modalities exchanged are seen, alone and among all four."""
        study = open_study(real_data / case, reference=False)
        statistics = statistics_of(study)
        for combination in BRATS.combinations():
            found = plausibility.implausible_inputs(
                study.only(combination), {n: statistics[n] for n in combination}, card
            )
            assert [note.code for note in found] == (["partial_head"] if case in CUT_OFF else [])
        for x, y in combinations(BRATS.names, 2):
            if (case, x, y) in UNSEEN:
                continue
            swapped = {**statistics, x: statistics[y], y: statistics[x]}
            for combination in (BRATS.names, BRATS.combination((x, y))):
                assert set(plausibility.exchanged(BRATS, {n: swapped[n] for n in combination}) or ()) == {
                    x,
                    y,
                }

    @pytest.mark.parametrize("name", ["flair", "t1", "t2"])
    def test_a_raw_clinical_series_is_warned_of(self, name: str, real_data: Path, card: ModelCard) -> None:
        """Skull present, if it is left, and thick slices: both are said of each series, and nothing else."""
        file = {"flair": "FLAIR", "t1": "T1W", "t2": "T2W"}[name]
        path = real_data / "ms-longitudinal-01-raw" / f"study1_{file}.nii.gz"
        study = open_study([f"{name}={path}"], brain="none")
        assert codes(study, card) == ["skull", "thick_slices"]

    def test_a_part_and_a_small_head_are_seen(self, real_data: Path, card: ModelCard) -> None:
        """A real brain cut off, or with voxels of 0.7 mm, is not taken for a whole adult's."""
        study = open_study(real_data / "BraTS2021_01481", use=["flair"], reference=False)
        image = study.images["flair"]
        upper = np.ascontiguousarray(image.data[:70])
        small = source("flair", image.data.shape, 0.7)
        cut = {"flair": Image(upper, source("flair", upper.shape))}
        assert codes(Study(BRATS, "cut", cut), card) == ["partial_head"]
        assert codes(Study(BRATS, "small", {"flair": replace(image, source=small)}), card) == ["small_head"]
