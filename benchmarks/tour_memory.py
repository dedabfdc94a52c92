"""The booth's tour for as long as you like: memory of the process at the end of each round, and errors.

xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb python benchmarks/tour_memory.py --minutes 60
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from qtpy.QtTest import QTest

from napari_mrseg._qt.app import open_window
from napari_mrseg._qt.tour import Tour
from napari_mrseg.resources import sample_study
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import BRATS


def resident_mb() -> int:
    """What the process holds now."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--hold", type=float, default=5.0, help="seconds that a scene stays")
    args = parser.parse_args()
    session = Session()
    session.load_model(None)
    errors: list[str] = []
    session.failed.connect(errors.append)
    viewer, dock = open_window(session)
    dock.open([str(sample_study(BRATS))])
    tour = Tour(viewer, dock, hold_s=args.hold)
    tour.start()
    began, rounds = time.monotonic(), 0
    while time.monotonic() - began < 60 * args.minutes:
        QTest.qWait(200)
        if tour.rounds > rounds:
            rounds = tour.rounds
            print(
                f"{(time.monotonic() - began) / 60:.1f} min, round {rounds}: {resident_mb()} MB", flush=True
            )
    print(f"{rounds} rounds, {len(errors)} errors {errors[:3]}")
    viewer.close()
    session.close()


if __name__ == "__main__":
    main()
