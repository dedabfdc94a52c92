"""The comparison workbench shows the core's numbers, asks the session properly, and never blocks on work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QHeaderView
from tiny import model, study
from waiting import PATIENCE, MakeStudy, until_final

from napari_mrseg._qt.compare.maps import Wanted, _attribution_colours
from napari_mrseg._qt.compare.matrix_model import CELL
from napari_mrseg._qt.compare.pair import BOTH, ONLY_A, ONLY_B
from napari_mrseg._qt.compare.workbench import Workbench
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_windows import ComparisonWindow
from napari_mrseg.compare import Agreement, Comparison, attribute
from napari_mrseg.compare.attribution import probability_map
from napari_mrseg.compare.sufficient import default_lines
from napari_mrseg.display import rgb
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study
from napari_mrseg.tasks import BRATS

FLAIR, ALL = ("flair",), ("flair", "t1", "t1ce", "t2")


@pytest.fixture
def session(tiny: Model) -> Session:
    made = Session(device="cpu")
    made.set_model(tiny)
    return made


@pytest.fixture
def bench(qtbot: QtBot, dock: MrsegDock) -> Workbench:
    made = Workbench(dock)
    qtbot.addWidget(made)
    made.resize(1100, 470)
    made.show()
    return made


def opened(qtbot: QtBot, bench: Workbench, *, reference: bool = True, names: tuple[str, ...] = ALL) -> None:
    """Until the sweep is through and the table holds every row."""
    bench.session.set_study(study(names, reference=reference))
    qtbot.waitUntil(
        lambda: bench.state.comparison is not None and bench.state.comparison.complete, timeout=PATIENCE
    )
    until_final(qtbot, bench.dock)


def texts(bench: Workbench, key: str) -> list[str]:
    model = bench.matrix.model
    section = model.first + [c.key for c in model.columns].index(key)
    return [model.data(model.index(row, section)) for row in range(model.rowCount())]


def click_header(qtbot: QtBot, bench: Workbench, key: str) -> None:
    model, header = bench.matrix.model, bench.matrix.table.horizontalHeader()
    section = model.first + [c.key for c in model.columns].index(key)
    assert isinstance(header, QHeaderView)
    x = header.sectionViewportPosition(section) + 10
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, 12))


def click_row(
    qtbot: QtBot, bench: Workbench, combination: tuple[str, ...], section: int = 5, **options: object
) -> None:
    table, model = bench.matrix.table, bench.matrix.model
    index = model.index(model.rows.index(combination), section)
    table.scrollTo(index)
    qtbot.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center(), **options
    )


def test_the_table_shows_the_cores_numbers(qtbot: QtBot, bench: Workbench) -> None:
    """Every cell and the foot say what Comparison says; every cell and header explains itself."""
    opened(qtbot, bench)
    comparison, model = bench.state.comparison, bench.matrix.model
    assert comparison is not None
    assert model.rows == list(comparison.expected)
    for column in model.columns:
        digits = 3 if column.kind in ("dice", "versus") else 1
        values = [comparison.shown(c, column.key) for c in model.rows]
        expected = ["–" if v is None else f"{v:.{digits}f}" for v in values]
        assert texts(bench, column.key) == expected
        section = model.first + model.columns.index(column)
        foot = comparison.foot(column.key)
        shown = [bench.matrix.foot_model.index(row, section).data() for row in range(2)]
        assert foot is not None
        assert shown == [f"{v:.{digits}f}" for v in foot[:2]]
    for section in range(model.columnCount()):
        tip = model.headerData(section, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
        assert len(tip) > 40
        assert model.index(3, section).data(Qt.ItemDataRole.ToolTipRole)
    dice = model.first + [c.key for c in model.columns].index("dice.ET")
    tip = model.index(2, dice).data(Qt.ItemDataRole.ToolTipRole)
    assert "reference segmentation" in tip
    assert "all 15 computed" in bench.coverage.text()


def test_rows_fill_while_the_sweep_runs(qtbot: QtBot, bench: Workbench) -> None:
    """All fifteen rows are there from the start, and are filled one after the other: “n of 15 computed”."""
    seen = set()
    bench.state.changed.connect(lambda: seen.add(bench.coverage.text()))
    bench.session.set_study(study(reference=True))
    qtbot.waitUntil(lambda: bench.matrix.model.rowCount() == 15, timeout=PATIENCE)
    qtbot.waitUntil(lambda: "all 15 computed" in bench.coverage.text(), timeout=PATIENCE)
    assert any(text.endswith("of 15 computed") for text in seen)


def test_sort_by_numbers_not_by_words(qtbot: QtBot, bench: Workbench) -> None:
    """A click on a column puts the best first, a second one last, a third restores the papers' order."""
    opened(qtbot, bench)
    comparison = bench.state.comparison
    assert comparison is not None
    click_header(qtbot, bench, "size.WT")
    assert bench.matrix.model.rows == list(comparison.ordered("size.WT"))
    sizes = [float(t) for t in texts(bench, "size.WT")]
    assert sizes == sorted(sizes, reverse=True)
    click_header(qtbot, bench, "size.WT")
    assert bench.matrix.model.rows == list(comparison.ordered("size.WT", descending=False))
    click_header(qtbot, bench, "size.WT")
    assert bench.matrix.model.rows == list(comparison.expected)


def test_filter_by_modality(qtbot: QtBot, bench: Workbench) -> None:
    """With, without, any: only such rows stay, and the foot still counts all."""
    opened(qtbot, bench)
    button = bench.choices.filters["t1ce"]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert len(bench.matrix.model.rows) == 8
    assert all("t1ce" in c for c in bench.matrix.model.rows)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert len(bench.matrix.model.rows) == 7
    assert not any("t1ce" in c for c in bench.matrix.model.rows)
    assert "15 combinations" in bench.matrix.foot_model.index(0, 5).data(Qt.ItemDataRole.ToolTipRole)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert len(bench.matrix.model.rows) == 15


def test_what_cannot_be_observed_is_hatched_and_says_so(qtbot: QtBot, bench: Workbench) -> None:
    """ET without contrast is drawn as an estimate in every measure; with contrast it is not."""
    opened(qtbot, bench)
    model = bench.matrix.model
    for column in model.columns:
        if column.region == "ET":
            section = model.first + model.columns.index(column)
            for row, combination in enumerate(model.rows):
                index = model.index(row, section)
                assert index.data(CELL).estimated == ("t1ce" not in combination)
                said = "not observable: an estimate" in index.data(Qt.ItemDataRole.ToolTipRole)
                assert said == ("t1ce" not in combination)


def test_click_and_arrows_show_a_row(qtbot: QtBot, bench: Workbench) -> None:
    """A click shows that row at once, the arrow keys the next one; the dock's switches follow."""
    opened(qtbot, bench)
    click_row(qtbot, bench, FLAIR)
    assert bench.session.combination == FLAIR
    assert bench.session.shown is not None
    assert bench.session.shown.combination == FLAIR  # it was computed, so it is there in the same turn
    qtbot.keyClick(bench.matrix.table, Qt.Key.Key_Down)
    following = bench.matrix.model.rows[bench.matrix.model.rows.index(FLAIR) + 1]
    assert bench.session.combination == following
    qtbot.waitUntil(
        lambda: [n for n, c in bench.dock.modalities.checks.items() if c.isChecked()] == list(following)
    )
    assert bench.matrix.model.a == following


def test_hd95_is_measured_only_when_asked_for(qtbot: QtBot, bench: Workbench) -> None:
    """The columns appear with the switch and fill row by row, with the core's values."""
    opened(qtbot, bench)
    comparison = bench.state.comparison
    assert comparison is not None
    assert not any(comparison.is_measured(c) for c in comparison.expected)
    bench.choices.kinds["hd95"].setChecked(True)
    qtbot.waitUntil(lambda: all(comparison.is_measured(c) for c in comparison.expected), timeout=PATIENCE)
    shown = texts(bench, "hd95.WT")
    values = [comparison.value(c, "hd95.WT") for c in bench.matrix.model.rows]
    assert shown == ["–" if v is None else f"{v:.1f}" for v in values]


def test_compare_with_another_combination(qtbot: QtBot, bench: Workbench) -> None:
    """Choosing what “versus” compares with changes title and values; that row's own Dice is 1."""
    opened(qtbot, bench)
    bench.state.compare_with(FLAIR)
    qtbot.waitUntil(lambda: bench.state.against == FLAIR, timeout=PATIENCE)
    model = bench.matrix.model
    assert texts(bench, "versus.WT")[model.rows.index(FLAIR)] == "1.000"
    assert "FLAIR" in next(c for c in model.columns if c.key == "versus.WT").title
    assert bench.choices.against.currentData() == FLAIR


def test_two_of_four_modalities_give_three_rows_and_say_so(qtbot: QtBot, bench: Workbench) -> None:
    """A study with FLAIR and T2 only: three rows, and the window says 3 of 15 and why."""
    opened(qtbot, bench, names=("flair", "t2"))
    assert bench.matrix.model.rowCount() == 3
    assert bench.coverage.text() == "all 3 computed, 12 not possible"
    assert "this study has no T1 and no T1ce" in bench.coverage.toolTip()
    assert not bench.choices.filters["t1"].isEnabled()


def test_the_difference_shows_only_a_only_b_and_both(qtbot: QtBot, bench: Workbench) -> None:
    """The layer's codes, and the sizes in the legend, are those of the two label maps."""
    opened(qtbot, bench)
    click_row(qtbot, bench, FLAIR)
    click_row(qtbot, bench, ALL, modifier=Qt.KeyboardModifier.ControlModifier)
    assert bench.session.combination == FLAIR  # Ctrl+click chooses B only
    qtbot.mouseClick(bench.pair_panel.modes["difference"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    found = bench.session.predictions
    a, b = found[FLAIR].labels > 0, found[ALL].labels > 0
    data = bench.pair.layer.data  # type: ignore[union-attr]
    np.testing.assert_array_equal(data == ONLY_A, a & ~b)
    np.testing.assert_array_equal(data == ONLY_B, b & ~a)
    np.testing.assert_array_equal(data == BOTH, a & b)
    assert f"only A {(a & ~b).sum() / 1000:.1f}" in bench.pair_panel.legend.text()
    assert not bench.dock.layers.prediction.visible  # type: ignore[union-attr]
    assert "only A, FLAIR" in " ".join(bench.dock.result.instead)
    qtbot.mouseClick(bench.pair_panel.modes["off"], Qt.MouseButton.LeftButton)
    assert bench.dock.layers.prediction.visible  # type: ignore[union-attr]
    assert not any(la.metadata.get("mrseg", {}).get("pair") for la in bench.viewer.layers)


def test_the_split_has_a_on_the_left_and_b_on_the_right(qtbot: QtBot, bench: Workbench) -> None:
    """Wherever the line is dragged, in every plane: left of it A's labels, right of it B's, nothing else."""
    opened(qtbot, bench)
    bench.use(FLAIR)
    bench.hold_against(ALL)
    bench.pair.set_mode("split")
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    found = bench.session.predictions
    a, b = found[FLAIR].labels, found[ALL].labels
    for order in ((0, 1, 2), (2, 0, 1)):
        bench.viewer.dims.order = order
        qtbot.waitUntil(lambda o=order: bench.pair.shown.side[0] == o[-1], timeout=PATIENCE)  # type: ignore[misc]
        axis = order[-1]
        for permille in (500, 900, 150, 151, 0, 1000):
            bench.pair_panel.slider.setValue(permille)
            data = np.moveaxis(np.asarray(bench.pair.layer.data), axis, -1)  # type: ignore[union-attr]
            at = round(permille / 1000 * (data.shape[-1] - 1))
            np.testing.assert_array_equal(data[..., :at], np.moveaxis(a, axis, -1)[..., :at])
            right = np.moveaxis(b, axis, -1)[..., at + 1 :]
            np.testing.assert_array_equal(data[..., at + 1 :], right + 32 * (right > 0))
    assert "left of the line: A, FLAIR" in " ".join(bench.dock.result.instead)


def test_swap_exchanges_the_rows(qtbot: QtBot, bench: Workbench) -> None:
    """One press: B is on screen and A is what it is held against; the table's frames follow."""
    opened(qtbot, bench)
    bench.use(FLAIR)
    bench.hold_against(("t2",))
    qtbot.waitUntil(lambda: bench.matrix.model.b == ("t2",), timeout=PATIENCE)
    qtbot.mouseClick(bench.pair_panel.swap, Qt.MouseButton.LeftButton)
    assert bench.session.combination == ("t2",)
    qtbot.waitUntil(
        lambda: (bench.matrix.model.a, bench.matrix.model.b) == (("t2",), FLAIR), timeout=PATIENCE
    )


def test_a_pair_of_another_study_does_not_stay(qtbot: QtBot, bench: Workbench) -> None:
    """A new study takes the pair's layer away, or marks it stale until the new one is there."""
    opened(qtbot, bench)
    bench.use(FLAIR)
    bench.hold_against(ALL)
    bench.pair.set_mode("difference")
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    old = bench.pair.layer
    bench.session.set_study(study(case="another", shape=(20, 24, 22)))
    qtbot.waitUntil(lambda: bench.pair.layer is not old, timeout=PATIENCE)
    assert old not in bench.viewer.layers
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    assert bench.pair.shown is not None
    assert bench.pair.shown.study is bench.session.study
    assert bench.pair.layer.data.shape == (20, 24, 22)  # type: ignore[union-attr]


def test_a_pair_goes_with_its_subject_whatever_the_folder_is_called(
    qtbot: QtBot, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Degraded on purpose, the subject is the same and the pair stays, marked; another subject's takes it away."""
    opened(qtbot, bench)
    bench.use(FLAIR)
    bench.hold_against(ALL)
    bench.pair.set_mode("difference")
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    monkeypatch.setattr(bench.session._live, "request", lambda *args: None)  # nothing new to take its place
    bench.session.degrade("flair", "noise", 0.8)
    qtbot.waitUntil(lambda: "STALE" in " ".join(bench.dock.result.instead), timeout=PATIENCE)
    assert bench.pair.layer in bench.viewer.layers
    same_name = study(spacing=2.0)
    assert same_name.case == bench.session.study.case  # type: ignore[union-attr]
    bench.session.set_study(same_name)
    qtbot.waitUntil(lambda: bench.pair.layer is None, timeout=PATIENCE)
    assert bench.dock.result.instead == []
    assert not any(la.metadata.get("mrseg", {}).get("pair") for la in bench.viewer.layers)


def test_the_contact_sheet_follows_slider_and_plane(qtbot: QtBot, bench: Workbench) -> None:
    """Slice and plane on screen are those in the sheet; a click on a picture shows that combination."""
    opened(qtbot, bench)
    bench.tabs.setCurrentWidget(bench.contact)

    def shows(axis: int, index: int) -> bool:
        made = bench.contact.view.made
        return made is not None and (made.wanted.axis, made.wanted.index) == (axis, index)

    for order, step in (((0, 1, 2), 9), ((0, 1, 2), 15), ((2, 0, 1), 7)):
        bench.viewer.dims.order = order
        bench.viewer.dims.set_point(order[0], step)
        qtbot.waitUntil(lambda o=order, s=step: shows(o[0], s), timeout=PATIENCE)  # type: ignore[misc]
        made = bench.contact.view.made
        np.testing.assert_array_equal(made.pixels, made.sheet.render(order[0], step))  # type: ignore[union-attr]
    place = bench.contact.view.place(("t1", "t2"))
    assert place is not None
    qtbot.mouseClick(bench.contact.view, Qt.MouseButton.LeftButton, pos=place.center())
    assert bench.session.combination == ("t1", "t2")


def with_second(qtbot: QtBot, bench: Workbench, folder: Path) -> Model:
    """Another random model, chosen as the second one by its folder, until all its rows are there."""
    other = model(folder, name="other", seed=3)
    bench.choices.show_second(str(other.folder))
    bench.choices.second_changed.emit(str(other.folder))

    def there() -> bool:
        comparison = bench.state.comparison
        return (
            comparison is not None
            and comparison.second is not None
            and len(comparison.second.predictions) == len(comparison.expected)
        )

    qtbot.waitUntil(there, timeout=PATIENCE)
    return other


def test_a_second_model_stands_beside_the_first(qtbot: QtBot, bench: Workbench, tmp_path: Path) -> None:
    """Its volumes and Dice are columns with the core's numbers; its difference is a layer and a contact sheet."""
    opened(qtbot, bench)
    other = with_second(qtbot, bench, tmp_path)
    subject = bench.session.study
    assert subject is not None
    engine = Engine(other, device="cpu")
    rows = bench.matrix.model.rows
    wanted = [f"{engine.predict(subject, c).sizes['WT']:.1f}" for c in rows]
    assert texts(bench, "second_size.WT") == wanted
    comparison = bench.state.comparison
    assert comparison is not None
    assert texts(bench, "second_versus.WT") == [f"{comparison.between_models(c)['WT']:.3f}" for c in rows]
    assert len(texts(bench, "second_dice.ET")) == 15
    # Two at a time: the same modalities by the other model.
    panel = bench.pair_panel
    place = panel.b.findText("other, same modalities")
    panel.b.setCurrentIndex(place)
    panel.b.activated.emit(place)
    panel.modes["difference"].click()
    qtbot.waitUntil(lambda: bench.pair.shown is not None, timeout=PATIENCE)
    shown = bench.pair.shown
    assert shown is not None
    theirs = engine.predict(subject, shown.a).labels
    ours = comparison.predictions[shown.a].labels
    assert np.array_equal(shown.data == ONLY_B, (theirs > 0) & ~(ours > 0))
    assert np.array_equal(shown.data == BOTH, (theirs > 0) & (ours > 0))
    assert "other" in bench.pair.layer.name  # type: ignore[union-attr]
    panel.swap.click()
    assert not panel.swap.isEnabled()
    # The contact sheet shows either model, or where both differ.
    bench.tabs.setCurrentWidget(bench.contact)
    by = bench.contact.by
    assert [by.itemText(i) for i in range(by.count())][:3] == ["this model", "other", "difference WT"]
    seen = []
    for place in range(3):
        by.setCurrentIndex(place)
        by.activated.emit(place)
        wanted_by = by.itemData(place)
        qtbot.waitUntil(
            lambda wanted_by=wanted_by: (
                bench.contact.view.made is not None and bench.contact.view.made.wanted.by == wanted_by
            ),
            timeout=PATIENCE,
        )
        made = bench.contact.view.made
        assert made is not None
        seen.append(made.pixels.copy())
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_a_second_model_goes_and_never_mixes_studies(qtbot: QtBot, bench: Workbench, tmp_path: Path) -> None:
    """Another study: its own numbers; none: the columns are gone; a folder that is no model: one sentence."""
    opened(qtbot, bench)
    with_second(qtbot, bench, tmp_path)
    other = study(ALL, reference=True, case="second", shape=(16, 24, 24))
    bench.session.set_study(other)
    qtbot.waitUntil(
        lambda: (
            bench.state.comparison is not None
            and bench.state.comparison.study is other
            and bench.state.comparison.second is not None
            and len(bench.state.comparison.second.predictions) == 15
        ),
        timeout=PATIENCE,
    )
    assert {p.labels.shape for p in bench.state.comparison.second.predictions.values()} == {(16, 24, 24)}  # type: ignore[union-attr]
    bench.choices.second_changed.emit(None)
    qtbot.waitUntil(lambda: bench.state.comparison.second is None, timeout=PATIENCE)  # type: ignore[union-attr]
    assert not any(c.kind.startswith("second_") for c in bench.matrix.model.columns)
    said: list[str] = []
    bench.state.failed.connect(said.append)
    bench.choices.second_changed.emit(str(tmp_path))
    qtbot.waitUntil(lambda: bool(said), timeout=PATIENCE)
    assert "is no model folder" in said[0]
    assert bench.choices.second.currentText() == "none"


def test_agreement_and_entropy_are_layers_of_the_cores_maps(qtbot: QtBot, bench: Workbench) -> None:
    """Values are the core's, clear where none marks the voxel, on the scans' scale; the sentence is the core's."""
    opened(qtbot, bench)
    comparison = bench.state.comparison
    assert comparison is not None
    for check in ("agreement", "entropy"):
        bench.maps_panel.checks[check].setChecked(True)  # type: ignore[index]
    qtbot.waitUntil(lambda: len(bench.maps.layers) == 2, timeout=PATIENCE)
    core, layers = Agreement(comparison), bench.maps.layers
    marked = core.share("WT") > 0
    data = np.asarray(layers["agreement"].data)
    np.testing.assert_array_equal(data[marked], core.agreement("WT")[marked])
    assert np.isnan(data[~marked]).all()
    np.testing.assert_array_equal(np.nan_to_num(layers["entropy"].data), core.entropy("WT"))
    for layer in layers.values():
        assert tuple(layer.scale) == tuple(comparison.study.grid.spacing)
        assert "15 combinations" in layer.name
    qtbot.waitUntil(lambda: bench.maps_panel.sentence.text() == core.summary("WT").sentence, timeout=PATIENCE)
    bench.maps_panel.checks["entropy"].setChecked(False)
    assert "entropy" not in bench.maps.layers


def test_a_map_of_another_subject_does_not_stay(
    qtbot: QtBot, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map is taken away with its subject, also when the next one's folder has the same name."""
    opened(qtbot, bench)
    bench.maps_panel.checks["agreement"].setChecked(True)
    qtbot.waitUntil(lambda: "agreement" in bench.maps.layers, timeout=PATIENCE)
    monkeypatch.setattr(bench.session._live, "request", lambda *args: None)  # nothing new to take its place
    bench.session.set_study(study(spacing=2.0))
    qtbot.waitUntil(lambda: "agreement" not in bench.maps.layers)
    assert not any(la.metadata.get("mrseg", {}).get("map") for la in bench.viewer.layers)


def test_maps_lie_under_the_outline_in_a_colour_that_no_label_has(qtbot: QtBot, bench: Workbench) -> None:
    """A map makes the segmentation an outline, and the last one that goes makes it full again; their colours differ."""
    opened(qtbot, bench)
    look, check = bench.dock.overlay_style, bench.maps_panel.checks
    assert not look.outline
    check["attribution"].click()
    check["entropy"].click()
    assert look.outline
    check["attribution"].click()
    assert look.outline
    check["entropy"].click()
    assert not look.outline
    look.outline = True  # the user's own choice stays
    check["agreement"].click()
    check["agreement"].click()
    assert look.outline
    ends = [np.array(_attribution_colours().colors[place][:3]) for place in (0, -1)]
    labels = [colour for label in BRATS.labels for colour in label.colours]
    for colour in labels:
        assert min(np.abs(end - np.array(rgb(colour))).max() for end in ends) > 0.35, colour


def test_attribution_bars_and_map(qtbot: QtBot, bench: Workbench) -> None:
    """The bars hold the core's values for size and Dice; the map is computed on demand; the caveat is there."""
    opened(qtbot, bench)
    comparison = bench.state.comparison
    assert comparison is not None
    assert bench.maps_panel.size.attribution == attribute(comparison, "size")
    assert bench.maps_panel.dice.attribution == attribute(comparison, "dice")
    assert "not clinical evidence" in bench.maps_panel.caveat.text()
    bench.maps.show(Wanted("attribution", "TC", "t1ce"))
    qtbot.waitUntil(lambda: "attribution" in bench.maps.layers, timeout=PATIENCE)
    values = np.nan_to_num(bench.maps.layers["attribution"].data)
    np.testing.assert_allclose(values, probability_map(comparison, "TC", "t1ce"), atol=0.0051)
    assert "T1ce" in bench.maps.layers["attribution"].name


def test_the_smallest_sufficient_set_follows_the_spin_box(qtbot: QtBot, bench: Workbench) -> None:
    """The line under the table is the core's, for the Dice chosen."""
    opened(qtbot, bench)
    comparison = bench.state.comparison
    assert comparison is not None
    for threshold in (0.9, 0.6):
        bench.enough.threshold.setValue(threshold)
        lines = [line.text for line in default_lines(comparison, bench.enough.threshold.value())]
        assert bench.enough.text.text() == "\n".join(lines)


def test_degrading_a_modality_recomputes_and_says_so(qtbot: QtBot, bench: Workbench) -> None:
    """A strength changes the image and the table, the description says it, and 0 restores everything."""
    opened(qtbot, bench)
    before, intact = bench.session.predictions[ALL], bench.session.study
    bench.degrade.lines["flair"].strength.setValue(80)
    qtbot.waitUntil(
        lambda: (
            bench.state.comparison is not None
            and bench.state.comparison.complete
            and bench.state.comparison.study is not intact
        ),
        timeout=PATIENCE,
    )
    until_final(qtbot, bench.dock)
    assert bench.session.degradations["flair"][1] == 0.8
    assert "degraded" in bench.session.describe()
    assert not bench.degrade.mark.isHidden()
    assert (np.asarray(bench.dock.layers.images["flair"].data) != intact.images["flair"].data).any()  # type: ignore[union-attr]
    bench.degrade.restore.click()
    qtbot.waitUntil(lambda: not bench.session.degradations, timeout=PATIENCE)
    qtbot.waitUntil(
        lambda: (
            bench.state.comparison is not None
            and bench.state.comparison.predictions.get(ALL) is not None
            and bench.state.comparison.study is bench.session.study
        ),
        timeout=PATIENCE,
    )
    np.testing.assert_array_equal(bench.session.predictions[ALL].labels, before.labels)
    assert bench.degrade.mark.isHidden()


def test_report_table_and_figures_are_written(qtbot: QtBot, bench: Workbench, tmp_path: Path) -> None:
    """Report, CSV, JSON and figures come out of the window with the numbers of the table on screen."""
    opened(qtbot, bench)

    def written(ask: Callable[[Path], None], path: Path) -> None:
        with qtbot.waitSignal(bench.exports.done, timeout=PATIENCE):
            ask(path)

    written(bench.exports.table, tmp_path / "t.csv")
    written(bench.exports.table, tmp_path / "t.json")
    written(bench.exports.matrix, tmp_path / "m.svg")
    written(bench.exports.sheet, tmp_path / "s.png")
    written(bench.exports.report, tmp_path / "report")
    rows = (tmp_path / "t.csv").read_text().splitlines()
    assert len(rows) == 16
    document = json.loads((tmp_path / "report" / "table.json").read_text())
    assert [f"{row['sizes']['WT']['value']:.1f}" for row in document["rows"]] == texts(bench, "size.WT")
    assert (tmp_path / "report" / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "m.svg").read_text().startswith("<svg")
    assert (tmp_path / "s.png").stat().st_size > 1000
    with qtbot.waitSignal(bench.exports.failed, timeout=PATIENCE) as failed:
        bench.exports.table(tmp_path / "t.xls")
    assert "t.xls" in failed.args[0]
    qtbot.waitUntil(lambda: "t.xls" in bench.dock.error.text())


def test_a_session_file_brings_study_results_and_view_back(
    qtbot: QtBot, bench: Workbench, make_study: MakeStudy, tmp_path: Path
) -> None:
    """Saved and reopened: same combination, results, columns, order of rows, pair and slice; nothing is run again."""
    bench.dock.open([make_study(shape=(20, 24, 22))])
    qtbot.waitUntil(
        lambda: bench.state.comparison is not None and bench.state.comparison.complete, timeout=PATIENCE
    )
    until_final(qtbot, bench.dock)
    bench.use(FLAIR)
    bench.hold_against(("t1", "t2"))
    bench.pair.set_mode("difference")
    click_header(qtbot, bench, "size.WT")
    bench.choices.kinds["seconds"].setChecked(False)
    bench.viewer.dims.order = (1, 0, 2)
    bench.viewer.dims.set_point(1, 7)
    rows, seconds = list(bench.matrix.model.rows), bench.session.predictions[FLAIR].seconds
    file = tmp_path / "later.mrsession"
    with qtbot.waitSignal(bench.exports.done, timeout=PATIENCE):
        bench.exports.save_session(file)
    bench.pair.set_mode("off")
    bench.pair.set_second(None)
    bench.session.set_study(study(case="another"))
    qtbot.waitUntil(lambda: bench.dock.case.text() == "another", timeout=PATIENCE)
    bench.matrix.model.unsort()
    bench.viewer.dims.order = (0, 1, 2)
    with qtbot.waitSignal(bench.exports.done, timeout=PATIENCE):
        bench.exports.open_session(file)
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    assert bench.session.combination == FLAIR
    assert bench.session.predictions[FLAIR].seconds == seconds
    assert (bench.pair.mode, bench.pair.b) == ("difference", ("t1", "t2"))
    assert bench.matrix.model.rows == rows
    assert "seconds" not in [c.key for c in bench.matrix.model.columns]
    assert bench.viewer.dims.order == (1, 0, 2)
    assert bench.where() == (1, 7)
    (next((tmp_path / "case-1").glob("*flair*"))).write_bytes(b"another scan")
    with qtbot.waitSignal(bench.exports.failed, timeout=PATIENCE) as failed:
        bench.exports.open_session(file)
    assert "flair" in failed.args[0]
    assert bench.session.combination == FLAIR


def test_a_study_opened_while_a_snapshot_is_made_stays_out_of_it(qtbot: QtBot, bench: Workbench) -> None:
    """The snapshot of one study never holds results of another, of another shape, that is open by then."""
    other = study(case="another", shape=(14, 20, 18))
    bench.session.set_study(other)
    bench.session.wait_for_sweep(PATIENCE / 1000)
    opened(qtbot, bench)
    before = bench.state.comparison
    assert before is not None
    bench.session.set_study(other)  # its results are in memory; the window has not heard of it yet
    snapshot = bench.state._make(before.study)
    assert dict(snapshot.predictions) == dict(before.predictions)


def test_what_was_asked_for_during_a_failure_is_still_made(
    qtbot: QtBot, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that fails while newer results arrive is followed by one that holds them."""
    opened(qtbot, bench)
    state, make = bench.state, bench.state._make
    calls: list[Study] = []

    def fails_once(wanted: Study) -> Comparison:
        calls.append(wanted)
        if len(calls) == 1:
            state._again = True
            raise RuntimeError("no room")
        return make(wanted)

    monkeypatch.setattr(state, "_make", fails_once)
    before = state.comparison
    bench.session.predictions_changed.emit()
    qtbot.waitUntil(lambda: state.comparison is not before, timeout=PATIENCE)
    assert len(calls) == 2
    assert "no room" in bench.dock.error.text()


def test_a_failure_on_a_thread_is_said(
    qtbot: QtBot, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error in a map becomes a sentence in the dock, the switch goes off, and the window goes on."""
    opened(qtbot, bench)

    def broken(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("napari_mrseg._qt.compare.maps._compute", broken)
    bench.maps_panel.checks["agreement"].setChecked(True)
    qtbot.waitUntil(lambda: "no room" in bench.dock.error.text(), timeout=PATIENCE)
    assert not bench.maps_panel.checks["agreement"].isChecked()


def test_the_workbench_goes_without_a_trace(qtbot: QtBot, dock: MrsegDock) -> None:
    """Closing it takes its layers, overlay and key away; the dock and its overlay stay."""
    bench = Workbench(dock)
    opened(qtbot, bench)
    bench.use(FLAIR)
    bench.hold_against(ALL)
    bench.pair.set_mode("difference")
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    before = len(dock.viewer.layers)
    bench.deleteLater()
    qtbot.waitUntil(lambda: len(dock.viewer.layers) == before - 1, timeout=PATIENCE)
    assert dock.layers.prediction is not None
    assert dock.layers.prediction.visible
    assert dock.result.instead == []
    assert not dock.closed


def test_it_shares_the_session_of_the_open_dock(qtbot: QtBot, dock: MrsegDock) -> None:
    """The comparison's window takes the dock that is open in the viewer."""
    place = ComparisonWindow(dock.viewer)
    qtbot.addWidget(place)
    assert place.bench.session is dock.session
    assert isinstance(dock.viewer, ViewerModel)
