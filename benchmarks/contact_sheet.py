"""How long the window is held up while the contact sheet follows a hundred steps of the slice slider.

    xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb \\
        python benchmarks/contact_sheet.py ../shared/data/BraTS-GLI-00000-000 [--model FOLDER]

Timed at each step: the frame, which is the longest turn of the window's event loop (napari's own redraw of the
picture included); the sheet's own part of the window's thread (asking for a picture, taking it over, painting it);
and how long the sheet is behind the slider. The same steps are timed with the sheet's tab closed, so that
napari's own share can be seen, and as the thread's processor time, which other programs do not lengthen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_mrseg._qt.app import open_window
from napari_mrseg._qt.compare.contact_view import Contact, SheetView
from napari_mrseg._qt.compare.workbench import Workbench
from napari_mrseg._qt.dock_windows import open_comparison
from napari_mrseg.inference.cache import PredictionCache
from napari_mrseg.session.state import Session

_STEPS = 100
_FRAME = 50.0  # ms


class Own:
    """Wall time that the sheet's own methods take on the window's thread."""

    def __init__(self) -> None:
        self.ms, self._depth = 0.0, 0
        for owner, name in ((Contact, "refresh"), (Contact, "_show"), (SheetView, "paintEvent")):
            setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, method: Callable[..., None]) -> Callable[..., None]:
        def timed(widget: Any, *given: Any) -> None:
            start, self._depth = time.perf_counter(), self._depth + 1
            try:
                method(widget, *given)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.ms += 1000 * (time.perf_counter() - start)

        return timed


def steps(bench: Workbench, axis: int, own: Own) -> dict[str, list[float]]:
    """ms of each step, by what is timed."""
    dims, study = bench.viewer.dims, bench.session.study
    assert study is not None
    spacing, n = study.grid.spacing[axis], study.grid.shape[axis]
    found: dict[str, list[float]] = {
        "frame": [],
        "frame, processor time": [],
        "sheet's own": [],
        "sheet behind": [],
    }
    for number in range(_STEPS):
        index = n // 6 + number * (2 * n // 3) // _STEPS
        own.ms, used = 0.0, time.thread_time()
        start = time.perf_counter()
        dims.set_point(axis, index * spacing)
        longest = time.perf_counter() - start
        while True:
            turn = time.perf_counter()
            QApplication.processEvents()
            now = time.perf_counter()
            longest = max(longest, now - turn)
            made = bench.contact.view.made
            there = made is not None and (made.wanted.axis, made.wanted.index) == (axis, index)
            if (not bench.contact.isVisible() and now - start > 0.05) or there or now - start > 2:
                break
            time.sleep(0.001)
        found["frame"].append(1000 * longest)
        found["frame, processor time"].append(1000 * (time.thread_time() - used))
        found["sheet's own"].append(own.ms)
        found["sheet behind"].append(1000 * (time.perf_counter() - start))
    return found


def said(values: list[float]) -> dict[str, float]:
    median, p95 = np.percentile(values, (50, 95))
    over = sum(v > _FRAME for v in values)
    return {
        "median": round(median, 1),
        "p95": round(p95, 1),
        "max": round(max(values), 1),
        "over_50_ms": over,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--model", default=None)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--cache", type=Path, default=None, help="keep results in this folder for the next run"
    )
    asked = parser.parse_args()
    own = Own()
    session = Session(device=asked.device, cache=PredictionCache(folder=asked.cache))
    session.load_model(asked.model)
    viewer, dock = open_window(session)
    bench = open_comparison(viewer)
    dock.open(asked.paths)
    while bench.state.comparison is None or not bench.state.comparison.complete:
        QTest.qWait(100)
    QTest.qWait(1500)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, axis in (("axial", 0), ("sagittal", 2)):
        viewer.dims.order = (axis, *(a for a in range(3) if a != axis))
        bench.tabs.setCurrentWidget(bench.contact)
        QTest.qWait(1500)  # the sheet of this plane is made once
        with_sheet = steps(bench, axis, own)
        bench.tabs.setCurrentIndex(0)
        QTest.qWait(300)
        without = steps(bench, axis, own)
        found[name] = {what: said(values) for what, values in with_sheet.items()}
        for what in ("frame", "frame, processor time"):
            found[name][f"{what}, without the sheet"] = said(without[what])
    print(json.dumps(found, indent=2))
    viewer.close()
    session.close()


if __name__ == "__main__":
    main()
