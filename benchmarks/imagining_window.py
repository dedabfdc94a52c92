"""How long an imagined scan takes in the window, from the click to its picture and to the comparison with the real one.

    xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb \\
        python benchmarks/imagining_window.py ../shared/data/BraTS2021_01478

FLAIR and T2 are in use; T1ce is imagined first, then T1, both of which are there and switched off. Seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from napari_mrseg._qt.app import open_window
from napari_mrseg._qt.garbage import modules_kept
from napari_mrseg._qt.timing import turn
from napari_mrseg.session.state import Session

USED, IMAGINED = ("flair", "t2"), ("t1ce", "t1")
_QUIET = 4000  # ms before the first click: the network is loaded ahead
_PATIENCE = 120.0  # seconds


def seconds_until(ready: Callable[[], bool]) -> float:
    began = time.perf_counter()
    while not ready():
        if time.perf_counter() - began > _PATIENCE:
            raise SystemExit("It did not come; see the window.")
        turn(5)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a subject with four modalities")
    args = parser.parse_args()
    session = Session(device="cpu", sweep=False)
    with modules_kept(session.model_changed):  # as mrseg view does
        measure(session, args.folder)


def measure(session: Session, folder: Path) -> None:
    """Print the seconds of each imagined modality."""
    session.load_model(None)
    viewer, dock = open_window(session)
    dock.open([folder])
    seconds_until(lambda: session.shown is not None and not session.stale and dock.settled)
    session.use(USED)
    seconds_until(lambda: session.shown is not None and session.shown.combination == USED and dock.settled)
    turn(_QUIET)
    view = dock.imagining
    frames: dict[str, float] = {}  # when each was first seen

    def swapped() -> None:
        """Note the imagined modality whose voxels this frame shows."""
        pictures = view.core.shown
        if view.layer is not None and pictures is not None and view.layer.data is pictures.middle:
            frames.setdefault(pictures.imagined.target, time.perf_counter())

    viewer.window._qt_viewer.canvas.native.frameSwapped.connect(swapped)
    for target in IMAGINED:
        began = time.perf_counter()
        view.choose(target)
        frames.clear()
        seconds_until(lambda t=target: t in frames)
        seconds_until(lambda: not view.core.busy)
        first, compared = frames[target] - began, time.perf_counter() - began
        print(f"{target}: first picture after {first:.2f} s, compared after {compared:.2f} s")
    viewer.close()
    session.close()


if __name__ == "__main__":
    main()
