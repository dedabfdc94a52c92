"""Pictures of the points of docs/window.md, at three sizes; run it in an old commit too, and join the two.

    QT_QPA_PLATFORM=xcb python benchmarks/before_after.py take --data ../shared/data -o AFTER
    (the same with PYTHONPATH at a worktree of 53944a9, the last commit before this work) -o BEFORE
    python benchmarks/before_after.py join BEFORE AFTER -o docs/images/before-after

``take`` starts a process for each size, on a virtual screen of that size; 960x540 is 1920x1080 scaled twice. A scene
that a commit cannot play is left out, and its place in the joined picture says so. Scans: BraTS2021_01478 and _01484,
dicom-philips-t1, rgbd-kinect; name their sources.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

SIZES = {"1024x700": 1, "1366x768": 1, "960x540": 2}  # logical pixels, and how far the screen is scaled
WIDTH = 560  # pixels of a picture in the joined one
_PATIENCE = 120.0  # seconds
_ALT_KEYS = {"planes": "Key_Q", "outline": "Key_O", "edit": "Key_E"}


class Stage:
    """One window of one size, in whatever commit is imported."""

    def __init__(self, size: tuple[int, int], out: Path) -> None:
        from napari_mrseg._qt.app import open_window

        try:
            from napari_mrseg.session.state import Session
        except ImportError:
            from napari_mrseg.session import Session  # type: ignore[no-redef, attr-defined]
        self.size, self.out = size, out
        self.session = Session(sweep=False)
        self.session.load_model(None)
        self.viewer, self.dock = open_window(self.session)
        self.window = self.viewer.window._qt_window
        self.window.resize(*size)
        self.wait(800)

    def wait(self, milliseconds: int) -> None:
        from qtpy.QtTest import QTest

        QTest.qWait(milliseconds)

    def until(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            if time.monotonic() > end:
                raise TimeoutError
            self.wait(30)

    def final(self) -> None:
        session = self.session
        self.wait(300)

        def there() -> bool:
            shown = session.shown
            return shown is not None and not shown.preview and not session.stale and self.dock.settled

        self.until(there)
        self.wait(700)

    def open(self, *paths: Path) -> None:
        before = self.session.study
        self.dock.open([str(p) for p in paths])
        self.until(lambda: self.session.study is not None and self.session.study is not before)
        self.final()

    def key(self, name: str) -> None:
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(20, canvas.height() - 20))
        QTest.keyClick(canvas, getattr(Qt.Key, _ALT_KEYS[name]), Qt.KeyboardModifier.AltModifier)
        self.wait(1500)

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A distance, from one place of the canvas to another, as fractions of its width and height."""
        from qtpy.QtCore import QPoint, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        canvas = self.viewer.window._qt_viewer.canvas.native
        held, left = Qt.KeyboardModifier.ControlModifier, Qt.MouseButton.LeftButton
        first, last = (QPoint(round(x * canvas.width()), round(y * canvas.height())) for x, y in (start, end))
        QTest.mousePress(canvas, left, held, first)
        move = QMouseEvent(
            QMouseEvent.Type.MouseMove, QPointF(last), QPointF(canvas.mapToGlobal(last)), left, left, held
        )
        QApplication.sendEvent(canvas, move)
        QTest.mouseRelease(canvas, left, held, last)
        self.wait(400)

    def picture(self, name: str) -> None:
        """What is on the screen where the window was asked to be, so that what lies off it is missed."""
        self.wait(500)
        self._grab(name)

    def question(self, name: str, request: Callable[[], Any]) -> None:
        """What ``request`` asks, in a window of its own, as a picture of the screen; nothing is answered to it."""
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication

        asked: list[bool] = []

        def look() -> None:
            dialog: Any = QApplication.activeModalWidget()
            if dialog is not None:
                if not asked:
                    self._grab(name)
                asked.append(True)
                dialog.reject()

        timer = QTimer()
        timer.timeout.connect(look)
        timer.start(1500)
        request()
        self.wait(2500)
        timer.stop()
        if not asked:
            raise LookupError(f"nothing was asked for {name}")

    def _grab(self, name: str) -> None:
        path = self.out / f"{name}-{self.size[0]}x{self.size[1]}.png"
        self.window.screen().grabWindow(0, 0, 0, *self.size).save(str(path))
        print(path.name, flush=True)


def opened(stage: Stage, data: Path) -> None:
    stage.open(data / "BraTS2021_01478")
    stage.picture("opened")


def named(stage: Stage, data: Path) -> None:
    from qtpy.QtCore import QPoint
    from qtpy.QtTest import QTest

    canvas = stage.viewer.window._qt_viewer.canvas.native
    QTest.mouseMove(canvas, QPoint(canvas.width() * 6 // 10, canvas.height() // 2))
    stage.wait(600)
    stage.picture("named")


def next_study(stage: Stage, data: Path) -> None:
    """While another study is read."""
    stage.dock.open([str(data / "BraTS2021_01484")])
    stage.wait(250)
    stage.picture("opening")
    stage.until(lambda: stage.session.study is not None and "01484" in stage.session.study.case)
    stage.final()
    stage.open(data / "BraTS2021_01478")


def measured(stage: Stage, data: Path) -> None:
    panel = stage.dock.panel
    with suppress(AttributeError):  # a table came with this work
        panel.measure_button.setChecked(True)
        stage.until(lambda: stage.dock.measuring.table is not None and stage.dock.measuring.settled)
        stage.wait(800)
    stage.line((0.3, 0.35), (0.5, 0.65))
    stage.line((0.5, 0.36), (0.3, 0.65))
    stage.picture("measured")
    with suppress(AttributeError):
        panel.measure_button.setChecked(False)
    for layer in [layer for layer in stage.viewer.layers if "istance" in layer.name]:
        stage.viewer.layers.remove(layer)


def planes(stage: Stage, data: Path) -> None:
    stage.key("planes")
    stage.wait(2500)
    stage.picture("planes")
    stage.key("planes")


def edited(stage: Stage, data: Path) -> None:
    stage.dock.panel.edit_button.click()
    stage.wait(1000)
    stage.picture("edit")


def names(stage: Stage, data: Path) -> None:
    """Layers with long names in napari's list."""
    with suppress(AttributeError):  # where the list is folded away
        stage.dock.reading.set(False)
    stage.wait(800)
    stage.picture("names")


def menu(stage: Stage, data: Path) -> None:
    from qtpy.QtCore import QPoint

    button = stage.dock.panel.save_button
    shown = button.menu()
    place = button.mapToGlobal(QPoint(0, 0))
    shown.popup(QPoint(place.x() - 60, place.y() - shown.sizeHint().height()))
    stage.picture("menu")
    shown.close()


def asked(stage: Stage, data: Path) -> None:
    """A save that would replace, and quitting with work that is not saved."""
    from qtpy.QtWidgets import QFileDialog

    copy = stage.dock.layers.copy
    copy.brush_size = 25
    place = tuple(round(float(v)) for v in copy.world_to_data(stage.viewer.dims.point))
    copy.paint(place, 3)
    stage.wait(800)
    given = QFileDialog.getExistingDirectory
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        results.mkdir()
        QFileDialog.getExistingDirectory = lambda *_, **__: str(results)  # type: ignore[method-assign]
        try:
            stage.dock.saver.save_edited()
            stage.until(lambda: any(results.iterdir()) and stage.dock.settled)
            stage.question("replace", stage.dock.saver.save_edited)
        finally:
            QFileDialog.getExistingDirectory = given  # type: ignore[method-assign]
    copy.paint(tuple(n - 8 for n in place), 3)
    stage.wait(800)
    stage.question("quit", lambda: stage.window.close(quit_app=False, confirm_need=True))


def focused(stage: Stage, data: Path) -> None:
    """Some steps by Tab from the first button of the dock."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    QApplication.setActiveWindow(stage.window)  # no window manager does it on a virtual screen
    stage.dock.panel.folder_button.setFocus(Qt.FocusReason.TabFocusReason)
    for _ in range(5):
        stage.until(lambda: QApplication.focusWidget() is not None)
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        stage.wait(100)
    stage.picture("focus")


def attributed(stage: Stage, data: Path) -> None:
    """What a scan adds, over the segmentation; the comparison is there already."""
    from qtpy.QtWidgets import QCheckBox

    from napari_mrseg._qt.compare.workbench import workbench_of

    bench = workbench_of(stage.viewer)
    bench.tabs.setCurrentIndex(2)
    check = next(one for one in bench.maps_panel.findChildren(QCheckBox) if "Attribution" in one.text())
    check.click()
    stage.until(lambda: "attribution" in bench.maps.layers)
    stage.wait(1500)
    stage.picture("attribution")
    check.click()


def restarted(stage: Stage, data: Path) -> None:
    """A new window on the same study, after the outline was chosen in one that was closed."""
    from napari_mrseg._qt.app import open_window

    stage.key("outline")
    stage.dock.layers.given_up = (
        list(stage.dock.layers.unsaved()) if hasattr(stage.dock.layers, "given_up") else []
    )
    for layer in [layer for layer in stage.viewer.layers if "edited" in layer.name]:
        with suppress(Exception):
            stage.viewer.layers.remove(layer)
    session = type(stage.session)(sweep=False)
    session.load_model(None)
    stage.viewer.close()
    stage.session.close()
    stage.session = session
    stage.viewer, stage.dock = open_window(session)
    stage.window = stage.viewer.window._qt_window
    stage.window.resize(*stage.size)
    stage.open(data / "BraTS2021_01478")
    stage.picture("restart")


def compared(stage: Stage, data: Path) -> None:
    try:
        from napari_mrseg._qt.dock_windows import open_comparison
    except ImportError:
        from napari_mrseg._qt.windows import open_comparison  # type: ignore[no-redef]
    bench = open_comparison(stage.viewer)
    stage.session.sweep = True
    stage.session.run()
    stage.until(lambda: bench.state.comparison is not None and bench.state.comparison.complete)
    stage.final()
    stage.picture("compare")
    bench.tabs.setCurrentIndex(1)
    stage.wait(1500)
    stage.picture("contact")
    stage.session.sweep = False


def toured(stage: Stage, data: Path) -> None:
    from napari_mrseg._qt.tour import Tour

    stage.open(data / "BraTS2021_01478")
    booth = Tour(stage.viewer, stage.dock)
    booth.start()
    stage.wait(500)
    stage.window.showNormal()  # it fills the screen, which may be larger than the picture is to be
    stage.window.resize(*stage.size)
    stage.wait(6000)
    stage.picture("tour")
    booth.close()


def phantom(stage: Stage, data: Path) -> None:
    """A scan of a bottle, in a DICOM export."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(data / "dicom-philips-t1" / "Philips.zip") as archive:
            archive.extractall(folder)
        found = [
            p for p in Path(folder).rglob("*") if p.is_dir() and not any(q.is_dir() for q in p.iterdir())
        ]
        stage.open(next(p for p in sorted(found) if "T1" in str(p) or "201" in str(p)))
        stage.picture("phantom")


def wrong_folder(stage: Stage, data: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        below = Path(folder) / "patient" / "study"
        below.mkdir(parents=True)
        with zipfile.ZipFile(data / "dicom-philips-t1" / "Philips.zip") as archive:
            archive.extractall(below)
        stage.dock.open([folder])
        stage.until(lambda: bool(stage.dock.error.text()))
        stage.picture("wrong-folder")
        stage.dock.hush()


def scene(stage: Stage, data: Path) -> None:
    """A photograph with depth."""
    stage.viewer.close()
    stage.session.close()
    from napari_mrseg._qt.app import open_window

    kinect = data / "rgbd-kinect"
    task: Any
    try:
        from napari_mrseg.tasks import RGBD_SOD as task  # noqa: N811
    except ImportError:
        from napari_mrseg.tasks import get_task

        task = get_task("rgbd-sod")
    stage.session = type(stage.session)(task=task, sweep=False)
    stage.session.load_model(None)
    stage.viewer, stage.dock = open_window(stage.session)
    stage.window = stage.viewer.window._qt_window
    stage.window.resize(*stage.size)
    stage.open(*(Path(f"{role}={kinect / f'sample_{role}.png'}") for role in ("rgb", "depth")))
    stage.picture("scene")


SCENES: tuple[Callable[[Stage, Path], None], ...] = (
    opened, named, next_study, measured, planes, edited, menu, asked, focused, names, wrong_folder, compared,
    attributed, toured, phantom, restarted, scene,
)  # fmt: skip


def take(size: str, data: Path, out: Path, only: list[str]) -> None:
    width, height = map(int, size.split("x"))
    stage = Stage((width, height), out)
    for play in SCENES:
        if only and play.__name__ not in only:
            continue
        try:
            play(stage, data)
        except Exception:
            print(f"{play.__name__} at {size}:", file=sys.stderr)
            traceback.print_exc()
    os._exit(0)  # unsaved work would be asked about


def join(before: Path, after: Path, out: Path) -> None:
    """Before above, after below, a column for each size."""
    out.mkdir(parents=True, exist_ok=True)
    names = sorted({p.name.rsplit("-", 1)[0] for p in after.glob("*.png")})
    for name in names:
        shapes = {size: tuple(map(int, size.split("x"))) for size in SIZES}
        tallest = max(round(WIDTH * h / w) for w, h in shapes.values())
        sheet = Image.new("RGB", ((WIDTH + 8) * len(SIZES) - 8, 2 * tallest + 8), "#ffffff")
        for column, size in enumerate(SIZES):
            for row, folder in enumerate((before, after)):
                path = folder / f"{name}-{size}.png"
                place = column * (WIDTH + 8), row * (tallest + 8)
                if path.exists():
                    with Image.open(path) as image:
                        shrunk = image.convert("RGB")
                    shrunk.thumbnail((WIDTH, tallest), Image.Resampling.LANCZOS)
                    sheet.paste(shrunk, place)
                else:
                    ImageDraw.Draw(sheet).text((place[0] + 20, place[1] + 20), "not there", fill="#000000")
        sheet.save(out / f"{name}.webp", quality=70, method=6)
        print(f"{name}.webp: {(out / f'{name}.webp').stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    ways = parser.add_subparsers(dest="way", required=True)
    taking, joining = ways.add_parser("take"), ways.add_parser("join")
    taking.add_argument("--data", type=Path, required=True)
    taking.add_argument("--size", choices=list(SIZES))
    taking.add_argument("--only", nargs="*", default=[], help="names of scenes, in the order of SCENES")
    joining.add_argument("folders", type=Path, nargs=2)
    for way in (taking, joining):
        way.add_argument("-o", "--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.way == "join":
        join(*asked.folders, asked.out)
    elif asked.size:
        asked.out.mkdir(parents=True, exist_ok=True)
        take(asked.size, asked.data, asked.out, asked.only)
    else:
        for size, scale in SIZES.items():
            width, height = (scale * int(n) for n in size.split("x"))
            screen = ["xvfb-run", "-a", "-s", f"-screen 0 {width}x{height}x24"]
            again = [sys.executable, __file__, "take", "--data", str(asked.data), "--size", size]
            again += ["--only", *asked.only]
            with tempfile.TemporaryDirectory() as settings:  # what is remembered is of these pictures alone
                own = {"QT_SCALE_FACTOR": str(scale), "XDG_CONFIG_HOME": settings}
                subprocess.run([*screen, *again, "-o", str(asked.out)], check=True, env={**os.environ, **own})


if __name__ == "__main__":
    main()
