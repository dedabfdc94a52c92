"""A tour of the comparison workbench in the real window, by mouse and keys; makes the pictures of docs/compare.md.

    xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb \\
        python benchmarks/compare_tour.py ../shared/data/BraTS-GLI-00000-000 -o docs/images [--model FOLDER]

The pictures of a study with two of four modalities: give ``flair=FILE t2=FILE`` and ``--prefix compare-two- --only
matrix``. Scans under CC BY 4.0 (BraTS): name their sources beside the pictures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_mrseg._qt.app import open_window
from napari_mrseg._qt.compare.workbench import Workbench
from napari_mrseg._qt.dock_windows import open_comparison
from napari_mrseg.inference.cache import PredictionCache
from napari_mrseg.session.state import Session

_PATIENCE = 1800.0  # seconds for a sweep
_SIZE = 1600, 1000  # of the window, pixels
_ASIDE = 10.0  # mm that the picture is moved, so that the words on the canvas do not lie over it
_LARGEST = 300_000  # bytes of a picture; a larger one gets fewer colours


class Tour:
    """What a user does, one step after the other."""

    def __init__(self, session: Session, out: Path, prefix: str, only: list[str]) -> None:
        self.out, self.prefix, self.only = out, prefix, only
        self.viewer, self.dock = open_window(session)
        self.viewer.window.resize(*_SIZE)
        self.bench: Workbench = open_comparison(self.viewer)
        out.mkdir(parents=True, exist_ok=True)

    def until(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            if time.monotonic() > end:
                raise SystemExit(f"{what} did not come within {_PATIENCE:.0f} s")
            if self.dock.session.error:
                raise SystemExit(self.dock.session.error)
            QTest.qWait(50)

    def picture(self, name: str) -> None:
        if self.only and name not in self.only:
            return
        QTest.qWait(700)
        QApplication.processEvents()
        found = self.viewer.window.screenshot(canvas_only=False, flash=False)[..., :3]
        image = Image.fromarray(np.ascontiguousarray(found))
        path = self.out / f"{self.prefix}{name}.png"
        image.save(path, optimize=True)
        if path.stat().st_size > _LARGEST:
            few = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            few.save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")

    def click(self, widget: object, at: QPoint | None = None, control: bool = False) -> None:
        modifier = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
        where = QPoint() if at is None else at
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, modifier, where)
        QTest.qWait(150)

    def sort(self, key: str) -> None:
        model, header = self.bench.matrix.model, self.bench.matrix.table.horizontalHeader()
        section = model.first + [c.key for c in model.columns].index(key)
        self.click(header.viewport(), QPoint(header.sectionViewportPosition(section) + 12, 12))

    def row(self, combination: tuple[str, ...], control: bool = False) -> None:
        table, model = self.bench.matrix.table, self.bench.matrix.model
        index = model.index(model.rows.index(combination), 2)
        table.scrollTo(index)
        self.click(table.viewport(), table.visualRect(index).center(), control)

    def tab(self, title: str) -> None:
        bar = self.bench.tabs.tabBar()
        place = next(i for i in range(bar.count()) if bar.tabText(i).replace("&", "") == title)
        self.click(bar, bar.tabRect(place).center())


def walk(tour: Tour, paths: list[str]) -> None:
    bench, session = tour.bench, tour.dock.session
    tour.dock.open(paths)
    tour.until(lambda: session.study is not None and session.shown is not None, "the first picture")
    tour.until(lambda: bench.state.comparison is not None, "the table")
    tour.until(lambda: len(session.predictions) >= 7 or _complete(bench), "half of the sweep")
    shown = tour.dock.layers
    tour.until(lambda: shown.prediction is not None and bool(shown.prediction.data.any()), "the overlay")
    camera = tour.viewer.scene.camera
    camera.zoom *= 1.45
    camera.center = (*camera.center[:-1], camera.center[-1] - _ASIDE)
    tour.dock.jump()
    tour.picture("filling")
    tour.until(lambda: _complete(bench), "the sweep")
    assert session.study is not None
    everything = session.study.present
    first = everything[:1]
    reference = session.study.reference is not None
    region = session.task.regions[-1].name
    sizes = session.predictions[everything].sizes
    inner = [r.name for r in session.task.regions if sizes[r.name] > 1] or [region]
    tour.sort(f"dice.{region}" if reference else f"size.{region}")
    tour.until(lambda: not session.stale, "the result on screen")
    tour.dock.jump()
    tour.picture("matrix")
    tour.row(first)
    tour.row(everything, control=True)
    tour.click(bench.pair_panel.modes["difference"])
    tour.until(lambda: bench.pair.layer is not None, "the difference")
    tour.picture("difference")
    tour.click(bench.pair_panel.modes["split"])
    tour.until(lambda: bench.pair.shown is not None and bench.pair.shown.mode == "split", "the split view")
    place = bench.dock.layers.voxel_shown()
    if place is not None:  # through the middle of the finding
        bench.pair_panel.slider.setValue(round(1000 * place[-1] / (session.study.grid.shape[-1] - 1)))
    tour.picture("split")
    tour.click(bench.pair_panel.modes["off"])
    tour.tab("Contact sheet")
    tour.until(lambda: bench.contact.view.made is not None, "the contact sheet")
    tour.picture("contact")
    tour.row(everything) if bench.matrix.isVisible() else bench.use(everything)
    tour.tab("Agreement and attribution")
    tour.click(bench.maps_panel.checks["agreement"], QPoint(8, 8))
    tour.until(lambda: "agreement" in bench.maps.layers, "the agreement")
    tour.dock.look.visible = False
    tour.picture("agreement")
    tour.click(bench.maps_panel.checks["agreement"], QPoint(8, 8))
    bench.maps_panel.region.setCurrentText(inner[-1])
    bench.maps_panel.modality.setCurrentIndex(max(0, bench.maps_panel.modality.findText("T1ce")))
    tour.click(bench.maps_panel.checks["attribution"], QPoint(8, 8))
    tour.until(lambda: "attribution" in bench.maps.layers, "the attribution")
    tour.picture("attribution")
    tour.click(bench.maps_panel.checks["attribution"], QPoint(8, 8))
    tour.dock.look.visible = True


def second_model(tour: Tour, folder: Path) -> None:
    """Another model beside the first: its columns, and where both differ in every combination."""
    bench = tour.bench
    bench.choices.show_second(str(folder))
    bench.choices.second_changed.emit(str(folder))

    def there() -> bool:
        comparison = bench.state.comparison
        second = None if comparison is None else comparison.second
        return (
            second is not None
            and comparison is not None
            and len(second.predictions) == len(comparison.expected)
        )

    tour.until(there, "the second model")
    tour.tab("Contact sheet")
    by = bench.contact.by
    by.setCurrentIndex(2)
    by.activated.emit(2)
    tour.until(
        lambda: bench.contact.view.made is not None and bench.contact.view.made.wanted.by == by.itemData(2),
        "the differences",
    )
    tour.picture("contact")


def tables(tour: Tour, folder: Path) -> None:
    """The table as the window exports it, HD95 included, for same_numbers.py."""
    bench = tour.bench
    folder.mkdir(parents=True, exist_ok=True)
    tour.tab("Matrix")
    if bench.choices.kinds["hd95"].isEnabled():
        tour.click(bench.choices.kinds["hd95"], QPoint(8, 8))
        tour.until(lambda: _measured(bench), "HD95")
    done: list[str] = []
    bench.exports.done.connect(done.append)
    bench.exports.failed.connect(done.append)
    for name in ("table.json", "table.csv"):
        wanted = len(done) + 1
        bench.exports.table(folder / name)
        tour.until(lambda wanted=wanted: len(done) == wanted, name)  # type: ignore[misc]
        print(done[-1])


def report(tour: Tour, folder: Path) -> None:
    done: list[str] = []
    tour.bench.exports.done.connect(done.append)
    tour.bench.exports.failed.connect(done.append)
    start = time.monotonic()
    tour.bench.exports.report(folder, overwrite=True)
    tour.until(lambda: bool(done), "the report")
    print(f"{done[0]} {time.monotonic() - start:.1f} s")


def _complete(bench: Workbench) -> bool:
    return bench.state.comparison is not None and bench.state.comparison.complete


def _measured(bench: Workbench) -> bool:
    comparison = bench.state.comparison
    return comparison is not None and all(comparison.is_measured(c) for c in comparison.predictions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--model", default=None)
    parser.add_argument(
        "--second", type=Path, default=None, help="only the pictures of this second model's folder"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--cache", type=Path, default=None, help="keep results in this folder for the next run"
    )
    parser.add_argument("--report", type=Path, default=None, help="also write the report into this folder")
    parser.add_argument("--tables", type=Path, default=None, help="also export the table into this folder")
    parser.add_argument("--prefix", default="compare-", help="what the pictures' names begin with")
    parser.add_argument("--only", nargs="*", default=[], help="keep these pictures only, e.g. matrix")
    asked = parser.parse_args()
    session = Session(device=asked.device, cache=PredictionCache(folder=asked.cache))
    session.load_model(asked.model)
    tour = Tour(session, asked.out, asked.prefix, asked.only)
    if asked.second is not None:
        tour.dock.open(asked.paths)
        tour.until(lambda: _complete(tour.bench), "the sweep")
        second_model(tour, asked.second)
        tour.viewer.close()
        session.close()
        return
    walk(tour, asked.paths)
    if asked.tables is not None:
        tables(tour, asked.tables)
    if asked.report is not None:
        report(tour, asked.report)
    tour.viewer.close()
    session.close()


if __name__ == "__main__":
    main()
