"""Does memory grow? 200 toggles of remembered combinations, then 20 studies opened and closed, in the real window.

xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/memory_growth.py -o growth.json

Resident memory after each step. Predictions are kept within a budget that both parts fill early, so what rises
after that is a leak: the slope over the second half is reported, per toggle and per study.

With ``--folders`` real studies are opened one after the other instead, as the dock opens them, each painted in, until
``--studies`` were (the folders again and again); and the layers are counted:

xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb python benchmarks/memory_growth.py \\
    --model compact --studies 30 --folders ../shared/data/BraTS*
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from napari_mrseg._qt.app import open_window
from napari_mrseg._qt.timing import turn
from napari_mrseg.bench.response_time import finished, until
from napari_mrseg.bench.synthetic import Subject, random_model, renamed
from napari_mrseg.inference.allocator import release_freed_memory
from napari_mrseg.inference.cache import PredictionCache
from napari_mrseg.models.store import load_model
from napari_mrseg.session.state import Session

BUDGET = 600 * 10**6  # bytes; the 15 predictions of a whole brain at 1 mm take about 470 MB


def resident_mb() -> float:
    """Memory this process holds now, MB (Linux), without what it keeps free for the next run."""
    gc.collect()
    release_freed_memory()
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS"))


def growth(samples: list[float]) -> dict[str, Any]:
    """First, last and most of ``samples``, MB, and the slope over their second half, MB a step."""
    half = samples[len(samples) // 2 :]
    slope = float(np.polyfit(range(len(half)), half, 1)[0]) if len(half) > 1 else 0.0
    return {
        "mb": samples,
        "first_mb": samples[0],
        "last_mb": samples[-1],
        "most_mb": max(samples),
        "slope_mb": slope,
    }


def toggles(session: Session, dock: Any, count: int) -> dict[str, Any]:
    """Memory after each of ``count`` toggles between remembered combinations."""
    assert session.study is not None
    names = session.study.present
    samples = []
    for step in range(count):
        dock.toggle(names[(step // 2) % len(names)])
        until(lambda: finished(session), turn)
        turn(20)
        samples.append(resident_mb())
    return growth(samples)


def studies(session: Session, study: Any, count: int) -> dict[str, Any]:
    """Memory after each of ``count`` subjects was opened, segmented and closed."""
    samples = []
    for step in range(count):
        session.set_study(renamed(study, f"opened-{step}"))
        until(lambda: finished(session), turn)
        session.cancel()
        session.set_study(None)
        turn(300)
        samples.append(resident_mb())
    return growth(samples)


def opened(session: Session, dock: Any, folders: list[Path], count: int) -> dict[str, Any]:
    """Memory and layers after each of ``count`` studies was read, segmented, and painted in; nothing is saved."""
    samples, layers = [], []
    for step in range(count):
        folder = folders[step % len(folders)]
        dock.layers.given_up = list(dock.layers.unsaved())  # "Discard", without the question
        dock.open([folder])
        until(lambda: dock.case.text() == session.study.case if session.study else False, lambda: turn(20))
        until(lambda: finished(session) and dock.settled, lambda: turn(20))
        there = [layer for layer in dock.viewer.layers if layer is not dock.layers.reference]
        layers.append(len(there))
        copy = dock.layers.edit_copy()
        copy.paint(dock.layers.voxel_shown(), 3)
        until(lambda: dock.settled, lambda: turn(20))
        turn(500)
        samples.append(resident_mb())
        print(f"{step + 1:3d} {folder.name}: {samples[-1]:.0f} MB, {layers[-1]} layers", flush=True)
    dock.layers.given_up = list(dock.layers.unsaved())
    found = growth(samples)
    after, rest = samples[min(4, count - 1)], samples[5:] or samples[-1:]
    return {**found, "layers": layers, "after_fifth_mb": after, "most_after_it": max(rest) / after}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="name or folder; default: random weights of the compact size")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--toggles", type=int, default=200)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument(
        "--folders", nargs="+", type=Path, help="of real studies, to open one after the other"
    )
    parser.add_argument("--budget", type=int, default=BUDGET // 10**6, help="MB of predictions that are kept")
    parser.add_argument("--quick", action="store_true", help="a small scan, to try the command")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write JSON here")
    args = parser.parse_args()
    subject = Subject(shape=(40, 48, 48), brain=(30, 38, 30)) if args.quick else Subject()
    session = Session(device=args.device, cache=PredictionCache(args.budget * 10**6), sweep=not args.folders)
    with tempfile.TemporaryDirectory() as folder:
        session.set_model(
            load_model(args.model) if args.model else random_model(Path(folder) / "random", "compact")
        )
        viewer, dock = open_window(session)
        if args.folders:
            found = {"opened": opened(session, dock, args.folders, args.studies)}
        else:
            study = subject.open()
            session.set_study(study)
            number = len(study.task.combinations(study.present))
            until(lambda: len(session.predictions) == number, lambda: turn(50))
            found = {
                "toggles": toggles(session, dock, args.toggles),
                "studies": studies(session, study, args.studies),
            }
        viewer.close()
        session.close()
    for name, part in found.items():
        print(
            f"{name}: {part['first_mb']:.0f} MB after the first, {part['last_mb']:.0f} MB after {len(part['mb'])}, "
            f"most {part['most_mb']:.0f} MB, slope over the second half {part['slope_mb']:+.3f} MB each"
        )
        if "layers" in part:
            print(
                f"{part['after_fifth_mb']:.0f} MB after the fifth, at most {part['most_after_it']:.1%} of it later; "
                f"layers of each: {sorted(set(part['layers']))}"
            )
    if args.output:
        args.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
