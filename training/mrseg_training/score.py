"""``mrseg score``: predictions that were made elsewhere, in the tables that our own models are measured in."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

from mrseg_training.atomic import write_atomically
from mrseg_training.data.audit import Problem, Survey
from mrseg_training.data.subjects import Files
from mrseg_training.evaluate import plain, rows_csv
from mrseg_training.evaluate_models import MODELS, write_models
from mrseg_training.log import Count, Say, silent
from mrseg_training.measure import Reference, measured_row, measuring, scores
from mrseg_training.paper_table import shown_regions, summarise, table_markdown
from mrseg_training.results import find_references
from mrseg_training.tables import write_page
from mrseg_training.volume_agreement import volume_figure
from napari_mrseg.compare.metrics import sizes
from napari_mrseg.compare.write import called
from napari_mrseg.errors import InputError
from napari_mrseg.io.labels import scheme_note
from napari_mrseg.io.recognise import REFERENCE
from napari_mrseg.io.result_files import read_labels, read_result
from napari_mrseg.io.result_names import Results, find_results
from napari_mrseg.study import Grid
from napari_mrseg.study import Reference as Labelled
from napari_mrseg.tasks import DEFAULT, Task

OUTPUTS = ("table.md", "table.json", "table.csv", "volumes.svg")
UNSEEN = (
    "The predictions were made elsewhere: what their model was trained on, and whether it has seen these subjects, is "
    "not known here."
)


class Naming(NamedTuple):
    """How the files of results are named and lie, as ``find_results`` and ``read_result`` take it."""

    pattern: str | None = None
    use: str | None = None
    order: Sequence[str] = ()
    scheme: str | None = None
    as_reference: bool = False


def score(
    results: str | Path,
    reference: str | Path,
    out: str | Path,
    *,
    task: Task = DEFAULT,
    labels: str | None = None,
    naming: Naming = Naming(),
    subjects: Sequence[str] | None = None,
    hd95: bool = True,
    lesions: bool = False,
    processes: int = 0,
    overwrite: bool = False,
    say: Say = silent,
) -> dict[str, Any]:
    """Measure the label files under ``results`` against the references under ``reference``; writes :data:`OUTPUTS`.

    Results and references on one grid are compared voxel for voxel, as ``evaluate`` does; others are resampled onto the
    reference's grid, which is said. ``labels``: the scheme of the references' codes. ``subjects``: only these.
    Returns the content of ``table.json``. Raises InputError for what cannot be measured, or if ``out`` is taken.
    """
    results, reference, out = Path(results), Path(reference), Path(out)
    if task.ndim != 3:
        raise InputError(
            f"mrseg score takes volumes; {task.name} is a task of images, which evaluate measures."
        )
    taken = [name for name in OUTPUTS if (out / name).exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]} is already in {out.name}; use --overwrite, or another folder.")
    source = find_references(reference, task, labels)
    source = source if subjects is None else _some(source, subjects)
    found = find_results(
        results, source.ids, task, pattern=naming.pattern, use=naming.use, order=naming.order
    )
    say(found.sentence())
    lacking = [subject for subject in source.ids if subject not in found.files]
    if lacking:
        say(
            f"{len(lacking)} of {len(source.ids)} subjects of the reference, such as {lacking[0]}, have no result: "
            "they are not measured."
        )
    rows: list[dict[str, Any]] = []
    moved: list[str] = []
    survey, began = Survey(source), time.monotonic()
    with measuring(processes) as pool:
        for done, (subject, files) in enumerate(found.files.items(), start=1):
            path = source.found[subject][REFERENCE]
            truth = read_labels(path, task, labels)
            note = scheme_note(path, truth, task, labels)
            survey.add(
                subject,
                [] if note is None else [Problem(subject, note.message, False, note.code)],
                truth.codes,
            )
            own, resampled = _subject(subject, truth, files, task, naming, pool, hd95=hd95, lesions=lesions)
            rows += own
            moved += resampled
            left = (time.monotonic() - began) / done * (len(found.files) - done)
            say(Count("measured", done, len(found.files), left))
    survey.check(say)
    document = {
        "model": {"name": found.name, "version": "", "sha256": ""},
        "results": {"folder": found.name, "patterns": list(found.patterns), "resampled": moved},
        "data": reference.resolve().name,
        "task": task.name,
        "subjects": list(found.files),
        "without_result": lacking,
        "seen": None,
        **summarise(rows, task),
        "by_subject": rows,
    }
    _write(document, found, task, out, say)
    report: dict[str, Any] = plain(document)
    return report


def score_several(
    folders: Sequence[str | Path],
    reference: str | Path,
    out: str | Path,
    *,
    task: Task = DEFAULT,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """:func:`score` of each folder in one of its name, and all side by side as ``evaluate`` of several models does.

    A folder that ``evaluate`` or ``score`` has left is taken with the numbers in its ``table.json``, so that our models
    stand beside others' predictions. Only subjects that every folder has are compared. Returns the content of
    ``models.json``. Raises InputError as :func:`score` does, and where no subject is in all of them.
    """
    out, paths = Path(out), [Path(folder) for folder in folders]
    names = called([{"name": path.resolve().name, "version": ""} for path in paths])
    names = [name.replace(" ", "-") for name in names]
    taken = [out / name for name in MODELS if (out / name).exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0].name} is already in {out.name}; use --overwrite, or another folder.")
    documents = {}
    for name, path in zip(names, paths, strict=True):
        if (path / "table.json").is_file():
            documents[name] = _measured(path, task)
        else:
            documents[name] = score(path, reference, out / name, task=task, overwrite=overwrite, **options)
    common = [
        s for s in documents[names[0]]["subjects"] if all(s in d["subjects"] for d in documents.values())
    ]
    if not common:
        raise InputError(
            f"{' and '.join(names)} have no subject in common; give results of the same subjects."
        )
    every = {s for document in documents.values() for s in document["subjects"]}
    if len(common) < len(every):
        options.get("say", silent)(
            f"{len(common)} of {len(every)} subjects have results in every folder: these are compared."
        )
    return write_models({name: _only(d, common) for name, d in documents.items()}, task, out)


def _measured(folder: Path, task: Task) -> dict[str, Any]:
    """What ``evaluate`` or ``score`` has left in ``folder``. Raises InputError if it is not of ``task``."""
    try:
        document: dict[str, Any] = json.loads((folder / "table.json").read_text(encoding="utf-8"))
        regions = set(document["by_subject"][0]["dice"])
        document["subjects"], document["data"], document["model"]
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(
            f"{folder.name}/table.json is not what mrseg evaluate or score writes; measure again."
        ) from None
    if regions != {region.name for region in task.regions}:
        raise InputError(
            f"{folder.name}/table.json is of other regions ({', '.join(sorted(regions))}); choose --task."
        )
    return document


def _only(document: Mapping[str, Any], subjects: Sequence[str]) -> dict[str, Any]:
    rows = [row for row in document["by_subject"] if row["subject"] in set(subjects)]
    return {**document, "subjects": list(subjects), "by_subject": rows}


def _some(source: Files, subjects: Sequence[str]) -> Files:
    missing = [subject for subject in subjects if subject not in source.found]
    if missing:
        raise InputError(f"{missing[0]} has no reference there; check the list of ids.")
    return source.only(subjects)


def _subject(
    subject: str,
    truth: Labelled,
    files: Mapping[tuple[str, ...], Path],
    task: Task,
    naming: Naming,
    pool: Executor,
    *,
    hd95: bool,
    lesions: bool,
) -> tuple[list[dict[str, Any]], list[str]]:
    """A row per result of one subject, and the names of those that were resampled."""
    known: dict[Grid, Reference] = {}
    rows, waiting, moved = [], [], []
    for combination, path in files.items():
        result, resampled = read_result(path, truth, task, naming.scheme, as_reference=naming.as_reference)
        moved += [path.name] if resampled else []
        grid = result.source.ipl_grid  # the reference's, but for rounding in its header
        if grid not in known:
            known[grid] = Reference.of(truth.labels, task, grid.spacing, grid.voxel_ml)
        waiting.append(pool.submit(scores, result.labels, known[grid], hd95=hd95, lesions=lesions))
        size = sizes(result.labels, task, grid.voxel_ml)
        rows.append(measured_row(subject, combination, size, known[grid]))
    return [row | one.result() for row, one in zip(rows, waiting, strict=True)], moved


def _write(document: Mapping[str, Any], found: Results, task: Task, out: Path, say: Say) -> None:
    moved = document["results"]["resampled"]
    grid = "scored on the references' own grid"
    if moved:
        grid += f"; {len(moved)} results, such as {moved[0]}, lay on another one and were resampled (nearest voxel)"
        say(
            f"{len(moved)} results, such as {moved[0]}, lay on another grid and were resampled (nearest voxel)."
        )
    lacking = document["without_result"]
    without = (
        f" {len(lacking)} subjects of the reference have no result and are not counted." if lacking else ""
    )
    made_by = f"predictions in {found.name} (read as {' and '.join(found.patterns)}), {grid}"
    page = table_markdown(document, task, made_by, UNSEEN + without)
    write_atomically(out / "table.csv", rows_csv(document["by_subject"], task).encode())
    figure = volume_figure(document["by_subject"], shown_regions(task), task.unit)
    write_atomically(out / "volumes.svg", figure.svg().encode())
    write_page(out / "table.md", page)
    write_atomically(out / "table.json", json.dumps(plain(document), indent=1).encode())
