"""One study, from its files to a folder that is whole or not there. What a worker of the cluster does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mrseg.cohort.find import Listed
from napari_mrseg.cohort.sources import Sources, is_current, stamps_of
from napari_mrseg.compare.attribution import Measure, attribute
from napari_mrseg.compare.comparison import Comparison, dice_to_reference, trust_in
from napari_mrseg.compare.contact_sheet import ContactSheet
from napari_mrseg.compare.diameters import diameters_of
from napari_mrseg.compare.figures import write_bytes
from napari_mrseg.errors import Cancelled, InputError
from napari_mrseg.inference.allocator import release_freed_memory
from napari_mrseg.io import open_study
from napari_mrseg.io.brain import How
from napari_mrseg.io.export import write_results
from napari_mrseg.io.read_options import ReadOptions
from napari_mrseg.session import opening
from napari_mrseg.study import Image, Study
from napari_mrseg.tasks import Combination, Task, get_task, key

if TYPE_CHECKING:
    from napari_mrseg.inference.predictor import Predictor

STUDIES, STUDY, THUMBNAIL = "studies", "study.json", "thumbnail.png"
MEASURES: tuple[Measure, ...] = ("size", "dice")
TILE = 160  # pixels of a thumbnail's longer side
DONE, UNREADABLE, FAILED = "done", "unreadable", "failed"


@dataclass(frozen=True)
class Order:
    """What is done with every study. ``model``: its folder; ``use``: the combinations, or none for all there are.

    ``write_labels``: keep a label file for each. ``threads``: of one worker; 0 leaves them as they are.
    ``engine``: address, token file and certificate of one elsewhere, "" for what is not given.
    """

    model: str
    sha256: str
    task: str
    device: str = "auto"
    precision: str = "auto"
    use: tuple[Combination, ...] = ()
    reference: bool = True
    labels: str | None = None
    onto: str = ""
    brain: str = "auto"
    assume_ras: bool = False
    write_labels: bool = True
    threads: int = 0
    engine: tuple[str, str, str] = ("", "", "")
    depth: str = "auto"

    @property
    def options(self) -> ReadOptions:
        """How the files are read."""
        brain: How = self.brain  # type: ignore[assignment]  # from JSON, where it is a word
        return ReadOptions(self.reference, self.labels, self.assume_ras, self.onto, brain, self.depth)

    def record(self) -> dict[str, Any]:
        """What decides the results, as JSON: not where the model lies or computes, nor how many threads there are."""
        own: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return {k: v for k, v in own.items() if k not in ("model", "threads", "engine")}


def folder_of(out: Path, name: str) -> Path:
    return out / STUDIES / name


def _aside(target: Path) -> Path:
    """Where a study is made before it moves to ``target``."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")


def unfinished(path: Path) -> str:
    """The study that was being made in a folder beside the others (:func:`_aside`)."""
    return path.name[1:].rpartition(".")[0]


def state_of(out: Path, name: str) -> dict[str, Any] | None:
    """What is known of a study that was looked at: the content of its ``study.json``."""
    try:
        found: dict[str, Any] = json.loads((folder_of(out, name) / STUDY).read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        return None


def work(listed: Mapping[str, Any], order: Mapping[str, Any], out: str) -> str:
    """Do one study; returns its status. What it leaves under ``out`` moves in with one rename.

    What another run has made of the same files meanwhile stays. A study that cannot be read is done with its reason;
    one that failed for another reason is tried again by the next run. Raises nothing but Cancelled.
    """
    one = Listed(listed["name"], tuple(listed["sources"]), listed.get("case", ""))
    asked = Order(**{**order, "use": tuple(tuple(c) for c in order["use"])})
    task = _task(asked)
    known = settled(Path(out), one, task)
    if known is not None:
        return str(known["status"])
    target = folder_of(Path(out), one.name)
    temporary = _aside(target)
    temporary.mkdir(parents=True)
    try:
        sources, before = Sources.of(one, task), stamps_of(one)[0]
        try:
            document = _segment(one, asked, temporary)
            if stamps_of(one)[0] != before:
                document = _problem(
                    one, FAILED, "Its files changed while they were read; run the same again."
                )
        except Cancelled:
            raise
        except InputError as error:
            document = _problem(one, UNREADABLE, str(error))
        except MemoryError:
            document = _problem(one, FAILED, "The memory of the worker ran out; give each worker more.")
        except Exception as error:  # whatever it is, the others must go on
            document = _problem(one, FAILED, f"{type(error).__name__}: {error}")
        document["sources"] = sources.record()
        text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
        write_bytes(temporary / STUDY, text.encode("utf-8", "replace"))
        _move(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        release_freed_memory()
    return str(document["status"])


def settled(out: Path, listed: Listed, task: Task) -> dict[str, Any] | None:
    """What is known of a study that need not be done again: done or unreadable, of the files as they are now."""
    document = state_of(out, listed.name)
    if document is None or document.get("status") == FAILED:
        return None
    return document if is_current(document, listed, task) else None


def put_failure(listed: Listed, out: Path, reason: str) -> None:
    """For a study whose worker was lost: say so, unless it was done after all."""
    if state_of(out, listed.name) is None:
        folder = folder_of(out, listed.name)
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / STUDY, json.dumps(_problem(listed, FAILED, reason)).encode())


def _move(temporary: Path, target: Path) -> None:
    """The folder under its name; what an earlier run left there goes."""
    discard(target)
    os.replace(temporary, target)


def discard(target: Path) -> None:
    """Take a study's folder away, whole: first its name, then what is in it."""
    if target.exists():
        going = _aside(target)
        os.replace(target, going)
        shutil.rmtree(going, ignore_errors=True)


def _problem(listed: Listed, status: str, reason: str) -> dict[str, Any]:
    return {"name": listed.name, "status": status, "reason": " ".join(reason.split()), "rows": []}


@lru_cache(maxsize=1)
def _engine(
    model: str, sha256: str, device: str, precision: str, threads: int, elsewhere: tuple[str, str, str]
) -> Predictor:
    """One a process: the model is read once. Raises RuntimeError if it is another than was asked for."""
    import torch

    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.models.store import load_model

    if threads:
        torch.set_num_threads(threads)
    address, token_file, certificate = elsewhere
    found: Predictor
    if address:
        from napari_mrseg.remote.client import RemoteEngine
        from napari_mrseg.remote.token import given_token

        token = given_token(Path(token_file) if token_file else None)
        found = RemoteEngine(address, token, certificate=certificate or None)
    else:
        found = Engine(load_model(Path(model)), device=_own_device(device), precision=precision)
    if found.model.sha256 != sha256:
        raise RuntimeError("the worker's model is another one than the cohort was begun with")
    return found


def _own_device(device: str) -> str:
    """With several GPUs each worker of a machine takes its own, by its number."""
    if device not in ("auto", "cuda"):
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count < 2:
        return device
    from distributed import get_worker

    try:
        number = str(get_worker().name).rpartition("-")[2]
    except ValueError:  # not within a worker
        return device
    return f"cuda:{int(number) % count}" if number.isdigit() else device


def _task(order: Order) -> Task:
    """The task of the order; on another computer one that only the model's folder knows."""
    try:
        return get_task(order.task)
    except InputError:
        engine = _engine(
            order.model, order.sha256, order.device, order.precision, order.threads, order.engine
        )
        return engine.model.task


def _segment(listed: Listed, order: Order, folder: Path) -> dict[str, Any]:
    engine = _engine(order.model, order.sha256, order.device, order.precision, order.threads, order.engine)
    try:
        study = open_study(list(listed.sources), task=_task(order), **order.options.arguments())
        if listed.case and study.case != listed.case:
            raise RuntimeError("its export changed while the run went on; run the same again")
        study = opening.settled(study)
        combinations = _combinations(study, engine, order.use)
        predictions = list(engine.run_all(study, combinations))
        model = engine.model.info
        if order.write_labels:
            write_results(
                study,
                predictions,
                folder,
                model=model,
                dice=dice_to_reference(study),
                diameters=diameters_of,
                trust=trust_in(study),
            )
        comparison = Comparison(study, predictions, expected=combinations)
        write_bytes(folder / THUMBNAIL, _thumbnail(comparison))
        return {
            "name": listed.name,
            "status": DONE,
            "reason": "",
            "case": study.case,
            "present": list(study.present),
            "reference": study.reference is not None,
            "device": engine.device_name,
            "precision": engine.precision,
            "seconds": round(sum(p.seconds for p in predictions), 3),
            "scans": {name: _voxels(image) for name, image in study.images.items()},
            "rows": _rows(comparison),
            "trust": comparison.trust(next(iter(comparison.predictions))).document(),
            "attribution": _attribution(comparison),
            "warnings": sorted({n.message for p in predictions for n in (*study.notes, *p.notes)}),
        }
    finally:
        engine.forget()


def _combinations(study: Study, engine: Predictor, use: Sequence[Combination]) -> tuple[Combination, ...]:
    """Those asked for that the study has, or all. Raises InputError if there are none."""
    card = engine.model.card
    found = card.combinations(study.present)
    if use:
        found = tuple(c for c in use if set(c) <= set(study.present) and card.can_do(c))
        if not found:
            wanted = " and ".join(key(c) for c in use)
            raise InputError(f"{study.case} has {key(study.present)} only, not {wanted}.")
    if not found:
        raise InputError(card.refusal(study.present))
    return found


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One per combination and region; ``to_full``: Dice to the result of all modalities there."""
    return [
        {
            "combination": key(row.combination),
            "region": region.name,
            "size": _rounded(row.sizes[region.name]),
            "dice": _rounded(row.dice[region.name]) if row.dice else None,
            "to_full": _rounded(row.versus[region.name]) if row.versus else None,
            "estimated": region.name in row.estimated,
            "in_reference": _in_reference(comparison.study, region.codes),
            "trust": comparison.trust(row.combination).of(region.name),
        }
        for row in comparison.rows
        for region in comparison.task.regions
    ]


def _voxels(image: Image) -> str:
    """A hash of what a scan shows, whatever its file is called and however it was packed."""
    return hashlib.sha256(np.ascontiguousarray(image.data).data).hexdigest()


def _in_reference(study: Study, codes: Sequence[int]) -> bool | None:
    return None if study.reference is None else bool(np.isin(study.reference.labels, codes).any())


def _attribution(comparison: Comparison) -> dict[str, Any]:
    found = {name: attribute(comparison, name) for name in MEASURES}
    return {
        name: {r: {m: _rounded(v) for m, v in values.items()} for r, values in one.values.items()}
        for name, one in found.items()
        if one is not None
    }


def _thumbnail(comparison: Comparison) -> bytes:
    """The slice with most tumour, from the most modalities, with its outlines: a PNG without any words."""
    import io

    from PIL import Image

    first = next(iter(comparison.predictions))
    one = Comparison(comparison.study, [comparison.predictions[first]], expected=[first])
    sheet = ContactSheet(one, tile=TILE)
    stream = io.BytesIO()
    Image.fromarray(sheet.tiles(0, sheet.best_slice())[0]).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _rounded(value: float) -> float | None:
    return None if value != value else round(float(value), 6)
