"""From a cold start of the viewer on a folder to its overlay, step by step.

    xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb \\
        python benchmarks/cold_start.py ../shared/data/BraTS2021_01478 --runs 3

Each run is a process of its own, which does what ``mrseg view FOLDER`` does. As root, ``--drop`` empties the disk's
cache before each. Seconds since the process was started; the median of the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

STEPS = {
    "window": "the window is there, and can be used",
    "scans": "the scans are on screen",
    "first look": "first segmentation on screen",
    "final": "final segmentation on screen",
}
_PATIENCE = 300.0  # seconds


def child(folder: Path, began: float) -> dict[str, float]:
    """Open ``folder`` in a window; seconds after ``began`` (``time.time``) by step."""
    from qtpy.QtWidgets import QApplication

    from napari_mrseg._qt.app import open_window
    from napari_mrseg.session.state import Session

    reached: dict[str, float] = {}

    def wait(step: str, ready: Callable[[], bool]) -> None:
        while not ready():
            if time.time() - began > _PATIENCE:
                raise SystemExit(f"{STEPS[step]}: not within {_PATIENCE:.0f} s")
            QApplication.processEvents()
            time.sleep(0.005)
        reached[step] = time.time() - began

    session = Session(sweep=False)
    viewer, dock = open_window(session)
    QApplication.processEvents()
    wait("window", dock.isVisible)
    session.load_model(None)
    dock.open([folder])
    wait("scans", lambda: bool(dock.layers.images))
    wait("first look", lambda: dock.layers.prediction is not None and session.shown is not None)
    wait("final", lambda: session.shown is not None and not session.shown.preview and not session.stale)
    viewer.close()
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--drop", action="store_true", help="empty the disk's cache before each run (root)")
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        print(json.dumps(child(args.folder, args.child)), flush=True)
        os._exit(0)  # without napari's farewell, which is not measured
    found = []
    for _ in range(args.runs):
        if args.drop:
            os.sync()
            Path("/proc/sys/vm/drop_caches").write_text("3")
        command = [sys.executable, __file__, str(args.folder), "--child", str(time.time())]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    print("| step | s | each run |\n|---|--:|---|")
    for step, words in STEPS.items():
        times = [run[step] for run in found]
        print(f"| {words} | {statistics.median(times):.1f} | {', '.join(f'{t:.1f}' for t in times)} |")


if __name__ == "__main__":
    main()
