"""What the studies of a cohort left, joined: one table, and what it says about the modalities."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.cohort.find import Listed
from napari_mrseg.cohort.sources import is_current
from napari_mrseg.cohort.work import DONE, FAILED, state_of
from napari_mrseg.compare.figures import write_bytes
from napari_mrseg.compare.statistics import bootstrap
from napari_mrseg.compare.table import safe_cell
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import Combination, Task, key

TABLE_CSV, TABLE_PARQUET = "cohort.csv", "cohort.parquet"
COLUMNS = (
    "study", "status", "reason", "combination", "region", "size", "unit", "dice", "in_reference", "dice_to_full",
    "estimated", "trust",
)  # fmt: skip
UNUSUAL = 3.5  # robust standard deviations (Iglewicz and Hoaglin 1993)
Floats = npt.NDArray[np.float64]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Cohort:
    """All that is known of the studies. ``found``: the ``study.json`` of each, in the order of the list."""

    task: Task
    found: tuple[Mapping[str, Any], ...]

    @property
    def done(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(one for one in self.found if one["status"] == DONE)

    @property
    def bad(self) -> tuple[Mapping[str, Any], ...]:
        """Studies without a result, each with its reason."""
        return tuple(one for one in self.found if one["status"] != DONE)

    @property
    def combinations(self) -> tuple[Combination, ...]:
        """Those that some study has, largest first."""
        there = {row["combination"] for one in self.done for row in one["rows"]}
        return tuple(c for c in self.task.combinations() if key(c) in there)

    def values(self, what: str, combination: Combination, region: str) -> dict[str, float]:
        """``size``, ``dice`` or ``to_full`` by study; Dice only where the reference holds the region."""
        found = {}
        for one in self.done:
            for row in one["rows"]:
                if row["combination"] == key(combination) and row["region"] == region:
                    known = what != "dice" or row["in_reference"]
                    if row[what] is not None and known:
                        found[one["name"]] = float(row[what])
        return found


def gather(studies: Sequence[Listed], out: Path, task: Task) -> Cohort:
    """What is there of ``studies`` in ``out``; one that nobody has looked at, or of other files, has failed."""
    found = []
    for one in studies:
        known = state_of(out, one.name)
        if known is None or (known.get("status") != FAILED and not is_current(known, one, task)):
            reason = "not done yet" if known is None else "its files are others by now; run the same again"
            known = {"name": one.name, "status": FAILED, "reason": reason, "rows": []}
        found.append(known)
    return Cohort(task, tuple(found))


def write_tables(cohort: Cohort, out: Path) -> None:
    """``cohort.csv`` and ``cohort.parquet``: a row per study, combination and region; one for a study without a result.

    Numbers are those of the results, nothing of when or how quickly they came: the same studies give the same file.
    """
    rows = [row for one in cohort.found for row in _rows(one, cohort.task)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(["" if row[name] is None else safe_cell(_text(row[name])) for name in COLUMNS])
    write_bytes(out / TABLE_CSV, stream.getvalue().encode("utf-8", "replace"))
    write_bytes(out / TABLE_PARQUET, _parquet(rows))


def _rows(one: Mapping[str, Any], task: Task) -> list[dict[str, Any]]:
    shared = {"study": one["name"], "status": one["status"], "reason": one["reason"] or None}
    if not one["rows"]:
        return [dict.fromkeys(COLUMNS) | shared]
    return [
        shared
        | {name: row[name] for name in ("combination", "region", "size", "dice", "in_reference", "estimated")}
        | {"unit": task.unit, "dice_to_full": row["to_full"], "trust": row.get("trust")}
        for row in one["rows"]
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise InputError(
            'The cohort\'s table needs pyarrow, which is not installed; pip install "napari-mrseg[cohort]".'
        ) from None
    words, flags = pa.string(), pa.bool_()
    kinds = {"size": pa.float64(), "dice": pa.float64(), "dice_to_full": pa.float64()}
    kinds |= {"in_reference": flags, "estimated": flags}
    schema = pa.schema([(name, kinds.get(name, words)) for name in COLUMNS])
    # pyarrow reads rows of None as what the schema says they are.
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


# -- what it says ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sufficient:
    """The smallest combination that keeps ``share`` of the studies within ``threshold`` of all modalities' result."""

    threshold: float
    combination: Combination | None
    share: float
    studies: int


def sufficient(
    cohort: Cohort, region: str, thresholds: Iterable[float] = (0.8, 0.9, 0.95), share: float = 0.9
) -> list[Sufficient]:
    """For each threshold of Dice to the result of all modalities, over the studies that have them all; None if no
    smaller combination does.

    Of equally small combinations the one that keeps more studies, then the one with the larger mean Dice.
    """
    full = [one["name"] for one in cohort.done if tuple(one["present"]) == cohort.task.names]
    lines = []
    for threshold in thresholds:
        best: tuple[int, float, float, Combination] | None = None
        for combination in cohort.combinations:
            values = [v for n, v in cohort.values("to_full", combination, region).items() if n in set(full)]
            if not values or combination == cohort.task.names:
                continue
            kept = float(np.mean([v >= threshold for v in values]))
            place = (-len(combination), kept, float(np.mean(values)), combination)
            if kept >= share and (best is None or place[:3] > best[:3]):
                best = place
        lines.append(Sufficient(threshold, best[3] if best else None, best[1] if best else 0.0, len(full)))
    return lines


@dataclass(frozen=True)
class Alike:
    """Studies that hold the same scans, voxel for voxel. ``scans``: which; ``whole``: all that these studies have."""

    studies: tuple[str, ...]
    scans: tuple[str, ...]
    whole: bool

    @property
    def sentence(self) -> str:
        who = f"{', '.join(self.studies[:-1])} and {self.studies[-1]}"
        if self.whole:
            return f"{who} hold the same scans: one study under several names, which counts more than once."
        return f"{who} share the same {', '.join(self.scans)}: a scan may lie under another study's name."


def same_scans(cohort: Cohort) -> list[Alike]:
    """Groups of studies with equal scans, in the order of the list."""
    holders: dict[str, list[str]] = {}
    modalities: dict[str, set[str]] = {}
    for one in cohort.done:
        for name, voxels in one.get("scans", {}).items():
            if one["name"] not in holders.setdefault(voxels, []):
                holders[voxels].append(one["name"])
            modalities.setdefault(voxels, set()).add(name)
    shared: dict[tuple[str, ...], list[str]] = {}
    for voxels, names in holders.items():
        if len(names) > 1:
            shared.setdefault(tuple(names), []).append(voxels)
    counts = {one["name"]: len(set(one.get("scans", {}).values())) for one in cohort.done}
    found = []
    for studies, scans in shared.items():
        named = {name for voxels in scans for name in modalities[voxels]}
        ordered = tuple(name for name in cohort.task.names if name in named)
        found.append(Alike(studies, ordered, all(counts[name] == len(scans) for name in studies)))
    return found


def attribution(cohort: Cohort, measure: str) -> dict[str, dict[str, dict[str, float]]]:
    """Mean Shapley value of each modality by region, with a 95 % interval (bootstrap over studies).

    ``measure``: size or dice. Over the studies with all modalities, all combinations, and for dice a reference.
    """
    games = [
        one["attribution"][measure]
        for one in cohort.done
        if tuple(one["present"]) == cohort.task.names and measure in one.get("attribution", {})
    ]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for region in cohort.task.regions:
        own = [game[region.name] for game in games if region.name in game]
        if own:
            found[region.name] = {
                name: bootstrap(np.array([game[name] for game in own], dtype=float)[None, :, None])
                for name in cohort.task.names
            }
    return found


@dataclass(frozen=True)
class Outlier:
    """A study that lies apart. ``score``: the largest of its robust standard deviations; ``why``: in words."""

    study: Mapping[str, Any]
    score: float
    why: str


def outliers(cohort: Cohort) -> list[Outlier]:
    """Every done study, the most unusual first, by what its fullest combination found and how stable that is.

    Compared with the cohort's median in units of the scaled median absolute deviation: each region's size (its cube
    root, so that large ones do not hide small ones), Dice, and the mean Dice of its other combinations to the fullest.
    """
    measures: dict[str, dict[str, float]] = {}
    for one in cohort.done:
        first = one["rows"][0]["combination"] if one["rows"] else ""
        for row in one["rows"]:
            if row["combination"] == first:
                name = row["region"]
                measures.setdefault(f"size of {name}", {})[one["name"]] = float(np.cbrt(row["size"] or 0.0))
                if row["dice"] is not None and row["in_reference"]:
                    measures.setdefault(f"Dice of {name}", {})[one["name"]] = float(row["dice"])
        outer = cohort.task.regions[0].name
        others = [
            r["to_full"]
            for r in one["rows"]
            if r["region"] == outer and r["combination"] != first and r["to_full"] is not None
        ]
        if others:
            measures.setdefault("agreement of its combinations", {})[one["name"]] = float(np.mean(others))
    scores: dict[str, tuple[float, str]] = {one["name"]: (0.0, "") for one in cohort.done}
    for words, by_study in measures.items():
        values = np.array(list(by_study.values()))
        middle = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - middle)))
        if spread <= 0:
            continue
        for name, value in by_study.items():
            score = (value - middle) / spread
            bad = abs(score) if words.startswith("size") else max(0.0, -score)  # a good Dice is no outlier
            if bad > scores[name][0]:
                scores[name] = (bad, f"{words} is unusually {'large' if score > 0 else 'small'}")
    found = [Outlier(one, *scores[one["name"]]) for one in cohort.done]
    return sorted(found, key=lambda o: -o.score)


def facts(cohort: Cohort) -> dict[str, Any]:
    """The numbers of the report as JSON."""
    outer = cohort.task.regions[0].name
    return {
        "studies": len(cohort.found),
        "done": len(cohort.done),
        "without_result": [{"study": one["name"], "reason": one["reason"]} for one in cohort.bad],
        "same_scans": [
            {"studies": list(one.studies), "scans": list(one.scans), "whole": one.whole}
            for one in same_scans(cohort)
        ],
        "attribution": {m: attribution(cohort, m) for m in ("size", "dice")},
        "sufficient": [
            {
                "threshold": line.threshold,
                "combination": None if line.combination is None else key(line.combination),
                "share": line.share,
                "studies": line.studies,
            }
            for line in sufficient(cohort, outer)
        ],
        "unusual": [
            {"study": o.study["name"], "score": round(o.score, 3), "why": o.why}
            for o in outliers(cohort)
            if o.score > UNUSUAL
        ],
    }


def write_facts(cohort: Cohort, out: Path) -> None:
    text = json.dumps(facts(cohort), indent=1, ensure_ascii=False)
    write_bytes(out / "summary.json", text.encode("utf-8", "replace"))
