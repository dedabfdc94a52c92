"""``mrseg evaluate --model A --model B``: several models on the same subjects, with the interval of what differs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrseg_training.atomic import write_atomically
from mrseg_training.evaluate import OUTPUTS, evaluate, find_labelled
from mrseg_training.log import silent
from mrseg_training.markdown import number, table
from mrseg_training.paper_table import shown_regions
from mrseg_training.ranking import holm, pairwise_tests, ranking, signed_rank
from mrseg_training.ranking_figures import rank_figure, spider_figure
from mrseg_training.ranking_table import all_subjects_lines, ranking_lines, star
from mrseg_training.selection import select_subjects
from mrseg_training.tables import write_page
from napari_mrseg.compare.statistics import bootstrap, mean_of_known
from napari_mrseg.compare.write import called
from napari_mrseg.errors import InputError
from napari_mrseg.models.store import load_model
from napari_mrseg.tasks import Task, get_task, key

MODELS = ("models.md", "models.json", "models.csv", "ranks.svg", "spider.svg")
Floats = npt.NDArray[np.float64]


def evaluate_models(
    models: Sequence[str | Path],
    data: str | Path,
    out: str | Path,
    *,
    task: Task | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """:func:`~.evaluate.evaluate` of each model in a folder of its name, and :data:`MODELS` of all beside them.

    The second and further ones are held against the first, on the combinations that both can do: the mean difference
    in Dice, paired by subject, with a 95 % interval (bootstrap over subjects). Returns the content of ``models.json``.
    Raises InputError as :func:`~.evaluate.evaluate` does, and for models of different tasks, before anything is
    measured.
    """
    out = Path(out)
    loaded = [load_model(model, task=task) for model in models]
    kinds = list(dict.fromkeys(model.card.task for model in loaded))
    if len(kinds) > 1:
        raise InputError(
            f"The models are for different tasks ({', '.join(kinds)}); compare those of one task."
        )
    names = [name.replace(" ", "-") for name in called([model.info for model in loaded])]
    taken = [out / name for name in MODELS] + [out / name / file for name in names for file in OUTPUTS]
    there = next((path for path in taken if path.exists()), None)
    if there is not None and not overwrite:
        raise InputError(
            f"{there.name} is already in {there.parent.name}; use --overwrite, or another folder."
        )
    split, subjects = options.pop("split", None), options.pop("subjects", None)
    if subjects is None and split is not None:
        labelled = find_labelled(Path(data), get_task(kinds[0]), None, options.get("labels"))
        subjects, sentence = select_subjects(loaded, labelled.ids, split)
        options.get("say", silent)(sentence)
    documents = {
        name: evaluate(model, data, out / name, task=task, overwrite=overwrite, subjects=subjects, **options)
        for name, model in zip(names, models, strict=True)
    }
    return write_models(documents, get_task(kinds[0]), out)


def write_models(documents: Mapping[str, Mapping[str, Any]], task: Task, out: Path) -> dict[str, Any]:
    """Write :data:`MODELS` of what was measured, by name; returns the content of ``models.json``."""
    document = compared(documents, task)
    write_atomically(out / "models.json", json.dumps(document, indent=1).encode())
    write_atomically(out / "models.csv", _csv(document).encode())
    write_page(out / "models.md", _markdown(document))
    names = list(document["models"])
    spokes = [
        (entry["combination"], entry["models"])
        for entry in document["rows"]
        if entry["combination"] != "mean"
    ]
    shown = shown_regions(task)
    write_atomically(out / "ranks.svg", rank_figure(document["ranking"]).svg().encode())
    write_atomically(out / "spider.svg", spider_figure(spokes, names, shown).svg().encode())
    return document


def compared(documents: Mapping[str, Mapping[str, Any]], task: Task) -> dict[str, Any]:
    """Means of each model and differences to the first, by combination and over all, from what ``evaluate`` gave.

    ``models``: a region counts for the subjects that have it in their reference; ``models_all``: for all, absent and
    found absent as 1, which the ranks are made of. ``tests``: every pair, ``difference`` with the p of the paired test,
    each corrected over all that are in the same list.
    """
    regions = [region.name for region in task.regions]
    first = next(iter(documents))
    dice = {name: _dice(document, regions) for name, document in documents.items()}
    whole = {name: _dice(document, regions, absent=True) for name, document in documents.items()}
    combinations = [c for c in task.combinations() if all(c in one for one in dice.values())]
    if not combinations:
        raise InputError(
            "The models have no combination of modalities in common that the subjects have, too."
        )
    subjects = documents[first]["subjects"]
    rows = []
    named = [*((key(c), [c]) for c in combinations), ("mean", combinations)]
    for row, combined in named:
        entry: dict[str, Any] = {
            "combination": row,
            "models": {},
            "models_all": {},
            "difference": {},
        }
        values = {name: mean_of_known(np.stack([one[c] for c in combined]), 0) for name, one in dice.items()}
        for name, found in values.items():
            there = [(k, r) for k, r in enumerate(regions) if _any(found[:, k])]
            entry["models"][name] = {r: _number(mean_of_known(found[:, k])) for k, r in there}
            all_of = mean_of_known(np.stack([whole[name][c] for c in combined]), (0, 1))
            entry["models_all"][name] = {r: _number(value) for r, value in zip(regions, all_of, strict=True)}
            if name != first:
                gap = (found - values[first])[None]
                entry["difference"][name] = {
                    r: bootstrap(gap[..., k : k + 1]) | {"p": signed_rank(values[first][:, k], found[:, k])}
                    for k, r in enumerate(regions)
                    if _any(gap[..., k])
                }
        rows.append(entry)
    _correct([entry for entry in rows if entry["combination"] != "mean"])
    _correct(rows[-1:])
    means = {name: mean_of_known(np.stack([one[c] for c in combinations]), 0) for name, one in dice.items()}
    scores = {
        name: mean_of_known(np.stack([one[c] for c in combinations]), (0, 2)) for name, one in whole.items()
    }
    return {
        "task": task.name,
        "data": documents[first]["data"],
        "subjects": subjects,
        "models": {name: document["model"] for name, document in documents.items()},
        "against": first,
        "regions": regions,
        "rows": rows,
        "tests": pairwise_tests(means, regions),
        "ranking": ranking(scores),
    }


def _correct(rows: Sequence[Mapping[str, Any]]) -> None:
    """Add to each difference in ``rows`` its p corrected for all of them."""
    gaps = [gap for entry in rows for by in entry["difference"].values() for gap in by.values()]
    for gap, p in zip(gaps, holm([gap["p"] for gap in gaps]), strict=True):
        gap["p_holm"] = p


def _dice(
    document: Mapping[str, Any], regions: Sequence[str], *, absent: bool = False
) -> dict[tuple[str, ...], Floats]:
    """(subjects, regions) by combination, nan where the subject lacks a modality.

    Also where the reference lacks the region, unless ``absent``: then it is 1 if found absent, else 0.
    """
    subjects = {name: number for number, name in enumerate(document["subjects"])}
    found: dict[tuple[str, ...], Floats] = {}
    for row in document["by_subject"]:
        table = found.setdefault(tuple(row["combination"]), np.full((len(subjects), len(regions)), np.nan))
        for k, region in enumerate(regions):
            if absent or row["present"][region]:
                table[subjects[row["subject"]], k] = row["dice"][region]
    return found


def _any(values: Floats) -> bool:
    return bool((~np.isnan(values)).any())


def _number(value: Any) -> float:
    return round(float(value), 6)


def _markdown(document: Mapping[str, Any]) -> str:
    regions, first = document["regions"], document["against"]
    names = list(document["models"])
    heads = ["combination"]
    for region in regions:
        heads += [f"{region} {name}" for name in names]
        heads += [f"{region} {name} − {first}" for name in names if name != first]
    rows = []
    for entry in document["rows"]:
        cells = [entry["combination"]]
        for region in regions:
            cells += [number(entry["models"][name].get(region)) for name in names]
            for name in names:
                if name != first:
                    found = entry["difference"][name].get(region)
                    cells.append(
                        "–"
                        if found is None
                        else f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
                        + star(found["p_holm"])
                    )
        rows.append(cells)
    lines = [
        f"{len(document['subjects'])} subjects of {document['data']}. Dice; differences are paired by subject, with a "
        "95 % interval (bootstrap over subjects). A region counts for the subjects that have it. *: p below 0.05 by "
        "Wilcoxon's signed-rank test, corrected by Holm over all differences of combinations, or over those of the "
        "means.",
        "",
        *table(heads, rows),
        *all_subjects_lines(document),
        *ranking_lines(document),
    ]
    return "\n".join(lines) + "\n"


def _csv(document: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ["combination", "region", "model", "dice", "dice_all", "difference", "low", "high", "p", "p_holm"]
    )
    for entry in document["rows"]:
        for region in document["regions"]:
            for name in document["models"]:
                gap = entry["difference"].get(name, {}).get(region, {})
                cells = [
                    entry["models"][name].get(region),
                    entry["models_all"][name].get(region),
                    *(gap.get(part) for part in ("mean", "low", "high", "p", "p_holm")),
                ]
                texts = ["" if cell is None else f"{cell:.6g}" for cell in cells]
                writer.writerow([entry["combination"], region, name, *texts])
    return stream.getvalue()
