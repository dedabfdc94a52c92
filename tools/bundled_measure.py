"""What the folds' models are measured on: their subjects, scans without a tumour, FLAIR and T1 alone, simulation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mrseg_training.data.simulated_subjects import write_studies
from mrseg_training.evaluate import evaluate
from mrseg_training.settings import Config
from napari_mrseg.compare.metrics import dice, region_mask
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import key


def measure(model: Path, data: Path, out: Path, subjects: Sequence[str] | None = None) -> dict[str, Any]:
    """``evaluate`` of ``model`` on ``subjects`` (default: all) under ``data``, done once."""
    if (out / "table.json").is_file():
        document: dict[str, Any] = json.loads((out / "table.json").read_text(encoding="utf-8"))
        if document["model"]["sha256"] == load_model(model).info["sha256"]:
            return document
    return evaluate(model, data, out, subjects=subjects, overwrite=True, hd95=False, shuffles=0, say=print)


def simulated(config: Config, out: Path) -> Path:
    """The simulated benchmark: the test subjects of ``config``'s seed in the template, as folders of NIfTI files."""
    drawn = config.data.simulate
    plain = {
        "brains": (),
        "labelled": (),
        "real_share": 0.0,
        "template_share": 1.0,
        "healthy_share": 0.18,
        "pale_share": 0.0,
        "grow": 0,
    }
    part = drawn.model_copy(update=plain)
    if not out.is_dir():
        write_studies(part, config.model_task, out)
    return out


def false_positives(model: Path, data: Path, cases: Sequence[str]) -> dict[str, dict[str, float]]:
    """mL of whole tumour found in each of ``cases``, which have none, by combination."""
    engine = Engine(load_model(model))
    found = {}
    for case in cases:
        study = open_study(data / case, task=engine.model.task, reference=False)
        outermost = study.task.regions[0].name
        found[case] = {key(c): engine.predict(study, c).sizes[outermost] for c in engine.combinations(study)}
    return found


def whole_tumour(model: Path, data: Path, cases: Sequence[str]) -> dict[str, dict[str, float]]:
    """Dice of the outermost region in each of ``cases``, whose masks tell no parts of it apart, by combination."""
    engine = Engine(load_model(model))
    found = {}
    for case in cases:
        study = open_study(data / case, task=engine.model.task)
        assert study.reference is not None, case
        outermost, truth = study.task.regions[0], study.reference.labels > 0
        found[case] = {
            key(c): dice(region_mask(engine.predict(study, c).labels, outermost), truth)
            for c in engine.combinations(study)
        }
    return found
