"""The pictures of docs/guide-*.md, docs/viewer.md and docs/window.md: what a user does, in the real window.

    xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb \\
        python benchmarks/window_pictures.py ../shared/data/BraTS2021_01478 -o docs/images/window \\
            [--sizes 1366x768 1600x1000] [--only edit keys ...]

The pictures of small windows: --sizes 960x540 1024x700 1366x768 --only panes panes-edit

Scans under CC BY 4.0 (BraTS): name their sources.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_mrseg._qt.app import open_window
from napari_mrseg._qt.dock_windows import open_comparison
from napari_mrseg._qt.tour import Tour as Booth
from napari_mrseg.session.state import Session

_PATIENCE = 300.0  # seconds
_LARGEST = 120_000  # bytes of a picture; a larger one gets fewer colours
_ALT = Qt.KeyboardModifier.AltModifier
_PANES = {"panes", "panes-edit"}
_COMPARISON = {"compare", "contact", "split"}


class Tour:
    """One window of one size, and what a user does in it."""

    def __init__(self, size: tuple[int, int], out: Path, only: list[str]) -> None:
        self.size, self.out, self.only = size, out, only
        self.session = Session(sweep=False)
        self.session.load_model(None)
        self.viewer, self.dock = open_window(self.session)
        self.viewer.window.resize(*size)
        QTest.qWait(600)

    def until(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            if time.monotonic() > end:
                raise SystemExit(f"{what} did not come within {_PATIENCE:.0f} s")
            QTest.qWait(30)

    def final(self) -> None:
        session = self.session

        def there() -> bool:
            shown = session.shown
            ready = shown is not None and not shown.preview and not session.stale
            return (ready or not session.combination) and self.dock.settled and session.running is None

        QTest.qWait(100)
        self.until(there, "the final result")

    def wants(self, *names: str) -> bool:
        """Whether any of these pictures is asked for."""
        return not self.only or bool(set(names) & set(self.only))

    def picture(self, name: str) -> None:
        if self.only and name not in self.only:
            return
        QTest.qWait(600)
        QApplication.processEvents()
        self._keep(name, self.viewer.window.screenshot(canvas_only=False, flash=False)[..., :3])

    def screen(self, name: str) -> None:
        """With the windows that lie above ours."""
        if self.only and name not in self.only:
            return
        QTest.qWait(600)
        window = self.viewer.window._qt_window
        taken = self.out / f"{name}.png"
        window.screen().grabWindow(0, 0, 0, *self.size).save(str(taken))
        with Image.open(taken) as image:
            found = np.asarray(image.convert("RGB"))
        taken.unlink()
        self._keep(name, found)

    def _keep(self, name: str, found: NDArray[np.uint8]) -> None:
        path = self.out / f"{name}-{self.size[0]}x{self.size[1]}.png"
        image = Image.fromarray(np.ascontiguousarray(found))
        image.save(path, optimize=True)
        if path.stat().st_size > _LARGEST:
            image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                path, optimize=True
            )
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)

    def click(self, widget: QWidget) -> None:
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=QPoint(10, widget.height() // 2))
        QTest.qWait(150)

    def key(self, key: Qt.Key) -> None:
        canvas = self.canvas
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(20, canvas.height() - 20))
        QTest.keyClick(canvas, key, _ALT)
        QTest.qWait(300)

    def drag(self, held: Qt.KeyboardModifier, start: tuple[float, float], end: tuple[float, float]) -> None:
        """From one place of the canvas, as fractions of its width and height, to another."""
        canvas = self.canvas
        points = [QPoint(round(x * canvas.width()), round(y * canvas.height())) for x, y in (start, end)]
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, held, points[0])
        left = Qt.MouseButton.LeftButton
        place = QPointF(points[1])
        move = QMouseEvent(
            QMouseEvent.Type.MouseMove, place, QPointF(canvas.mapToGlobal(points[1])), left, left, held
        )
        QApplication.sendEvent(canvas, move)
        QTest.mouseRelease(canvas, left, held, points[1])
        QTest.qWait(300)

    @property
    def canvas(self) -> QWidget:
        native: QWidget = self.viewer.window._qt_viewer.canvas.native
        return native

    def close(self) -> None:
        self.viewer.close()
        self.session.close()


def walk(tour: Tour, paths: list[str], broken: Path) -> None:
    dock, session = tour.dock, tour.session
    dock.open(paths)
    tour.until(lambda: session.study is not None, "the study")
    tour.final()
    tour.picture(
        "opened"
    )  # 5: head large, at the finding, words above it; 4: all in sight; 9: the slider says axial
    for names, act in ((_PANES, panes), ({"tour"}, booth), (_COMPARISON, compare)):
        if tour.only and set(tour.only) <= names:  # which need nothing of what comes before
            act(tour)
            return
    keys = dock.show_keys()
    tour.screen("keys")
    keys.close()
    inspect(tour)
    dock.jump()  # a click into one of four panes moved the others to the border
    dock.viewer.dims.roll()
    tour.picture("sagittal")
    dock.viewer.dims.roll()
    tour.picture("coronal")  # 6: upright
    dock.viewer.dims.roll()
    tour.click(dock.legend.labels[2])
    tour.picture("hidden")  # 8: the canvas says what is not drawn
    tour.click(dock.legend.labels[2])
    tour.click(dock.modalities.checks["t1ce"])
    tour.final()
    tour.picture("without")  # 4: the same rows at the same places
    tour.click(dock.modalities.checks["t1ce"])
    tour.final()
    tour.click(dock.panel.edit_button)
    copy = dock.layers.copy
    assert copy is not None
    place = dock.layers.voxel_shown()
    assert place is not None
    copy.brush_size = 25
    copy.n_edit_dimensions = 3
    copy.paint(place, 3)
    QTest.qWait(800)
    tour.until(lambda: dock.settled, "the measures")
    tour.key(Qt.Key.Key_O)
    tour.picture("edit")  # 1: named, measured and drawn as the copy
    tour.key(Qt.Key.Key_O)
    tour.click(dock.modalities.checks["flair"])
    tour.final()
    tour.picture("toggled")  # 1: the prediction again, everywhere; 7: FLAIR off, one image stands in
    for name in session.combination:
        tour.click(dock.modalities.checks[name])
    tour.final()
    tour.picture("off")  # 3: a state
    for check in dock.modalities.checks.values():
        tour.click(check)
    tour.final()
    dock.open([broken])
    tour.until(lambda: bool(dock.error.text()), "the refusal")
    tour.picture("refused")  # 8: said once, below; nothing is cut, nothing is offered that does not help
    dock.hush()
    tour.viewer.theme = "light"
    tour.picture("light")  # 0
    tour.viewer.theme = "dark"
    if tour.wants(*_COMPARISON):
        compare(tour)
    if tour.wants("tour"):
        booth(tour)


def booth(tour: Tour) -> None:
    """The tour that plays by itself, when it says what was found."""
    playing = Booth(tour.viewer, tour.dock)
    playing.start()
    window = tour.viewer.window._qt_window
    window.showNormal()  # it fills the screen, which may be larger than the picture is to be
    window.resize(*tour.size)
    tour.until(lambda: "Found: " in playing.caption.text(), "what the tour found")
    tour.picture("tour")
    playing.close()


def panes(tour: Tour) -> None:
    """Four panes in the reading layout: the lesions in their table, and the tools of an edit."""
    dock, window = tour.dock, tour.viewer.window._qt_window
    dock.reading.set(True)
    if not dock.three_planes.shown:
        tour.click(dock.panel.planes_button)
    window.resize(*tour.size)
    tour.click(dock.panel.measure_button)
    tour.until(lambda: dock.measuring.table is not None and dock.measuring.settled, "the lesions")
    QTest.qWait(1500)
    dock.fit.again()
    tour.picture("panes")
    tour.click(dock.panel.measure_button)
    tour.click(dock.panel.edit_button)
    tour.until(lambda: dock.settled, "the copy")
    tour.picture("panes-edit")


def compare(tour: Tour) -> None:
    """All combinations beside the picture."""
    dock, session = tour.dock, tour.session
    tour.key(Qt.Key.Key_M)  # 2: after a click into the canvas
    bench = open_comparison(tour.viewer)
    session.sweep = True
    session.run()
    tour.until(lambda: bench.state.comparison is not None and bench.state.comparison.complete, "the sweep")
    tour.final()
    tour.picture("compare")  # 5
    bench.tabs.setCurrentIndex(1)
    tour.picture("contact")
    bench.tabs.setCurrentIndex(0)
    dock.session.use(("t1",))
    tour.final()
    assert session.study is not None
    bench.hold_against(session.study.present)
    tour.click(bench.pair_panel.modes["split"])
    tour.until(lambda: bench.pair.shown is not None, "the split")
    tour.picture("split")  # 5


def inspect(tour: Tour) -> None:
    """What people expect of any viewer: one picture each."""
    dock, viewer = tour.dock, tour.viewer
    viewer.dims.set_point(0, 20.0)
    tour.key(Qt.Key.Key_J)
    tour.picture("jumped")
    tour.key(Qt.Key.Key_O)
    tour.picture("outlined")
    tour.key(Qt.Key.Key_O)
    QTest.mouseMove(tour.canvas, QPoint(tour.canvas.width() * 6 // 10, tour.canvas.height() // 2))
    QTest.qWait(800)
    tour.picture("named")  # the status bar says what lies under the pointer
    tour.drag(Qt.KeyboardModifier.ShiftModifier, (0.3, 0.4), (0.2, 0.55))
    tour.picture("windowed")
    for _ in range(3):
        tour.key(Qt.Key.Key_R)
    tour.click(dock.panel.measure_button)
    tour.until(lambda: dock.measuring.table is not None and dock.measuring.settled, "the lesions")
    dock.panel.lesions.region_chosen.emit("TC")
    tour.until(lambda: dock.measuring.table is not None and dock.measuring.settled, "the lesions")
    dock.panel.lesions.table.selectRow(0)
    control = Qt.KeyboardModifier.ControlModifier
    tour.drag(control, (0.2, 0.35), (0.38, 0.65))
    tour.drag(control, (0.38, 0.35), (0.2, 0.65))
    tour.picture("measured")
    dock.measuring.undo()
    dock.measuring.undo()
    tour.click(dock.panel.measure_button)
    below, above = dock.layers.images["flair"], dock.layers.images["t1ce"]
    tour.key(Qt.Key.Key_0)
    above.visible, above.colormap, above.opacity = True, "magma", 0.5
    viewer.layers.move(viewer.layers.index(above), viewer.layers.index(below) + 1)
    tour.picture("blended")
    above.visible, above.colormap, above.opacity = False, "gray", 1.0
    tour.key(Qt.Key.Key_0)
    tour.key(Qt.Key.Key_Q)
    QTest.qWait(2000)
    tour.picture("planes")
    tour.key(Qt.Key.Key_Q)
    QTest.qWait(1000)
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (0, -25, 60)
    tour.picture("volume")
    viewer.dims.ndisplay = 2


def torn(scan: Path, folder: Path) -> Path:
    """``scan`` in ``folder`` as a transfer that was cut off would leave it."""
    whole = scan.read_bytes()
    (folder / scan.name).write_bytes(whole[: len(whole) // 2])
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/images/window"))
    parser.add_argument("--sizes", nargs="*", default=["1366x768", "1600x1000"])
    parser.add_argument("--only", nargs="*", default=[])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for size in asked.sizes:
        width, height = map(int, size.split("x"))
        tour = Tour((width, height), asked.out, asked.only)
        with tempfile.TemporaryDirectory() as folder:
            walk(tour, asked.paths, torn(next(Path(asked.paths[0]).glob("*flair*")), Path(folder)))
        tour.close()


if __name__ == "__main__":
    main()
