"""The comparison workbench: it puts its widgets together, as high as the window, with the picture at least as wide."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication, QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QScrollArea,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_mrseg._qt.bridge import BackgroundTask
from napari_mrseg._qt.compare.contact_view import Contact
from napari_mrseg._qt.compare.degrade_panel import Degrade
from napari_mrseg._qt.compare.exports import Exports
from napari_mrseg._qt.compare.live_comparison import LiveComparison
from napari_mrseg._qt.compare.maps import Maps
from napari_mrseg._qt.compare.maps_panel import MapsPanel
from napari_mrseg._qt.compare.matrix import Matrix
from napari_mrseg._qt.compare.pair import Pair
from napari_mrseg._qt.compare.pair_panel import PairPanel
from napari_mrseg._qt.compare.style_sheet import WORKBENCH, wrapped
from napari_mrseg._qt.compare.sufficient_line import SufficientLine
from napari_mrseg._qt.compare.table_options import Choices
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg._qt.dock_widget import dock_widget_of
from napari_mrseg._qt.dropdowns import model_choices
from napari_mrseg._qt.key_names import key
from napari_mrseg._qt.reading import window_of
from napari_mrseg._qt.style import follow_theme
from napari_mrseg._qt.text_labels import ElidedLabel
from napari_mrseg.compare.metric import METRICS
from napari_mrseg.tasks import Combination

WIDTH, HEIGHT = 690, 640  # pixels: all columns; fifteen rows, their head and foot, and what is chosen below
_LEAST = 520  # pixels beside the dock; with less the two share one place, by tabs
_NARROWEST = 360  # pixels, however small the window
_WIDE = 980  # pixels: from there on the choices lie beside the table
_CHOICES = (110, 190)  # pixels of height below it, at least and at most
_benches: WeakSet[Workbench] = WeakSet()


class Workbench(QWidget):
    """Matrix, contact sheet, maps and degradations of the session in ``dock``. Shows, and passes requests on."""

    def __init__(self, dock: MrsegDock) -> None:
        super().__init__()
        self.dock, self.viewer, self.session = dock, dock.viewer, dock.session
        window = window_of(dock.viewer)
        self._before = (
            None if window is None else window.size()
        )  # for a moment the docks lie one over the other
        self.setObjectName("MrsegWorkbench")
        self._unstyle = follow_theme(self, self.viewer, WORKBENCH)
        self.state = LiveComparison(self.session, self)
        self.pair, self.maps = Pair(dock, self.state), Maps(dock)
        self.matrix, self.choices, self.enough = Matrix(), Choices(), SufficientLine()
        self.pair_panel, self.maps_panel = PairPanel(self.pair), MapsPanel(self.maps)
        self.contact, self.degrade = Contact(self.where), Degrade(self.session)
        self.exports = Exports(self.state, self.view, self.restore, self.where, self)
        self._build()
        self._connect()
        self._ended: list[bool] = []
        end = _ending(self, self._ended)
        self.destroyed.connect(end)
        dock.destroyed.connect(end)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(end)
        self.matrix.model.show_kinds(self.choices.chosen_kinds())
        self.exports.may_leave = dock.opener.may_leave
        self.exports.failed.connect(lambda _: dock.layers.given_up.clear())
        self._show()
        self._moved(frozenset({"combination", "images", "model"}))
        _benches.add(self)

    @property
    def closed(self) -> bool:
        return bool(self._ended)

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(WIDTH, HEIGHT)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(320, 240)

    # -- the session shown --------------------------------------------------------------------------------

    def _show(self) -> None:
        comparison = self.state.comparison
        for widget in (
            self.matrix, self.choices, self.enough, self.pair_panel, self.contact, self.maps_panel,
        ):  # fmt: skip
            widget.show_comparison(comparison)
        self.pair.refresh()
        self._mark()
        self._cover()

    def _moved(self, topics: frozenset[str]) -> None:
        if "combination" in topics:
            self.pair.refresh()
            self._mark()
        if topics & {"running", "study", "model"}:
            self._cover()
        if topics & {"study", "images"}:
            self.degrade.refresh()
        if topics & {"study", "model"}:
            self._offer_models()

    def _offer_models(self) -> None:
        session = self.session
        current = None if session.model is None else session.model.info["name"]
        BackgroundTask(
            lambda: model_choices(session.task),
            done=lambda names: None if self.closed else self.choices.offer_models(names, current),
            failed=self._fail,
            parent=self,
        )

    def _show_second(self) -> None:
        """How far the second model is; one that could not be loaded is no longer chosen."""
        second = self.state.second
        if second.asked is None:
            self.choices.show_second(None)
        self.choices.name_second(second.name)
        if second.waiting:
            self.status.setText(f"{second.name}: {second.waiting} to come")
        elif self.status.text().endswith(" to come"):
            self.status.setText("")

    def _mark(self) -> None:
        a = self.session.combination or None
        b = self.pair.b if isinstance(self.pair.b, tuple) else None
        self.matrix.mark(a, b)
        self.contact.view.mark(a, b)

    def _cover(self) -> None:
        """How many rows are there, and which one is being computed."""
        comparison, running = self.state.comparison, self.session.running
        self.matrix.model.show_running(None if running is None else running.combination)
        if comparison is None:
            text = "Open a study to compare its combinations." if self.session.study is None else "Waiting …"
            self.coverage.setText(text)
            return
        done, possible = len(comparison.predictions), len(comparison.expected)
        total = len(comparison.task.combinations())
        text = f"{done} of {possible} computed" if comparison.missing else f"all {possible} computed"
        if possible < total:
            text += f", {total - possible} not possible"  # the tooltip says why: the corner is narrow
        self.coverage.setText(text)
        self.coverage.setToolTip(wrapped(comparison.coverage))

    # -- requests -----------------------------------------------------------------------------------------

    def use(self, combination: Combination) -> None:
        """Show a row: it is what is switched on from now on."""
        self.dock.attempt(lambda: self.session.use(combination))

    def hold_against(self, combination: Combination) -> None:
        """Choose row B; the first time, the difference is shown."""
        self.pair.set_second(None if combination == self.pair.b else combination)
        self._mark()

    def where(self) -> tuple[int, int] | None:
        """(axis, index) of the slice on screen, of the study's grid."""
        study, point = self.session.study, self.dock.layers.voxel_shown()
        if study is None or point is None:
            return None
        ndim = len(study.grid.shape)
        first = self.viewer.dims.ndim - ndim
        axis = self.viewer.dims.order[0] - first if self.viewer.dims.ndisplay == 2 and ndim == 3 else 0
        axis = axis if 0 <= axis < ndim else 0
        return axis, int(point[axis])

    def view(self) -> dict[str, Any]:
        """How the window looks, for a session file: JSON types only."""
        matrix = self.matrix.model
        b = self.pair.b
        return {
            "order": list(self.viewer.dims.order),
            "point": [float(v) for v in self.viewer.dims.point],
            "tab": self.tabs.currentIndex(),
            "kinds": sorted(self.choices.chosen_kinds()),
            "sorting": None if matrix.sorting is None else list(matrix.sorting),
            "against": None if self.state.against is None else list(self.state.against),
            "pair": {
                "mode": self.pair.mode,
                "b": list(b) if isinstance(b, tuple) else b,
                "region": self.pair.region,
            },
        }

    def restore(self, view: dict[str, Any], patience: int = 200) -> None:
        """Look again as :meth:`view` said, once the study's layers are there. Unknown entries are left out."""
        there = self.dock.settled and self.dock.layers.prediction is not None
        if not there or self.state.comparison is None:
            if patience:
                QTimer.singleShot(50, lambda: self.restore(view, patience - 1))
            return
        with suppress(KeyError, TypeError, ValueError):
            self.choices.show_kinds(frozenset(view["kinds"]))
        with suppress(KeyError, TypeError, ValueError):
            self.tabs.setCurrentIndex(int(view["tab"]))
        with suppress(KeyError, TypeError, ValueError):
            if view["sorting"] is not None:
                self.matrix.model.sort_by(int(view["sorting"][0]), bool(view["sorting"][1]))
        with suppress(KeyError, TypeError, ValueError):
            self.state.compare_with(None if view["against"] is None else tuple(view["against"]))
        with suppress(KeyError, TypeError, ValueError):
            b = view["pair"]["b"]
            self.pair.region = str(view["pair"]["region"])
            self.pair.set_second(tuple(b) if isinstance(b, list) else b)
            if view["pair"]["mode"] in self.pair_panel.modes:
                self.pair.set_mode(view["pair"]["mode"])
        with suppress(KeyError, TypeError, ValueError):
            if len(view["order"]) == self.viewer.dims.ndim:
                self.viewer.dims.order = tuple(view["order"])
                self.viewer.dims.set_point(range(self.viewer.dims.ndim), view["point"])
        self._mark()

    # -- layout -------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.coverage = QLabel()
        self.working = QProgressBar()
        self.working.setRange(0, 0)
        self.working.setMaximumSize(110, 14)
        self.working.setVisible(False)
        self.status = ElidedLabel("quiet")
        self.export = QToolButton()
        self.export.setText("Report and export")
        self.export.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.export.setMenu(self.exports.menu())
        self.own = QToolButton()
        self.own.setText("Own window")
        self.own.setCheckable(True)
        self.own.setToolTip(
            wrapped("The comparison in a window of its own, e.g. on a second screen; or back")
        )
        self.own.clicked.connect(self.float)
        row = QHBoxLayout()  # above the tabs, whose row is for them alone: none may hide behind an arrow
        row.setContentsMargins(0, 0, 2, 0)
        row.setSpacing(6)
        row.addWidget(self.coverage)
        row.addWidget(self.status, 1)
        for widget in (self.working, self.own, self.export):
            row.addWidget(widget)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.tabBar().setExpanding(False)
        self.tabs.setElideMode(Qt.TextElideMode.ElideRight)
        self.tabs.addTab(self._matrix_tab(), "Matrix")
        self.tabs.addTab(self.contact, "Contact sheet")
        self.tabs.addTab(self.maps_panel, "Agreement and attribution")
        self.tabs.addTab(self.degrade, "Degrade")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 4)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.tabs, 1)

    def _matrix_tab(self) -> QWidget:
        side = QWidget()
        self._pieces = QBoxLayout(QBoxLayout.Direction.LeftToRight, side)
        self._pieces.setContentsMargins(2, 0, 2, 0)
        self._pieces.setSpacing(12)
        for piece in (self.pair_panel, self.choices):
            self._pieces.addWidget(piece, 1, Qt.AlignmentFlag.AlignTop)
        self._side = scroll = QScrollArea()
        scroll.setWidget(side)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        tab = QWidget()
        self._halves = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._halves.setSpacing(6)
        self._halves.addWidget(self.matrix, 1)
        self._halves.addWidget(scroll)
        rows = QVBoxLayout(tab)
        rows.setContentsMargins(0, 2, 0, 0)
        rows.setSpacing(3)
        rows.addLayout(self._halves, 1)
        rows.addWidget(self.enough)
        return tab

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """A wide one has the choices beside the table, a narrow one below it."""
        super().resizeEvent(event)
        wide = self.width() >= _WIDE
        way = QBoxLayout.Direction
        self._halves.setDirection(way.LeftToRight if wide else way.TopToBottom)
        self._pieces.setDirection(
            way.TopToBottom if wide or self.width() < WIDTH * 2 // 3 else way.LeftToRight
        )
        if wide:
            self._side.setMinimumHeight(0)
            self._side.setMaximumHeight(16777215)
            self._side.setFixedWidth(300)
        else:
            self._side.setMinimumWidth(0)
            self._side.setMaximumWidth(16777215)
            self._side.setFixedHeight(min(_CHOICES[1], max(_CHOICES[0], self.height() // 3)))

    def _connect(self) -> None:
        self.state.changed.connect(self._show)
        self.state.moved.connect(self._moved)
        for source in (self.state, self.pair, self.maps, self.contact, self.degrade):
            source.failed.connect(self._fail)
        self.matrix.asked.connect(self.use)
        self.matrix.second.connect(self.hold_against)
        self.matrix.against.connect(self.state.compare_with)
        self.choices.kinds_changed.connect(self._choose_kinds)
        self.choices.filter_changed.connect(self.matrix.model.show_only)
        self.choices.against_changed.connect(self.state.compare_with)
        self.choices.second_changed.connect(self.state.second.choose)
        self.state.second.changed.connect(self._show_second)
        self.contact.asked.connect(self.use)
        self.pair.changed.connect(self._mark)
        self.exports.began.connect(self._began)
        self.exports.done.connect(self._finished)
        self.exports.failed.connect(self._fail)
        self.viewer.dims.events.current_step.connect(self.contact.refresh)
        self.viewer.dims.events.order.connect(self.contact.refresh)
        self.viewer.dims.events.ndisplay.connect(self.contact.refresh)
        self._swap_key = key("swap")
        self.viewer.bind_key(self._swap_key, lambda _: self.pair.swap(), overwrite=True)

    def _choose_kinds(self, kinds: frozenset[str]) -> None:
        self.matrix.model.show_kinds(kinds)
        self.state.want_metrics(bool(kinds & METRICS.keys()))

    def _began(self, what: str) -> None:
        self.status.setText(what)
        self.working.setVisible(True)

    def _finished(self, sentence: str) -> None:
        self.working.setVisible(False)
        name = sentence.removeprefix("Wrote ").split(" with ")[0].rstrip(".")
        self.status.setText(f"Wrote {name.replace(chr(92), '/').rsplit('/', 1)[-1]}" if sentence else "")
        self.status.setToolTip(sentence)

    def _fail(self, sentence: str) -> None:
        self.working.setVisible(False)
        self.status.setText("")
        self.dock.say(sentence)

    def float(self, on: bool) -> None:
        """A window of its own, or back beside the picture."""
        holder, window = dock_widget_of(self)
        if holder is None or window is None:
            return
        holder.setFloating(on)
        if on:
            holder.resize(max(WIDTH, window.width() // 2), max(HEIGHT, window.height() * 3 // 4))
            QTimer.singleShot(0, self._show_floating)
        else:
            self.go_beside()

    def _show_floating(self) -> None:
        holder, _ = dock_widget_of(self)
        self.own.setChecked(holder is not None and holder.isFloating())

    def go_beside(self) -> None:
        """As high as the window, the picture at least half of it: beside the main dock, or over it in a narrow one.

        napari puts a plugin's dock where it will; over the main dock, tabs lead from one to the other.
        """
        holder, window = dock_widget_of(self)
        other, _ = dock_widget_of(self.dock)
        self._show_floating()
        if holder is None or window is None or other is None or holder.isFloating():
            return
        self.dock.reading.set(True)
        right = Qt.DockWidgetArea.RightDockWidgetArea
        window.addDockWidget(right, holder)
        room = window.width() // 2 - other.width()
        if room >= _LEAST:
            window.splitDockWidget(holder, other, Qt.Orientation.Horizontal)
            window.resizeDocks([holder, other], [room, other.width()], Qt.Orientation.Horizontal)
        else:
            window.tabifyDockWidget(other, holder)
            window.resizeDocks([holder], [window.width() // 2], Qt.Orientation.Horizontal)
        holder.show()
        holder.raise_()
        if self._before is not None:
            window.installEventFilter(self)
            if window.size() != self._before:
                window.resize(self._before)
            self._before = None

    def showEvent(self, event: Any) -> None:  # noqa: N802
        super().showEvent(event)
        self.dock.annotation.make_brief("comparison", True)

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        super().hideEvent(event)
        if not self.closed and not self.dock.closed:
            self.dock.annotation.make_brief("comparison", False)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        """The window changed its size: the picture keeps half of it, or what the user gave it if that is more."""
        if event.type() == QEvent.Type.Resize:
            QTimer.singleShot(0, self._keep_half)
        return bool(super().eventFilter(watched, event))

    def _keep_half(self) -> None:
        if self.closed:
            return
        holder, window = dock_widget_of(self)
        if holder is None or window is None or holder.isFloating() or not self.isVisible():
            return
        other, _ = dock_widget_of(self.dock)
        # Of docks that share a place Qt calls all visible.
        apart = other is not None and other.isVisible() and other not in window.tabifiedDockWidgets(holder)
        beside = other.width() if other is not None and apart else 0
        most = max(_NARROWEST, window.width() // 2 - beside)
        if holder.width() > most:
            window.resizeDocks([holder], [most], Qt.Orientation.Horizontal)


def workbench_of(viewer: ViewerModel) -> Workbench | None:
    """The workbench that is open in ``viewer``, if there is one."""
    return next((b for b in _benches if not b.closed and b.viewer is viewer), None)


def _ending(bench: Workbench, ended: list[bool]) -> Callable[[], None]:
    """What ends with the workbench; holds no reference to the widget, which is gone by then."""
    viewer, state, pair, maps = bench.viewer, bench.state, bench.pair, bench.maps
    refresh, unstyle, swap_key, dock = bench.contact.refresh, bench._unstyle, bench._swap_key, bench.dock

    def end() -> None:
        if ended:
            return
        ended.append(True)
        sources = viewer.dims.events.current_step, viewer.dims.events.order, viewer.dims.events.ndisplay
        for source in sources:
            with suppress(Exception):
                source.disconnect(refresh)
        for undo in (unstyle, partial(viewer.bind_key, swap_key, None)):
            with suppress(Exception):
                undo()
        with suppress(Exception):
            dock.annotation.make_brief("comparison", False)
        for part in (state, pair, maps):
            with suppress(Exception):  # with the window, the canvas is gone before the dock is
                part.close()

    return end
