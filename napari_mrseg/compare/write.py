"""Everything ``mrseg compare`` leaves in its folder, in one call."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date as today
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mrseg.compare.case_report import case_files
from napari_mrseg.compare.comparison import Comparison, Second, dice_to_reference, trust_in
from napari_mrseg.compare.comparison_report import report_html
from napari_mrseg.compare.diameters import diameters_of
from napari_mrseg.compare.figures import write_bytes
from napari_mrseg.compare.table import notes_of, table_csv, table_document
from napari_mrseg.compare.worth import worth_by
from napari_mrseg.errors import InputError
from napari_mrseg.io.export import (
    LESIONS,
    REPORT,
    REPORT_PDF,
    TABLE_CSV,
    TABLE_JSON,
    check_outputs,
    versions,
    write_results,
)
from napari_mrseg.io.lock import only_writer
from napari_mrseg.study import Note, Study
from napari_mrseg.tasks import Combination

if TYPE_CHECKING:
    from napari_mrseg.inference.prediction import Prediction
    from napari_mrseg.models.card import ModelCard

__all__ = ["MODELS", "REPORT", "TABLE_CSV", "TABLE_JSON", "write_comparison", "write_models"]

MODELS = ("models.csv", "models.json", "models.html")


def write_comparison(
    study: Study,
    predictions: Iterable[Prediction],
    out: str | os.PathLike[str],
    *,
    model: Mapping[str, Any],
    combinations: Iterable[Combination] | None = None,
    grid: str | None = None,
    overwrite: bool = False,
    warnings: Iterable[Note] = (),
    hd95: bool = True,
    date: str | None = None,
    pdf: bool = False,
    card: ModelCard | None = None,
) -> dict[str, Any]:
    """Write the label files and ``result.json``, and beside them table.csv, table.json and report.html.

    ``predictions`` may still be computing. ``combinations`` (default: all that the study allows) are those to
    come, so that what would be in the way is refused before the first one is computed. All files move in
    together, after the last one is made: an error or a cancel leaves the folder as it was. ``hd95``: also
    measure surface distances to a reference (up to half a second per combination). ``pdf``: also write the two pages
    of :mod:`napari_mrseg.compare.case_report`, and the lesions, of the result with most modalities.

    Returns the content of ``result.json``. Raises InputError as ``write_results`` does.
    """
    out = Path(out)
    expected = study.task.combinations(study.present) if combinations is None else tuple(combinations)
    texts = (TABLE_CSV, TABLE_JSON, REPORT, *((REPORT_PDF, LESIONS) if pdf else ()))
    check_outputs(out, expected, study=study, grid=grid, overwrite=overwrite, extra=texts)

    with only_writer(out):
        done = list(predictions)
        extra = tuple(warnings)
        comparison = Comparison(study, done, expected=expected, card=card)
        if hd95:
            for combination in comparison.predictions:
                comparison.measure(combination)
        document = table_document(
            comparison, model=model, versions=versions(), warnings=(*notes_of(comparison), *extra)
        )
        date = date or today.today().isoformat()
        files: dict[str, str | bytes] = {
            TABLE_CSV: table_csv(comparison),
            TABLE_JSON: json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
            REPORT: report_html(comparison, document, date=date),
        }
        if pdf:
            files |= case_files(study, done, date=date, versions=versions())
        return write_results(
            study,
            done,
            out,
            model=model,
            grid=grid,
            overwrite=overwrite,
            warnings=extra,
            dice=dice_to_reference(study),
            diameters=diameters_of,
            trust=trust_in(study),
            worth=None if card is None else worth_by(card, study.task),
            extra_files=files,
            held=True,
        )


def called(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """What two models are called beside each other: their names, with the version or a number if those are alike."""
    names = [str(model["name"]) for model in models]
    if len(set(names)) < len(names):
        names = [f"{model['name']} {model['version']}" for model in models]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for number, name in enumerate(names, start=1)]
    return names


def write_models(
    study: Study,
    predictions: Sequence[Iterable[Prediction]],
    out: str | os.PathLike[str],
    *,
    models: Sequence[Mapping[str, Any]],
    combinations: Sequence[Sequence[Combination]],
    grid: str | None = None,
    overwrite: bool = False,
    date: str | None = None,
) -> dict[str, Any]:
    """Two models on one study: a comparison of each in a folder of its name, and :data:`MODELS` of both beside them.

    Nothing is written before the last prediction is there. Returns the content of ``models.json``. Raises InputError
    as :func:`write_comparison` does.
    """
    out = Path(out)
    names = called(models)
    folders = [out / name.replace(" ", "-") for name in names]
    texts = (TABLE_CSV, TABLE_JSON, REPORT)
    for folder, expected in zip(folders, combinations, strict=True):
        check_outputs(folder, tuple(expected), study=study, grid=grid, overwrite=overwrite, extra=texts)
    existing = [name for name in MODELS if (out / name).exists()]
    if existing and not overwrite:
        raise InputError(f"{existing[0]} is already in {out.name}; use --overwrite, or another folder.")
    with only_writer(out):
        done = [list(found) for found in predictions]
        date = date or today.today().isoformat()
        for folder, found, model, expected in zip(folders, done, models, combinations, strict=True):
            write_comparison(
                study,
                found,
                folder,
                model=model,
                combinations=expected,
                grid=grid,
                overwrite=overwrite,
                date=date,
            )
        second = Second(names[1], {p.combination: p for p in done[1]})
        expected = [
            c for c in study.task.combinations(study.present) if any(c in one for one in combinations)
        ]
        both = Comparison(study, done[0], expected=expected).beside(second)
        for combination in both.predictions:
            both.measure(combination)
        document = table_document(both, model=models[0], versions=versions())
        texts_of = (
            table_csv(both),
            json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
            report_html(both, document, date=date),
        )
        for name, text in zip(MODELS, texts_of, strict=True):
            write_bytes(out / name, text.encode())
        return document
