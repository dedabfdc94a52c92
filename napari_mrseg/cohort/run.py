"""A cohort on Dask: a cluster on this machine, or one that is running. What is done stays done."""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_mrseg.cohort.find import Listed
from napari_mrseg.cohort.work import (
    DONE,
    FAILED,
    STUDIES,
    UNREADABLE,
    Order,
    discard,
    folder_of,
    put_failure,
    settled,
    state_of,
    unfinished,
    work,
)
from napari_mrseg.compare.figures import write_bytes
from napari_mrseg.errors import Cancelled, InputError
from napari_mrseg.io.lock import acquire, release
from napari_mrseg.tasks import get_task

PLAN = "cohort.json"
RUNS, LOCK = ".runs", ".lock"  # in the folder: who is at work there
MOST_NAMED = 8  # studies that a sentence names
LEAST_MEMORY = 4 * 2**30  # bytes that a worker should have for a study of 240 x 240 x 155
Report = Callable[[int, int, str], None]
"""Studies done so far, all of them, and the name of the last one."""


def run_cohort(
    studies: Sequence[Listed],
    order: Order,
    out: str | Path,
    *,
    workers: int | None = None,
    memory: str | None = None,
    scheduler: str | None = None,
    report: Report = lambda *_: None,
    notice: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Do what is not done yet of ``studies``, or was done from other files; returns how many are in each state.

    ``workers``, ``memory`` (such as "6GiB", of each): of the cluster on this machine; ``scheduler``: the address of one
    that is running, whose workers see ``out`` and the scans under the same paths. Any part may be killed at any time:
    run it again, and it goes on. ``notice``: told which studies are done again, in a sentence. Raises InputError if
    ``out`` holds a cohort of other settings, if another run is making one of these studies there from other files, or
    if no scheduler answers; Cancelled on Ctrl-C, after which what is done stays.
    """
    out = Path(out)
    task = get_task(order.task)
    with _claimed(out, order, studies) as others:
        todo = [one for one in studies if settled(out, one, task) is None]
        _clear(out, todo, others, notice)
        done = len(studies) - len(todo)
        report(done, len(studies), "")
        if todo:
            with _cluster(order, workers, memory, scheduler) as client:
                _give_out(
                    client, todo, order, out, lambda number, name: report(done + number, len(studies), name)
                )
    states = [(settled(out, one, task) or {"status": FAILED})["status"] for one in studies]
    return {state: states.count(state) for state in (DONE, UNREADABLE, FAILED)}


def _clear(out: Path, todo: Sequence[Listed], others: frozenset[str], notice: Callable[[str], None]) -> None:
    """Take away what is there of ``todo``: results of other files, failures, and what a killed run left half made.

    ``others``: names that another run is at work on, whose folders stay.
    """
    own = {one.name for one in todo} - others
    for left in (out / STUDIES).glob(".*"):
        if unfinished(left) in own:
            shutil.rmtree(left, ignore_errors=True)
    again = []
    for one in todo:
        known = state_of(out, one.name)
        if known is not None and known.get("status") != FAILED:
            again.append(one.name)
        if known is not None or one.name in own:
            discard(folder_of(out, one.name))
    if again:
        more = f" and {len(again) - MOST_NAMED} more" if len(again) > MOST_NAMED else ""
        notice(
            f"Done again, since the files are not those that the result in {out.name} was made from: "
            f"{', '.join(again[:MOST_NAMED])}{more}."
        )


def _give_out(
    client: Any, todo: Sequence[Listed], order: Order, out: Path, report: Callable[[int, str], None]
) -> None:
    from distributed import as_completed

    record = asdict(order)
    futures = {
        client.submit(work, asdict(one), record, str(out.resolve()), key=f"mrseg-{one.name}", pure=False): one
        for one in todo
    }
    try:
        for number, future in enumerate(as_completed(list(futures)), start=1):
            one = futures[future]
            if future.status == "error":
                put_failure(one, out, _reason(future.exception()))
            elif future.status != "finished":
                put_failure(one, out, "The cluster gave it up; run the same again.")
            future.release()
            report(number, one.name)
    except KeyboardInterrupt:
        client.cancel(list(futures))
        raise Cancelled(
            "Cancelled; what is done stays, run the same again and it goes on where it stopped."
        ) from None


def _reason(error: BaseException | None) -> str:
    if type(error).__name__ == "KilledWorker":
        return "The worker was killed several times over it, most likely for want of memory; give each more."
    return f"{type(error).__name__}: {error}"


@contextmanager
def _claimed(out: Path, order: Order, studies: Sequence[Listed]) -> Iterator[frozenset[str]]:
    """Hold these studies of ``out`` for this run; gives the names that other runs hold too.

    As in a job array, several runs may share the folder, each with its studies. Raises InputError if the folder is no
    cohort's or one of other settings, or if a run that goes on makes one of these studies from other files.
    """
    record = {"order": order.record()}
    there = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []
    if there and PLAN not in there:
        raise InputError(f"{out.name} is not empty and holds no cohort; use another folder.")
    out.mkdir(parents=True, exist_ok=True)
    mine = {one.name: [str(Path(s)) for s in one.sources] for one in studies}
    with _alone(out):
        _check_plan(out, record["order"])
        others = _others(out)
        for name, sources in mine.items():
            if any(name in theirs and theirs[name] != sources for theirs in others):
                raise InputError(
                    f"Another run is writing into {out.name}, and makes {name} from other files; wait until it has "
                    f"ended, or use another folder (if none is going on, delete {out.name}/{RUNS})."
                )
        plan = record | {"studies": list(mine)}
        write_bytes(out / PLAN, json.dumps(plan, indent=1, ensure_ascii=False).encode("utf-8", "replace"))
        for folder in (STUDIES, RUNS):
            (out / folder).mkdir(exist_ok=True)
        run = out / RUNS / uuid.uuid4().hex
        lock = acquire(run.with_suffix(".lock"), out.name)
        assert lock is not None  # nobody else knows its name
        write_bytes(run.with_suffix(".json"), json.dumps(mine).encode())
    try:
        yield frozenset(name for theirs in others for name in theirs)
    finally:
        with _alone(out):
            run.with_suffix(".json").unlink(missing_ok=True)
            release(lock)
            with suppress(OSError):
                (out / RUNS).rmdir()  # if this was the last one


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """For the moments in which a run looks who else is there."""
    for _ in range(300):
        lock = acquire(out / LOCK, out.name)
        if lock is not None:
            break
    else:
        raise InputError(
            f"{out.name} is held by another run that does not go on; end it, or use another folder."
        )
    try:
        yield
    finally:
        release(lock)


def _others(out: Path) -> list[dict[str, list[str]]]:
    """Studies that runs in ``out`` hold at the moment, with their sources; what a killed run left is taken away."""
    found = []
    for run in sorted({path.with_suffix("") for path in (out / RUNS).glob("*")}):
        lock = acquire(run.with_suffix(".lock"), out.name)
        if lock is not None:
            run.with_suffix(".json").unlink(missing_ok=True)
            release(lock)
            continue
        with suppress(OSError, ValueError):  # it ended just now
            found.append(json.loads(run.with_suffix(".json").read_text(encoding="utf-8")))
    return found


def _check_plan(out: Path, order: dict[str, Any]) -> None:
    """Refuse to mix two cohorts in one folder. Studies may be added."""
    path = out / PLAN
    if not path.is_file():
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["order"]
        other = [k for k, v in order.items() if known.get(k) != v]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InputError(f"{path.name} in {out.name} is damaged; use another folder.") from None
    if other:
        what = "model" if other[0] == "sha256" else other[0]
        raise InputError(
            f"{out.name} holds a cohort of another {what}; use the same settings, or another folder."
        )


@contextmanager
def _cluster(order: Order, workers: int | None, memory: str | None, scheduler: str | None) -> Iterator[Any]:
    """A client of the running scheduler, or of a cluster of this machine's processes that ends with the run."""
    try:
        import distributed
    except ModuleNotFoundError:
        raise InputError(
            'A cohort needs distributed, which is not installed; pip install "napari-mrseg[cohort]".'
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if scheduler is not None:
        try:
            client = distributed.Client(scheduler, timeout="10s")
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"The scheduler {scheduler} does not answer ({error}); check its address."
            ) from None
        try:
            yield client
        finally:
            client.close()
        return
    count = workers or default_workers(order.device)
    threads = order.threads or max(1, (os.cpu_count() or 1) // count)
    environment = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    cluster = distributed.LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        memory_limit=memory or "auto",
        dashboard_address=None,
        # With certificates that live as long as it does: nobody else on the machine can send it work.
        security=distributed.Security.temporary(),
        silence_logs=logging.CRITICAL,
        env=environment,
    )
    try:
        client = distributed.Client(cluster)
        try:
            yield client
        finally:
            client.close()
    finally:
        cluster.close()


def default_workers(device: str) -> int:
    """A worker for each GPU; else one for each core, as far as each has :data:`LEAST_MEMORY`."""
    if device in ("auto", "cuda"):
        import torch

        if torch.cuda.is_available():
            return torch.cuda.device_count()
    try:
        room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // LEAST_MEMORY
    except (ValueError, OSError, AttributeError):
        room = 2
    return max(1, min(os.cpu_count() or 1, room))
