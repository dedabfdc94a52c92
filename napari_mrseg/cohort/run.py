"""A cohort on Dask: a cluster on this machine, or one that is running. What is done stays done."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    put_failure,
    state_of,
    unfinished,
    work,
)
from napari_mrseg.compare.figures import write_bytes
from napari_mrseg.errors import Cancelled, InputError

PLAN = "cohort.json"
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
) -> dict[str, int]:
    """Do what is not done yet of ``studies``; returns how many are in each state.

    ``workers``, ``memory`` (such as "6GiB", of each): of the cluster on this machine; ``scheduler``: the address of one
    that is running, whose workers see ``out`` and the scans under the same paths. Any part may be killed at any time:
    run it again, and it goes on. Raises InputError if ``out`` holds a cohort of other settings or no scheduler answers,
    Cancelled on Ctrl-C, after which what is done stays.
    """
    out = Path(out)
    _claim(out, order, studies)
    todo = [one for one in studies if (state_of(out, one.name) or {"status": FAILED})["status"] == FAILED]
    own = {one.name for one in todo}
    for left in (out / STUDIES).glob(
        ".*"
    ):  # of a run that was killed; another one's, of other studies, may go on
        if unfinished(left) in own:
            shutil.rmtree(left, ignore_errors=True)
    for one in todo:
        shutil.rmtree(out / STUDIES / one.name, ignore_errors=True)
    done = len(studies) - len(todo)
    report(done, len(studies), "")
    if todo:
        with _cluster(order, workers, memory, scheduler) as client:
            _give_out(
                client, todo, order, out, lambda number, name: report(done + number, len(studies), name)
            )
    states = [(state_of(out, one.name) or {"status": FAILED})["status"] for one in studies]
    return {state: states.count(state) for state in (DONE, UNREADABLE, FAILED)}


def _give_out(
    client: Any, todo: Sequence[Listed], order: Order, out: Path, report: Callable[[int, str], None]
) -> None:
    from distributed import as_completed

    told = asdict(order)
    futures = {
        client.submit(work, asdict(one), told, str(out.resolve()), key=f"mrseg-{one.name}", pure=False): one
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


def _claim(out: Path, order: Order, studies: Sequence[Listed]) -> None:
    """Refuse to mix two cohorts in one folder. Studies may be added."""
    told = {"order": order.told()}
    path = out / PLAN
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))["order"]
        except (ValueError, KeyError):
            raise InputError(f"{path.name} in {out.name} is damaged; use another folder.") from None
        other = [k for k, v in told["order"].items() if known.get(k) != v]
        if other:
            raise InputError(
                f"{out.name} holds a cohort of another {other[0]}; use the same settings, or another folder."
            )
    elif out.exists() and any(out.iterdir()):
        raise InputError(f"{out.name} is not empty and holds no cohort; use another folder.")
    (out / STUDIES).mkdir(parents=True, exist_ok=True)
    names = [one.name for one in studies]
    write_bytes(path, json.dumps(told | {"studies": names}, indent=1, ensure_ascii=False).encode())


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
