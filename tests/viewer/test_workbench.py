"""The comparison workbench in the real window, with real mouse and key events."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QDockWidget, QWidget
from tiny import study
from waiting import PATIENCE, until_final

from napari_mrseg._qt.compare.workbench import Workbench, workbench_of
from napari_mrseg._qt.dock_widget import dock_widget_of
from napari_mrseg._qt.dock_windows import open_dock
from napari_mrseg.models.store import Model
from napari_mrseg.session.state import Session

LEFT, CONTROL, ALT = (
    Qt.MouseButton.LeftButton,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
)
FLAIR, ALL = ("flair",), ("flair", "t1", "t1ce", "t2")
SHAPE = (24, 40, 44)


@pytest.fixture
def session(tiny: Model) -> Iterator[Session]:
    made = Session(device="cpu")
    made.set_model(tiny)
    yield made
    made.close()


@pytest.fixture
def bench(make_napari_viewer: Callable[..., Viewer], session: Session, qtbot: QtBot) -> Workbench:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1440, 900)
    dock = open_dock(viewer, session)
    qtbot.waitExposed(viewer.window._qt_window)
    qtbot.mouseClick(dock.panel.compare_button, LEFT)
    made = workbench_of(viewer)
    assert made is not None
    session.set_study(study(reference=True, shape=SHAPE))
    qtbot.waitUntil(
        lambda: made.state.comparison is not None and made.state.comparison.complete, timeout=PATIENCE
    )
    until_final(qtbot, dock)
    return made


def canvas(bench: Workbench) -> QWidget:
    return bench.viewer.window._qt_viewer.canvas.native


def picture(bench: Workbench) -> np.ndarray:
    return bench.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def row(qtbot: QtBot, bench: Workbench, combination: tuple[str, ...], **options: object) -> None:
    table, model = bench.matrix.table, bench.matrix.model
    index = model.index(model.rows.index(combination), 2)
    table.scrollTo(index)
    qtbot.mouseClick(table.viewport(), LEFT, pos=table.visualRect(index).center(), **options)


def tab(qtbot: QtBot, bench: Workbench, page: QWidget) -> None:
    bar = bench.tabs.tabBar()
    qtbot.mouseClick(bar, LEFT, pos=bar.tabRect(bench.tabs.indexOf(page)).center())


def test_the_table_is_as_high_as_the_window_and_the_picture_half_of_it(
    qtbot: QtBot, bench: Workbench
) -> None:
    """At 1440 × 900: all rows and tabs in sight, every column can be reached, the picture about half as wide as all."""
    holder, window = dock_widget_of(bench)
    assert isinstance(holder, QDockWidget)
    assert window is not None
    qtbot.waitUntil(lambda: window.dockWidgetArea(holder) == Qt.DockWidgetArea.RightDockWidgetArea)
    qtbot.waitUntil(lambda: bench.height() > 700, timeout=PATIENCE)
    table, model = bench.matrix.table, bench.matrix.model
    assert table.viewport().height() >= 15 * table.rowHeight(0)
    end = model.index(0, model.columnCount() - 1)
    table.scrollTo(end)
    assert 0 <= table.visualRect(end).left() <= table.visualRect(end).right() <= table.viewport().width()
    assert canvas(bench).height() > 700
    assert canvas(bench).width() >= 0.48 * window.width()
    window.resize(1024, 700)
    qtbot.waitUntil(lambda: bench.width() < 540, timeout=PATIENCE)
    assert [bench.matrix.table.isColumnHidden(i) for i in range(model.columnCount())].count(True) == 0
    bar = bench.tabs.tabBar()
    for place in range(bar.count()):
        rect = bar.tabRect(place)
        assert bar.rect().contains(rect)
        assert bar.visibleRegion().contains(rect.center())


def test_sort_then_compare_two_then_swap_by_key(qtbot: QtBot, bench: Workbench) -> None:
    """Sort by ET Dice, take FLAIR against all four, see the difference, swap with one key, go back."""
    model, header = bench.matrix.model, bench.matrix.table.horizontalHeader()
    section = model.first + [c.key for c in model.columns].index("dice.ET")
    qtbot.mouseClick(header.viewport(), LEFT, pos=QPoint(header.sectionViewportPosition(section) + 9, 9))
    assert bench.state.comparison is not None
    assert model.rows == list(bench.state.comparison.ordered("dice.ET"))
    row(qtbot, bench, FLAIR)
    row(qtbot, bench, ALL, modifier=CONTROL)
    bench.dock.jump()
    before = picture(bench)
    qtbot.mouseClick(bench.pair_panel.modes["difference"], LEFT)
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    qtbot.waitUntil(lambda: bool((picture(bench) != before).any()), timeout=PATIENCE)
    assert bench.dock.result.instead
    canvas(bench).setFocus()
    qtbot.keyClick(canvas(bench), Qt.Key.Key_X, ALT)
    assert bench.session.combination == ALL
    qtbot.waitUntil(lambda: bench.pair.shown is not None and bench.pair.shown.a == ALL, timeout=PATIENCE)
    assert bench.pair.shown.b == FLAIR  # type: ignore[union-attr]
    qtbot.mouseClick(bench.pair_panel.modes["off"], LEFT)
    assert bench.dock.layers.prediction.visible  # type: ignore[union-attr]


def test_the_split_line_follows_the_slider_on_screen(qtbot: QtBot, bench: Workbench) -> None:
    """The white line moves to the right with the slider; nothing of A is drawn right of it."""
    row(qtbot, bench, FLAIR)
    row(qtbot, bench, ALL, modifier=CONTROL)
    qtbot.mouseClick(bench.pair_panel.modes["split"], LEFT)
    qtbot.waitUntil(lambda: bench.pair.layer is not None, timeout=PATIENCE)
    for layer in bench.viewer.layers:
        layer.visible = layer is bench.pair.layer
    bench.viewer.canvas.overlays.text.visible = False
    bench.dock.letters.follow(())
    bench.viewer.canvas.overlays.scale_bar.visible = False
    bench.pair.layer.opacity = 1  # type: ignore[union-attr]
    places = []
    for value in (250, 750):
        bench.pair_panel.slider.setValue(value)
        white = (picture(bench) > 250).all(-1)
        columns = np.nonzero(white.sum(0) > 20)[0]
        assert len(columns)
        places.append(columns.mean())
    assert places[1] > places[0] + 50


def test_the_sheet_follows_the_wheel_of_the_slider(qtbot: QtBot, bench: Workbench) -> None:
    """A step of napari's own slider by key changes the sheet; a click on a small image shows that combination."""
    tab(qtbot, bench, bench.contact)
    qtbot.waitUntil(lambda: bench.contact.view.made is not None, timeout=PATIENCE)
    canvas(bench).setFocus()
    index = bench.where()[1]  # type: ignore[index]
    qtbot.keyClick(canvas(bench), Qt.Key.Key_Right)
    qtbot.waitUntil(lambda: bench.contact.view.made.wanted.index == index + 1, timeout=PATIENCE)  # type: ignore[union-attr]
    place = bench.contact.view.place(("t1", "t1ce"))
    assert place is not None
    qtbot.mouseClick(bench.contact.view, LEFT, pos=place.center())
    assert bench.session.combination == ("t1", "t1ce")
    until_final(qtbot, bench.dock)


def test_maps_are_drawn_where_the_combinations_differ(qtbot: QtBot, bench: Workbench) -> None:
    """The agreement and attribution layers change the picture, with a colour bar, and go without a trace."""
    tab(qtbot, bench, bench.maps_panel)
    bench.dock.jump()
    bench.dock.overlay_style.visible = False
    qtbot.waitUntil(
        lambda: "hidden" in bench.dock.annotation._overlay.text and bench.dock.settled, timeout=PATIENCE
    )

    def below_the_words() -> np.ndarray:
        """They change when the combinations have been compared, and the letter below them moves."""
        return picture(bench)[150:]

    before = below_the_words()
    for kind in ("agreement", "attribution"):
        check = bench.maps_panel.checks[kind]  # type: ignore[index]
        qtbot.mouseClick(check, LEFT, pos=QPoint(8, check.height() // 2))
        qtbot.waitUntil(lambda k=kind: k in bench.maps.layers, timeout=PATIENCE)  # type: ignore[misc]
        assert (below_the_words() != before).any()
        qtbot.mouseClick(check, LEFT, pos=QPoint(8, check.height() // 2))
        assert kind not in bench.maps.layers
    qtbot.waitUntil(lambda: bool((below_the_words() == before).all()), timeout=PATIENCE)
    assert not bench.dock.error.text()
