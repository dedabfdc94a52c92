"""A cohort against a loop of ``mrseg predict``; killed three times; and what it would cost on more workers.

    python benchmarks/cohort_cost.py -o runs/cohort-cost [--studies 200] [--loop 20]

Draws studies (four modalities, 96 x 112 x 96 voxels of 1 mm, a ball in a head), eight of which cannot be read, each in
another way. Prints studies a minute with one and two workers, beside a loop of the command; memory of the workers over
time; whether the table is the same after three kills (-9) at random moments; and a simulation of 1 000 studies on up to
64 workers with the measured time of a study, of its hand-over, of the start and of the report.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from statistics import mean, median

import nibabel as nib
import numpy as np

NAMES = ("flair", "t1", "t1ce", "t2")
SHAPE = (96, 112, 96)
BAD = 8


def draw(folder: Path, count: int) -> None:
    """``count`` studies; the last :data:`BAD` are spoilt."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    head = sum(a**2 for a in axes) < 0.85
    for k in range(count):
        own = folder / f"study-{k:04d}"
        if own.is_dir():
            continue
        own.mkdir(parents=True)
        rng = np.random.default_rng(k)
        centre, size = rng.uniform(-0.4, 0.4, 3), rng.uniform(0.02, 0.15)
        ball = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) < size
        for number, name in enumerate(NAMES):
            tissue = 300 + 40 * number + 25 * rng.standard_normal(SHAPE)
            data = ((tissue + (250 if name in ("flair", "t2") else -60) * ball) * head).astype(np.int16)
            nib.save(nib.Nifti1Image(data, np.diag([1.0, 1, 1, 1])), own / f"{own.name}_{name}.nii.gz")
        spoil(own, k - (count - BAD))


def spoil(folder: Path, how: int) -> None:
    files = sorted(folder.iterdir())
    if how == 0:
        files[0].write_bytes(files[0].read_bytes()[:1000])
    elif how == 1:
        files[0].write_bytes(b"not an image")
    elif how == 2:
        shutil.copy(files[0], folder / f"{folder.name}_copy_flair.nii.gz")
    elif how == 3:
        for number, path in enumerate(files):
            path.rename(folder / f"scan{number}.nii.gz")
    elif how == 4:
        for path in files:
            path.write_bytes(b"")
    elif how == 5:
        nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4)), files[0])
    elif how == 6:
        nib.save(nib.Nifti1Image(np.full((4, 4), 5, np.int16), np.eye(4)), files[0])
    elif how == 7:
        image = nib.Nifti1Image(np.ones(SHAPE, np.float32), np.eye(4))
        image.header["vox_offset"] = 1e9
        files[0].write_bytes(image.to_bytes()[:400])


def command(data: Path, out: Path, workers: int) -> list[str]:
    asked = ["cohort", str(data), "-o", str(out), "--workers", str(workers), "--threads", "1"]
    return [sys.executable, "-m", "napari_mrseg.cli", *asked, "--use", ",".join(NAMES), "--use", "flair"]


def processes(root: int) -> list[int]:
    """The process and all below it."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines()[1:]:
        pid, parent = map(int, line.split())
        children.setdefault(parent, []).append(pid)
    found, waiting = [], [root]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += children.get(one, [])
    return found


def memory_mb(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError):
            continue
    return total / 1e6


def watched(arguments: list[str]) -> tuple[float, list[float]]:
    """Seconds, and megabytes of all processes together, every two seconds."""
    began, samples = time.monotonic(), []
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        samples.append(memory_mb(processes(process.pid)))
        time.sleep(2)
    return time.monotonic() - began, samples


def tables(out: Path) -> str:
    content = (out / "cohort.csv").read_bytes() + (out / "cohort.parquet").read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def simulated(count: int, workers: int, study: float, hand_over: float, start: float) -> float:
    """Seconds of ``count`` studies: one scheduler hands them over one by one, each worker has one at a time."""
    free = [start] * workers
    heapq.heapify(free)
    given = start
    for _ in range(count):
        worker = heapq.heappop(free)
        given = max(given, worker) + hand_over
        heapq.heappush(free, given + study)
    return max(free)


def nothing(listed: dict[str, object], order: dict[str, object], out: str) -> str:
    return "done"


def measured_cluster(count: int = 500) -> tuple[float, float]:
    """Seconds until a cluster of two takes work, and those that handing one study over takes."""
    from distributed import as_completed

    from napari_mrseg.cohort.run import _cluster
    from napari_mrseg.cohort.work import Order

    began = time.monotonic()
    with _cluster(Order("", "", "brats"), 2, None, None) as client:
        client.submit(nothing, {}, {}, "", key="first").result()
        start = time.monotonic() - began
        began = time.monotonic()
        asked = [client.submit(nothing, {"name": k}, {}, "", key=f"n{k}") for k in range(count)]
        for _ in as_completed(asked):
            pass
        return start, (time.monotonic() - began) / count


def measured_report(data: Path, out: Path) -> float:
    """Seconds of joining what the studies left into tables and report."""
    from napari_mrseg.cohort.cohort_report import write_report
    from napari_mrseg.cohort.find import find_studies
    from napari_mrseg.cohort.summary import gather, write_facts, write_tables
    from napari_mrseg.tasks import BRATS

    studies = find_studies(data, BRATS)
    began = time.monotonic()
    found = gather(studies, out, BRATS)
    write_tables(found, out)
    write_facts(found, out)
    write_report(found, out, model="", date="")
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--loop", type=int, default=20)
    parser.add_argument("--kills", type=int, default=3)
    args = parser.parse_args()
    data = args.out / "data"
    draw(data, args.studies)
    found: dict[str, object] = {"studies": args.studies, "bad": BAD}
    for workers in (1, 2):
        out = args.out / f"workers-{workers}"
        shutil.rmtree(out, ignore_errors=True)
        seconds, samples = watched(command(data, out, workers))
        third = max(1, len(samples) // 3)
        found[f"workers_{workers}"] = {
            "seconds": round(seconds, 1),
            "per_minute": round(60 * args.studies / seconds, 1),
            "most_mb": round(max(samples)),
            "middle_third_mb": round(median(samples[third : 2 * third])),
            "last_third_mb": round(median(samples[2 * third :])),
            "table": tables(out),
        }
        print(json.dumps(found, indent=1), flush=True)
    began = time.monotonic()
    for k in range(args.loop):
        out = args.out / "loop" / str(k)
        shutil.rmtree(out, ignore_errors=True)
        asked = ["predict", str(data / f"study-{k:04d}"), "-o", str(out), "--use", ",".join(NAMES)]
        subprocess.run(
            [sys.executable, "-m", "napari_mrseg.cli", *asked],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    found["loop_per_minute"] = round(60 * args.loop / (time.monotonic() - began), 1)
    out = args.out / "killed"
    shutil.rmtree(out, ignore_errors=True)
    whole = found["workers_2"]["seconds"]  # type: ignore[index]
    draws, record = random.Random(1), []
    for _ in range(args.kills):
        process = subprocess.Popen(
            command(data, out, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(draws.uniform(0.15, 0.35) * whole)
        below = processes(process.pid)
        victim = draws.choice(below[1:]) if draws.random() < 0.5 and len(below) > 1 else process.pid
        os.kill(victim, signal.SIGKILL)
        record.append("the command" if victim == process.pid else "one of its processes")
        time.sleep(5)  # then all the rest
        for pid in processes(process.pid):
            kill(pid)
        process.wait()
    subprocess.run(command(data, out, 2), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found["killed"] = {"what": record, "same_table": tables(out) == found["workers_2"]["table"]}  # type: ignore[index]
    each = [
        json.loads(path.read_text())["seconds"]
        for path in (args.out / "workers-1" / "studies").glob("*/study.json")
        if "seconds" in path.read_text()
    ]
    found["network_seconds_a_study"] = round(mean(each), 3)
    start, hand_over = measured_cluster()
    report = measured_report(data, out) / args.studies
    per_study = (found["workers_1"]["seconds"] - start) / args.studies  # type: ignore[index]
    found["start_s"], found["hand_over_s"] = round(start, 2), round(hand_over, 5)
    found["study_s"], found["report_s_a_study"] = round(per_study, 3), round(report, 4)
    found["simulated_1000"] = {
        workers: round(simulated(1000, workers, per_study, hand_over, start) + 1000 * report, 1)
        for workers in (1, 2, 4, 8, 16, 32, 64)
    }
    (args.out / "found.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
