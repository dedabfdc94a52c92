"""``mrseg evaluate``: a model on labelled subjects, every combination, with the viewer's own engine."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mrseg_training import perturb
from mrseg_training.calibration import Calibration
from mrseg_training.data.report import Survey, examine
from mrseg_training.data.subjects import Files, find_folders, named_together, prepare
from mrseg_training.files import write_atomically
from mrseg_training.log import Count, Say, silent
from mrseg_training.paper_table import (
    feature_figure,
    is_classes,
    is_saliency,
    reliability_figure,
    summarise,
    table_markdown,
)
from napari_mrseg.compare.metrics import region_dice, region_hd95, region_mask, sizes
from napari_mrseg.compare.saliency import Saliency, saliency
from napari_mrseg.errors import Cancelled, InputError, MrsegError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.fill import fill
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.io.formats import label_ending
from napari_mrseg.io.recognise import REFERENCE
from napari_mrseg.models.network import FeatureNetwork
from napari_mrseg.models.store import Model, load_model
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination, Task, key

FAR_MM = 15.0  # from the reference: what is found beyond is another thing taken for it
OUTPUTS = ("table.md", "table.json", "table.csv", "reliability.svg", "features.svg")


def evaluate(
    model: str | Path | None,
    data: str | Path,
    out: str | Path,
    *,
    task: Task | None = None,
    device: str = "auto",
    precision: str = "auto",
    subjects: Sequence[str] | None = None,
    overwrite: bool = False,
    hd95: bool = True,
    shuffles: int = 5,
    order_subjects: int = 4,
    labels: str | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Measure ``model`` on the subjects under ``data`` that have a reference; writes :data:`OUTPUTS` into ``out``.

    ``task``: the model must be one for it. ``labels``: the scheme of the references' codes. Every subject is read
    before the first one is measured, and all that cannot be used are named at once; where it ends early all the same,
    the outputs hold the subjects measured before.

    ``subjects``: only these ids (e.g. the lines of a split's test.txt). ``shuffles``: how often the order of the
    inputs is shuffled for the order test, on the first ``order_subjects`` subjects; 0 leaves it out. Returns the
    content of ``table.json``. Raises InputError if there is nothing to measure or ``out`` is taken.
    """
    out, data = Path(out), Path(data)
    taken = [name for name in OUTPUTS if (out / name).exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]} is already in {out.name}; use --overwrite, or another folder.")
    loaded = load_model(model, task=task)
    engine = Engine(loaded, device=device, precision=precision)
    source = find_labelled(data, loaded.task, subjects, labels)
    check_all(source, say)
    measured = Measured(loaded)
    try:
        for subject in source.ids:
            study = source.open(subject)
            with_order = len(measured.subjects) < order_subjects
            measured.add(subject, engine, study, hd95=hd95, shuffles=shuffles, with_order=with_order)
            say(Count("measured", len(measured.subjects), len(source.ids)))
    except (Exception, KeyboardInterrupt) as error:
        if not measured.subjects:
            raise
        measured.write(out, data.name, engine)
        kept = f"the tables of the {len(measured.subjects)} subjects measured before are in {out.name}"
        if isinstance(error, KeyboardInterrupt):
            raise Cancelled(f"Cancelled; {kept}.") from None
        if isinstance(error, MrsegError):
            raise type(error)(f"{str(error).rstrip('.')}; {kept}.") from None
        raise
    return measured.write(out, data.name, engine)


class Measured:
    """What is measured so far, subject by subject; a subject counts once all of it is."""

    def __init__(self, model: Model) -> None:
        self.model, self.task = model, model.task
        self.subjects: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.calibration = Calibration(len(self.task.names), len(self.task.regions))
        self.gaps: list[dict[str, list[float]]] = []
        self.orders: list[dict[str, Any]] = []

    def add(
        self, subject: str, engine: Engine, study: Study, *, hd95: bool, shuffles: int, with_order: bool
    ) -> None:
        """Measure every combination of ``study``; ``with_order``: activations and the order test, too."""
        calibration = Calibration(len(self.task.names), len(self.task.regions))
        rows = measure_subject(engine, study, calibration, hd95=hd95)
        network, gaps = self.model.network, []
        if with_order and isinstance(network, FeatureNetwork):
            gaps = [mean_activations(network, self.model.card.validated[0].spacing_mm, study)]
        orders = order_robustness(engine, study, shuffles) if with_order and shuffles else []
        self.calibration.join(calibration)
        self.rows += rows
        self.gaps += gaps
        self.orders += orders
        self.subjects.append(subject)

    def write(self, out: Path, data: str, engine: Engine) -> dict[str, Any]:
        """Write :data:`OUTPUTS` into ``out``; returns the content of ``table.json``."""
        document = {
            "model": self.model.info,
            "data": data,
            "subjects": self.subjects,
            "device": engine.device_name,
            "precision": engine.precision,
            "spacing_mm": self.model.card.validated[0].spacing_mm,
            **summarise(self.rows, self.task),
            "by_subject": self.rows,
            "calibration": self.calibration.document([r.name for r in self.task.regions]),
            "order": _order_summary(self.orders),
            "activations": _mean_gap(self.gaps),
        }
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "table.md", table_markdown(document, self.task).encode())
        write_atomically(out / "table.csv", _csv(self.rows, self.task).encode())
        write_atomically(out / "reliability.svg", reliability_figure(document).svg().encode())
        write_atomically(out / "features.svg", feature_figure(document).svg().encode())
        write_atomically(out / "table.json", json.dumps(_plain(document), indent=1).encode())
        return _plain(document)


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
    for number, subject in enumerate(source.ids, start=1):
        problems, study = examine(source, subject)
        bad += [problem for problem in problems if problem.serious]
        reference = study.reference if study is not None else None
        survey.add(subject, problems, reference.codes if reference is not None else frozenset())
        say(Count("read", number, len(source.ids)))
    if bad:
        listed = named_together([f"{problem.subject}: {problem.message}" for problem in bad])
        raise InputError(f"{listed} Mend or take out these subjects; nothing was measured.")
    survey.check(say)


def measure_subject(
    engine: Engine, study: Study, calibration: Calibration, *, hd95: bool
) -> list[dict[str, Any]]:
    """One row per combination of the modalities there: Dice (both empty = 1), HD95 in mm, sizes in the task's unit.

    ``reference`` is the size of the region in the reference; ``far`` that of what is found in any region more than
    :data:`FAR_MM` from all of it. ``saliency``: of images with one region, the papers' measures of the probabilities;
    ``overlap``: of many classes, pixels in both and in either.
    """
    assert study.reference is not None
    task, truth = study.task, study.reference.labels
    there = {region.name: region_mask(truth, region) for region in task.regions}
    voxel = study.grid.voxel_ml if task.ndim == 3 else 1.0
    reference = dict(sizes(truth, task, voxel))
    far = _far(truth > 0, study.grid.spacing)
    rows = []
    for combination in engine.combinations(study):
        prediction = engine.predict(study, combination)
        distances = region_hd95(prediction.labels, truth, task, study.grid.spacing) if hd95 else {}
        inside = np.stack([there[region.name][prediction.box] for region in task.regions])
        calibration.add(len(combination), prediction.probabilities.astype(np.float32), inside)
        rows.append(
            {
                "subject": study.case,
                "combination": list(combination),
                "dice": region_dice(prediction.labels, truth, task),
                "hd95": distances,
                "size": dict(prediction.sizes),
                "reference": reference,
                "far": float(((prediction.labels > 0) & far).sum() * voxel),
                "present": {name: bool(mask.any()) for name, mask in there.items()},
                "seconds": prediction.seconds,
                **({"saliency": _saliency(prediction, truth)} if is_saliency(task) else {}),
                **({"overlap": _overlap(prediction.labels, truth, task)} if is_classes(task) else {}),
            }
        )
    return rows


def _saliency(prediction: Prediction, truth: npt.NDArray[np.uint8]) -> dict[str, float]:
    """The papers' measures of a map of probabilities, mean over frames."""
    whole = np.zeros(truth.shape, np.float32)
    whole[prediction.box] = prediction.probabilities[0]
    each = [saliency(found, there > 0) for found, there in zip(whole, truth, strict=True)]
    return {name: float(np.mean([getattr(one, name) for one in each])) for name in Saliency._fields}


def _overlap(labels: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], task: Task) -> dict[str, list[int]]:
    """Pixels in both and in either, by region, where the truth says anything: 0 is unlabelled."""
    said = truth > 0
    found = {}
    for region in task.regions:
        a, b = region_mask(labels, region) & said, region_mask(truth, region)
        found[region.name] = [int((a & b).sum()), int((a | b).sum())]
    return found


def _far(truth: npt.NDArray[np.bool_], spacing: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Voxels more than :data:`FAR_MM` from the nearest one of ``truth``; all, where there is none."""
    from scipy.ndimage import distance_transform_edt

    if not truth.any():
        return np.ones_like(truth)
    return np.asarray(distance_transform_edt(~truth, sampling=spacing) > FAR_MM)


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


def _csv(rows: Sequence[Mapping[str, Any]], task: Task) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    regions = [region.name for region in task.regions]
    kinds = ("dice", "hd95_mm", f"size_{task.unit}", "in_reference")
    writer.writerow(["subject", "combination", *(f"{r}_{kind}" for kind in kinds for r in regions)])
    for row in rows:
        numbers = [row["dice"][r] for r in regions] + [row["hd95"].get(r, float("nan")) for r in regions]
        numbers += [row["size"][r] for r in regions]
        cells = ["" if np.isnan(n) else f"{n:.6g}" for n in numbers]
        there = [int(row["present"][r]) for r in regions]
        writer.writerow([row["subject"], key(row["combination"]), *cells, *there])
    return stream.getvalue()


def _plain(value: Any) -> Any:
    """For JSON: not-a-number becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value
