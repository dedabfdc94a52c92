"""From the command to its pictures: ``mrseg demo``, or ``mrseg view FOLDER``, from a cold start, step by step.

    xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb \\
        python benchmarks/cold_start.py [../shared/data/BraTS2021_01478] --runs 3

Each run is a process of its own. As root, ``--drop`` empties the disk's cache before each. Seconds since the process
was started, and those of them that its main thread, which makes the window, was computing; the median of the runs. On
a machine that others use too, compare the second ones.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STEPS = {
    "window": "the window is there, and can be used",
    "scan": "the first scan is on screen",
    "scans": "all scans are on screen",
    "first look": "first segmentation on screen",
    "final": "final segmentation on screen",
}
_PATIENCE = 300.0  # seconds


def child(folder: str, began: float) -> dict[str, tuple[float, float]]:
    """Do the command; seconds after ``began`` (``time.time``) and of the main thread, by step."""
    import napari

    reached: dict[str, tuple[float, float]] = {}

    def loop(*_: Any, **__: Any) -> None:
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication

        from napari_mrseg._qt.dock import _docks

        dock = next(iter(_docks))
        session, layers, app = dock.session, dock.layers, QApplication.instance()

        def look() -> None:
            shown, study = session.shown, session.study
            whole = study is not None and len(layers.images) == len(study.images) and not dock.updates.opening
            there = {
                "window": dock.isVisible(),
                "scan": bool(layers.images),
                "scans": whole,
                "first look": whole and shown is not None,
                "final": whole
                and shown is not None
                and not shown.preview
                and not session.stale
                and dock.settled,
            }
            for step, is_there in there.items():
                if is_there and step not in reached:
                    reached[step] = time.time() - began, time.thread_time()
            if "final" in reached or time.time() - began > _PATIENCE:
                app.quit()

        timer = QTimer()
        timer.timeout.connect(look)
        timer.start(10)
        app.exec()

    napari.run = loop
    from napari_mrseg import cli

    cli.main(["view", folder] if folder else ["demo"])
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default="", help="default: mrseg demo")
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
        folder = [args.folder] if args.folder else []
        command = [sys.executable, __file__, *folder, "--child", str(time.time())]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    print("| step | s | each run | of the main thread | each run |\n|---|--:|---|--:|---|")
    for step, words in STEPS.items():
        columns = []
        for column in (0, 1):
            times = [run[step][column] for run in found]
            columns.append(f"{statistics.median(times):.1f} | {', '.join(f'{t:.1f}' for t in times)}")
        print(f"| {words} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main()
