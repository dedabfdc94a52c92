"""``mrseg evaluate``: a model on labelled subjects, every combination, with the viewer's own engine."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mrseg_training import perturb
from mrseg_training.atomic import write_atomically
from mrseg_training.calibration import Calibration
from mrseg_training.data.audit import Problem, Survey, examine
from mrseg_training.data.subjects import Files, find_folders, named_together, prepare
from mrseg_training.evaluate_figures import feature_figure, reliability_figure
from mrseg_training.log import Count, Say, silent
from mrseg_training.measure import Reference, measured_row, measuring, scores
from mrseg_training.paper_table import (
    SALIENCY,
    is_classes,
    is_saliency,
    mean_iou,
    shown_regions,
    summarise,
    table_markdown,
)
from mrseg_training.selection import Seen, seen_by, select_subjects
from mrseg_training.tables import write_page
from mrseg_training.volume_agreement import volume_figure
from napari_mrseg.compare.metrics import region_dice, region_mask
from napari_mrseg.errors import Cancelled, InputError, MrsegError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.fill import fill
from napari_mrseg.io.formats import label_ending
from napari_mrseg.io.recognise import REFERENCE
from napari_mrseg.models.network import FeatureNetwork
from napari_mrseg.models.store import Model, load_model
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Task, key

OUTPUTS = ("table.md", "table.json", "table.csv", "reliability.svg", "volumes.svg", "features.svg")
READERS = 2
"""Threads that read subjects: decompressing needs no interpreter lock."""


def evaluate(
    model: str | Path | None,
    data: str | Path,
    out: str | Path,
    *,
    task: Task | None = None,
    device: str = "auto",
    precision: str = "auto",
    subjects: Sequence[str] | None = None,
    split: str | Path | None = None,
    overwrite: bool = False,
    hd95: bool = True,
    lesions: bool = False,
    shuffles: int = 0,
    order_subjects: int = 4,
    activations: bool = False,
    labels: str | None = None,
    processes: int = 0,
    say: Say = silent,
) -> dict[str, Any]:
    """Measure ``model`` on the subjects under ``data`` that have a reference; writes :data:`OUTPUTS` into ``out``.

    ``task``: the model must be one for it. ``labels``: the scheme of the references' codes. Every subject is read
    before the first one is measured, and all that cannot be used are named at once; where it ends early all the same,
    the outputs hold the subjects measured before.

    ``subjects``: only these ids. ``split``: which ids else, as :func:`~.chosen.select_subjects` takes it; default: all.
    ``lesions``: lesion-wise scores and surface Dice, too. ``shuffles``: how often the order of the inputs is shuffled
    for the order test, on the first ``order_subjects`` subjects; 0 leaves it out. ``activations``: mean activations of
    the features, on the same ones, drawn into features.svg. ``processes``: further ones that compute the scores
    meanwhile; the numbers do not depend on it.
    Returns the content of ``table.json``. Raises InputError if there is nothing to measure or ``out`` is taken.
    """
    out, data = Path(out), Path(data)
    taken = [name for name in OUTPUTS if (out / name).exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]} is already in {out.name}; use --overwrite, or another folder.")
    loaded = load_model(model, task=task)
    engine = Engine(loaded, device=device, precision=precision)
    source = find_labelled(data, loaded.task, subjects, labels)
    if subjects is None and split is not None:
        wanted, sentence = select_subjects([loaded], source.ids, split)
        source = source.only(wanted)
        say(sentence)
    check_all(source, say)
    measured = Measured(loaded, shuffles=shuffles, order_subjects=order_subjects, activations=activations)
    with measuring(processes) as pool:
        measured.add_all(source, lambda _: engine, out, data.name, pool, hd95=hd95, lesions=lesions, say=say)
    return measured.write(out, data.name, engine)


class Measured:
    """What is measured so far, subject by subject; a subject counts once all of it is.

    ``folds``: of several models of one recipe, the subjects that each has measured.
    """

    def __init__(
        self,
        model: Model,
        *,
        shuffles: int = 0,
        order_subjects: int = 0,
        activations: bool = False,
        folds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.model, self.task, self.folds = model, model.task, folds
        self.shuffles, self.order_subjects, self.activations = shuffles, order_subjects, activations
        self.subjects: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.calibration = Calibration(len(self.task.names), len(self.task.regions))
        self.gaps: list[dict[str, list[float]]] = []
        self.orders: list[dict[str, Any]] = []

    def add_all(
        self,
        source: Files,
        engine_of: Callable[[str], Engine],
        out: Path,
        data: str,
        pool: Executor,
        *,
        hd95: bool,
        lesions: bool,
        say: Say,
    ) -> None:
        """:meth:`add` every subject of ``source``; where that ends early, what is measured is written all the same."""
        began = time.monotonic()
        try:
            with ThreadPoolExecutor(1) as reader:  # the next subject is read while this one is measured
                opened = reader.submit(source.open, source.ids[0])
                for done, subject in enumerate(source.ids, start=1):
                    study, engine = opened.result(), engine_of(subject)
                    if done < len(source.ids):
                        opened = reader.submit(source.open, source.ids[done])
                    self.add(subject, engine, study, pool, hd95=hd95, lesions=lesions)
                    left = (time.monotonic() - began) / done * (len(source.ids) - done)
                    say(Count("measured", done, len(source.ids), left))
        except (Exception, KeyboardInterrupt) as error:
            if not self.subjects:
                raise
            self.write(out, data, engine)
            kept = f"the tables of the {len(self.subjects)} subjects measured before are in {out.name}"
            if isinstance(error, KeyboardInterrupt):
                raise Cancelled(f"Cancelled; {kept}.") from None
            if isinstance(error, MrsegError):
                raise type(error)(f"{str(error).rstrip('.')}; {kept}.") from None
            raise

    def add(
        self, subject: str, engine: Engine, study: Study, pool: Executor, *, hd95: bool, lesions: bool
    ) -> None:
        """Measure every combination of ``study``, and on the first subjects what else is asked for."""
        calibration = Calibration(len(self.task.names), len(self.task.regions))
        rows = measure_subject(engine, study, calibration, pool, subject=subject, hd95=hd95, lesions=lesions)
        first, gaps, orders = len(self.subjects) < self.order_subjects, [], []
        network = engine.model.network
        if first and self.activations and isinstance(network, FeatureNetwork):
            gaps = [mean_activations(network, self.model.card.validated[0].spacing_mm, study)]
        if first and self.shuffles:
            orders = order_robustness(engine, study, self.shuffles)
        self.calibration.join(calibration)
        self.rows += rows
        self.gaps += gaps
        self.orders += orders
        self.subjects.append(subject)

    def write(self, out: Path, data: str, engine: Engine) -> dict[str, Any]:
        """Write :data:`OUTPUTS` into ``out``; returns the content of ``table.json``."""
        seen = seen_by(self.model, self.subjects) if not self.folds else Seen(True)
        document = {
            "model": self.model.info,
            "data": data,
            "subjects": self.subjects,
            "seen": {"train": seen.train, "validation": seen.validation} if seen.known else None,
            "device": engine.device_name,
            "precision": engine.precision,
            "spacing_mm": self.model.card.validated[0].spacing_mm,
            **({"folds": list(self.folds)} if self.folds else {}),
            **summarise(self.rows, self.task),
            "by_subject": [{k: v for k, v in row.items() if k != "curves"} for row in self.rows],
            "calibration": self.calibration.document([r.name for r in self.task.regions]),
            "order": _order_summary(self.orders),
            "activations": _mean_gap(self.gaps),
        }
        files = {
            "table.csv": rows_csv(self.rows, self.task),
            "reliability.svg": reliability_figure(document).svg(),
            "volumes.svg": volume_figure(self.rows, shown_regions(self.task), self.task.unit).svg(),
        }
        if self.gaps:
            files["features.svg"] = feature_figure(document).svg()
        out.mkdir(parents=True, exist_ok=True)
        (out / "features.svg").unlink(missing_ok=True)  # of a table that is replaced
        for name, text in files.items():
            write_atomically(out / name, text.encode())
        made_by = (
            f"model {self.model.card.name} {self.model.card.version}, network at {document['spacing_mm']:g} "
            f"{self.task.length_unit}, scored on the {'scans' if self.task.ndim == 3 else 'images'}' own grid"
        )
        sentence = seen.sentence(len(self.subjects))
        if self.folds:
            sentence = (
                f"{len(self.folds)} models, one a fold: each subject was measured once, by the model that has it in "
                "its test list and was not trained on it."
            )
        page = table_markdown(document, self.task, made_by, sentence)
        write_page(out / "table.md", page)
        write_atomically(out / "table.json", json.dumps(plain(document), indent=1).encode())
        return plain(document)


def find_labelled(data: Path, task: Task, subjects: Sequence[str] | None, labels: str | None = None) -> Files:
    """The labelled subjects under ``data`` (the folder itself, or any below it)."""
    if not data.is_dir():
        raise InputError(f"{data} is not a folder; give a folder of subjects.")
    found = find_folders(data, "**/", task, subjects)
    labelled = {name: roles for name, roles in found.items() if REFERENCE in roles}
    if subjects is not None:
        missing = sorted(set(subjects) - set(labelled))
        if missing:
            raise InputError(f"{missing[0]} is not under {data}, or has no reference; check the list of ids.")
        labelled = {name: labelled[name] for name in subjects}
    if not labelled:
        raise InputError(
            f"No subject under {data} has a reference to measure against; add ..._seg{label_ending(task)} files."
        )
    return Files(labelled, task, 1.0, labels=labels)


def check_all(source: Files, say: Say) -> None:
    """Raises InputError that names every subject that cannot be used."""
    survey, bad = Survey(source), []

    def look(subject: str) -> tuple[list[Problem], frozenset[int]]:
        problems, study = examine(source, subject)
        reference = (
            study.reference if study is not None else None
        )  # not the study: many would fill the memory
        return problems, frozenset() if reference is None else reference.codes

    with ThreadPoolExecutor(READERS) as pool:
        for number, (subject, found) in enumerate(
            zip(source.ids, pool.map(look, source.ids), strict=True), start=1
        ):
            problems, codes = found
            bad += [problem for problem in problems if problem.serious]
            survey.add(subject, problems, codes)
            say(Count("read", number, len(source.ids)))
    if bad:
        listed = named_together([f"{problem.subject}: {problem.message}" for problem in bad])
        raise InputError(f"{listed} Fix or take out these subjects; nothing was measured.")
    survey.check(say)


def measure_subject(
    engine: Engine,
    study: Study,
    calibration: Calibration,
    pool: Executor,
    *,
    subject: str,
    hd95: bool,
    lesions: bool,
) -> list[dict[str, Any]]:
    """One row per combination of the modalities there: :func:`~.measure.scores`, and sizes in the task's unit.

    ``reference`` is the size of the region in the reference. ``pool`` computes the scores of one combination while the
    next one is predicted.
    """
    assert study.reference is not None
    task, truth = study.task, study.reference.labels
    there = {region.name: region_mask(truth, region) for region in task.regions}
    voxel = study.grid.voxel_ml if task.ndim == 3 else 1.0
    reference = Reference.of(truth, task, study.grid.spacing, voxel)
    rows: list[dict[str, Any]] = []
    waiting: list[Future[dict[str, Any]]] = []
    for combination in engine.combinations(study):
        prediction = engine.predict(study, combination)
        whole = None
        if is_saliency(task):
            whole = np.zeros(truth.shape, np.float32)
            whole[prediction.box] = prediction.probabilities[0]
        waiting.append(
            pool.submit(scores, prediction.labels, reference, hd95=hd95, lesions=lesions, probabilities=whole)
        )
        inside = np.stack([there[region.name][prediction.box] for region in task.regions])
        calibration.add(len(combination), prediction.probabilities, inside)
        row = measured_row(subject, combination, prediction.sizes, reference)
        rows.append(row | {"seconds": prediction.seconds})
    return [row | found.result() for row, found in zip(rows, waiting, strict=True)]


@torch.inference_mode()
def mean_activations(network: FeatureNetwork, spacing: float, study: Study) -> dict[str, list[float]]:
    """Mean activation of each of the five features, by combination: how far the incomplete ones are from complete."""
    found = {}
    for combination in study.task.combinations(study.present):
        prepared = prepare(study.only(combination), max(2.0, spacing), network.stride)
        images = fill(prepared.images[None], prepared.available[None], study.task)
        features = network.encode(images, prepared.available[None])
        found[key(combination)] = [float(f.mean()) for f in features]
    return found


def order_robustness(engine: Engine, study: Study, shuffles: int) -> list[dict[str, Any]]:
    """Dice with the modalities in their places, and with the same scans in shuffled places; none if they do not fit."""
    assert study.reference is not None
    task, truth = study.task, study.reference.labels
    if len(task.channels) > len(task.names):
        return []
    rows = []
    for number, combination in enumerate(engine.combinations(study)):
        if len(combination) < 2:
            continue
        fixed = region_dice(engine.predict(study, combination).labels, truth, task)
        shuffled = []
        for again in range(shuffles):
            generator = torch.Generator().manual_seed(perturb.mix(number, again))
            order = torch.randperm(len(combination), generator=generator).tolist()
            mixed = _reordered(study.only(combination), combination, order)
            shuffled.append(region_dice(engine.predict(mixed).labels, truth, task))
        rows.append(
            {
                "fixed": float(np.mean(list(fixed.values()))),
                "shuffled": float(np.mean([list(s.values()) for s in shuffled])),
            }
        )
    return rows


def _reordered(study: Study, combination: Combination, order: Sequence[int]) -> Study:
    images = {combination[i]: study.images[combination[j]] for i, j in enumerate(order)}
    return replace(study, images=images)


def _order_summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    if not rows:
        return None
    return {name: float(np.mean([row[name] for row in rows])) for name in ("fixed", "shuffled")}


def _mean_gap(gaps: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    keys = dict.fromkeys(k for gap in gaps for k in gap)
    return {k: np.mean([gap[k] for gap in gaps if k in gap], axis=0).tolist() for k in keys}


def rows_csv(rows: Sequence[Mapping[str, Any]], task: Task) -> str:
    """``table.csv``: a line per subject and combination."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    regions = [region.name for region in task.regions]
    kinds = ("dice", "hd95_mm", f"size_{task.unit}", "in_reference")
    counted = ("dice", "hd95", "count", "missed", "false", "small", "surface_dice")
    lesions = [(r, kind) for kind in counted for r in regions] if rows and "lesions" in rows[0] else []
    measures = list(SALIENCY) if is_saliency(task) else []
    further = [(r, kind) for kind in (rows[0].get("metrics", {}) if rows else {}) for r in regions]
    heads = ["subject", "combination", *(f"{r}_{kind}" for kind in kinds for r in regions)]
    heads += [f"{r}_{'lesion_' if kind != 'surface_dice' else ''}{kind}" for r, kind in lesions]
    heads += [f"{r}_{kind}" for r, kind in further]
    writer.writerow([*heads, *measures, *(["mean_iou"] if is_classes(task) else [])])
    for row in rows:
        numbers = [row["dice"][r] for r in regions] + [row["hd95"].get(r, float("nan")) for r in regions]
        numbers += [row["size"][r] for r in regions]
        cells = ["" if np.isnan(n) else f"{n:.6g}" for n in numbers]
        there = [str(int(row["present"][r])) for r in regions]
        there += [f"{row['lesions'][r][kind]:.6g}" for r, kind in lesions]
        there += ["" if np.isnan(n := row["metrics"][kind][r]) else f"{n:.6g}" for r, kind in further]
        images = [f"{row['saliency'][m]:.6g}" for m in measures]
        if is_classes(task):
            images.append(f"{mean_iou([row['overlap']]):.6g}")
        writer.writerow([row["subject"], key(row["combination"]), *cells, *there, *images])
    return stream.getvalue()


def plain(value: Any) -> Any:
    """For JSON: not-a-number becomes null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value
