"""Two models on one study: names, columns, files, and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import model, study
from waiting import MakeStudy

from napari_mrseg import cli
from napari_mrseg.compare import Comparison, write_models
from napari_mrseg.compare.comparison import Second
from napari_mrseg.compare.contact_sheet import ContactSheet
from napari_mrseg.compare.difference import BOTH, ONLY_A, ONLY_B, difference
from napari_mrseg.compare.metrics import dice, region_mask
from napari_mrseg.compare.table import table_csv
from napari_mrseg.compare.write import called
from napari_mrseg.errors import Cancelled, InputError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.tasks import BRATS

EVERY = BRATS.combinations()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, list[list[Prediction]], list[dict]]:
    folder = tmp_path_factory.mktemp("models")
    subject = study(reference=True)
    engines = [Engine(model(folder, name=n, seed=s), device="cpu") for n, s in (("one", 0), ("two", 3))]
    found = [list(engine.run_all(subject, EVERY)) for engine in engines]
    second = Second("two", {p.combination: p for p in found[1]})
    comparison = Comparison(subject, found[0]).beside(second)
    return comparison, found, [engine.model.info for engine in engines]


def test_columns_of_the_second_model_by_hand(both: tuple) -> None:
    """Its volume, the Dice of both results, its Dice to the reference, worked out from the label maps."""
    comparison, found, _ = both
    reference = comparison.study.reference.labels
    for a, b in zip(*found, strict=True):
        for region in BRATS.regions:
            first, second = (region_mask(p.labels, region) for p in (a, b))
            assert comparison.value(a.combination, f"second_size.{region.name}") == b.sizes[region.name]
            value = comparison.value(a.combination, f"second_versus.{region.name}")
            assert value == pytest.approx(dice(first, second))
            value = comparison.value(a.combination, f"second_dice.{region.name}")
            assert value == pytest.approx(dice(second, region_mask(reference, region)))
    assert table_csv(comparison).splitlines()[0].count("second_") == 9


def test_a_row_that_the_second_model_lacks_is_empty(both: tuple) -> None:
    """A second model with one combination: its columns have one value, the first model's stay whole."""
    comparison, found, _ = both
    some = comparison.beside(Second("two", {found[1][-1].combination: found[1][-1]}))
    values = [some.value(c, "second_size.WT") for c in EVERY]
    assert [v is not None for v in values].count(True) == 1
    assert all(some.value(c, "size.WT") is not None for c in EVERY)
    assert comparison.beside(None).columns == Comparison(comparison.study, found[0]).columns


def test_the_difference_by_hand() -> None:
    """Only in the first, only in the second, in both, in neither; a label of the region counts whatever its code."""
    first, second = (np.array([[codes]], np.uint8) for codes in ([2, 0, 1, 0], [0, 3, 2, 0]))
    assert difference(first, second, "WT", BRATS).ravel().tolist() == [ONLY_A, ONLY_B, BOTH, 0]
    assert difference(first, second, "TC", BRATS).ravel().tolist() == [0, ONLY_B, ONLY_A, 0]


def test_the_sheet_of_differences_has_its_colours(both: tuple) -> None:
    """Where only the first model found the region its tile is orange, where only the second blue."""
    comparison, found, _ = both
    sheet = ContactSheet(comparison, difference="WT")
    picture = sheet.render()
    a, b = found[0][0], found[1][0]
    index = sheet.best_slice()
    codes = difference(a.labels, b.labels, "WT", BRATS)[index]
    assert (codes == ONLY_A).any() or (codes == ONLY_B).any()
    for code, colour in ((ONLY_A, (230, 159, 0)), (ONLY_B, (86, 180, 233))):
        if (codes == code).any():
            x, y, width, height = sheet.place(a.combination)
            tile = picture[y : y + height, x : x + width].reshape(-1, 3)
            assert (tile == colour).all(1).any(), code
    assert "only two" in sheet.drawing().svg()


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ([("a", "1"), ("b", "1")], ["a", "b"]),
        ([("a", "1"), ("a", "2")], ["a 1", "a 2"]),
        ([("a", "1"), ("a", "1")], ["a 1 (1)", "a 1 (2)"]),
    ],
)
def test_two_models_never_share_a_name(models: list[tuple[str, str]], names: list[str]) -> None:
    """By name, else with the version, else with a number."""
    assert called([{"name": n, "version": v} for n, v in models]) == names


def test_all_files_or_none(both: tuple, tmp_path: Path) -> None:
    """Both folders and the three files; a cancel during the second model leaves nothing; what is there is refused."""
    comparison, found, infos = both

    def stopped() -> object:
        yield found[1][0]
        raise Cancelled("enough")

    options = {"models": infos, "combinations": [EVERY, EVERY], "date": "2026-01-01"}
    with pytest.raises(Cancelled):
        write_models(comparison.study, [found[0], stopped()], tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    document = write_models(comparison.study, found, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert document["second_model"]["name"] == "two"
    assert document["rows"][0]["second_versus"].keys() == {"WT", "TC", "ET"}
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"one", "two", "models.csv", "models.html", "models.json"}
    html = (tmp_path / "out" / "models.html").read_text(encoding="utf-8")
    assert "The same slice by two" in html
    assert "<title>synthetic: one and two</title>" in html
    assert infos[1]["sha256"] in html
    with pytest.raises(InputError, match="already"):
        write_models(comparison.study, found, tmp_path / "out", **options)  # type: ignore[arg-type]


def test_the_command_compares_two_models(
    tmp_path: Path, make_study: MakeStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    """``mrseg compare --model A --model B``: files, and one line that names both; three models are one too many."""
    subject_folder = make_study()
    for name, seed in (("one", 0), ("two", 3)):
        model(tmp_path, name=name, seed=seed)
    chosen = [word for n in ("one", "two") for word in ("--model", str(tmp_path / n))]
    where = str(tmp_path / "out")
    assert cli.main(["compare", str(subject_folder), "-o", where, *chosen, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["model"]["name"], document["second_model"]["called"]) == ("one", "two")
    assert (tmp_path / "out" / "two" / "report.html").is_file()
    assert cli.main(["compare", str(subject_folder), "-o", where, *chosen, "--model", "compact"]) == 2
    assert "Two models are compared at a time" in capsys.readouterr().err
