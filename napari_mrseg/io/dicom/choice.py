"""The series of one study as files with roles: what each shows beside the others, and which of several is taken.

Of several that show the same: an original before a copy, the surest, the finest, then the latest; of scans before an
agent the earliest, because a later one that looks alike may have been taken after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_mrseg.io.agent import Side, Vote, weigh
from napari_mrseg.io.decision import Decision
from napari_mrseg.io.dicom import case_of, names_study
from napari_mrseg.io.dicom.index import Export, Series, index
from napari_mrseg.io.dicom.role import agent_votes, description_of, judge, protocol_of
from napari_mrseg.io.keywords import find_claims, siblings, words_of
from napari_mrseg.tasks import Task

FINER_MM = 0.5  # slices must differ by more to be called finer
WHOLE_MOMENT = 14  # characters of a date and a time
PARALLEL = 0.95  # cosine between normals of slices that lie the same way


@dataclass(frozen=True)
class Judged:
    """The series of an export with what each shows. ``refusal``: why they make no one study, or nothing.

    ``studies``: path and words of each, where there are several.
    """

    case: str
    series: tuple[tuple[Series, Decision], ...]
    refusal: str = ""
    studies: tuple[tuple[Path, str], ...] = ()


def judge_export(path: Path, task: Task) -> Judged | None:
    """What the export, archive or "EXPORT/study 2" at ``path`` holds; None if that is no series at all."""
    export = index(path.parent if names_study(path) else path)
    if not export.series:
        return None
    studies = export.studies
    if names_study(path):
        number = path.name.removeprefix("study ").strip()
        chosen = studies[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(studies) else None
        if chosen is None:
            return Judged(
                path.name, (), f"{path.parent.name} holds {len(studies)} studies and no {path.name}."
            )
    elif len(studies) > 1:
        every = tuple((s, judge(s, task)) for s in export.series)
        listed = _listed(export)
        shown = "; ".join(words for _, words in listed[:8])
        more = f"; {len(listed) - 8} more" if len(listed) > 8 else ""
        name = export.root.name
        problem = (
            f"{name} holds {len(listed)} studies: {shown}{more}; open one of them, e.g. “{name}/study 1”."
        )
        return Judged("an export", every, problem, listed)
    else:
        chosen = studies[0]
    return Judged(case_of(chosen), _chosen(export.of(chosen), task))


def _listed(export: Export) -> tuple[tuple[Path, str], ...]:
    """Path and words of each study: whose, when, how much; no name."""
    found = []
    for number, study in enumerate(export.studies, start=1):
        own = export.of(study)
        date = str(own[0].header.get("StudyDate") or "")
        when = f", {date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else ""
        words = f"study {number} (patient {own[0].patient}{when}, {len(own)} series)"
        found.append((export.root / f"study {number}", words))
    return tuple(found)


def judge_beside(series: Sequence[Series], task: Task) -> dict[Series, Decision]:
    """What each of the ``series`` of one study shows, judged beside the others."""
    described: dict[str, set[str]] = {}
    for one in series:
        described.setdefault(protocol_of(one), set()).add(description_of(one))
    # A protocol's name that names no modality, or stands for series described as different ones, is the examination's.
    own = {
        s: len(described[protocol_of(s)]) == 1 and bool(find_claims(words_of(protocol_of(s)), task))
        for s in series
    }
    sides = {
        s: weigh(v for v in agent_votes(s, protocol=own[s]) if v.weight == 2).side
        for s in series
        if len(s.moment) >= WHOLE_MOMENT
    }
    return {s: judge(s, task, by_time(s, sides), protocol=own[s]) for s in series}


def by_time(series: Series, sides: Mapping[Series, Side]) -> list[Vote]:
    """What follows for ``series`` from when the others were taken, and what they say: an agent, once given, stays.

    Later than a scan after an agent is after it as well, and earlier than a scan without one is without it. To be
    before a scan after an agent proves nothing: there may be two.
    """
    if series not in sides:
        return []
    when, votes = series.moment, []
    before = next((s for s in sides if s.moment < when and sides[s] == "post"), None)
    if before is not None:
        votes.append(
            Vote("time", "post", f"it was taken later than {before.path.name}, which is after an agent")
        )
    after = next((s for s in sides if s.moment > when and sides[s] == "pre"), None)
    if after is not None:
        votes.append(
            Vote("time", "pre", f"it was taken earlier than {after.path.name}, which is without an agent")
        )
    return votes


def _chosen(series: tuple[Series, ...], task: Task) -> tuple[tuple[Series, Decision], ...]:
    judged = judge_beside(series, task)
    moments = sorted({s.moment for s in series})
    for name in task.names:
        same = [s for s, decision in judged.items() if decision.role == name]
        if len(same) < 2:
            continue
        pair = siblings(task, name)
        early = pair is not None and name == pair[0].name

        def rank(s: Series, early: bool = early) -> tuple[object, ...]:
            place = moments.index(s.moment)
            return _rank(s, judged[s], -place if early else place)

        best = max(same, key=rank)
        for other in same:
            if other is not best:
                why = f"{judged[other].reason}, but {best.path.name} {_why(best, other, early)}"
                judged[other] = Decision(None, why, near=(name,))
        more = f"{judged[best].reason}; chosen of {len(same)} series of {name}"
        judged[best] = replace(judged[best], reason=more)
    return tuple(judged.items())


def _coarsest(series: Series) -> float:
    return max(series.slice_mm, *series.pixel_mm)


def _rank(series: Series, decision: Decision, place: int) -> tuple[object, ...]:
    """``place`` in time, so that more is better."""
    voxels = len(series.frames) * series.shape[0] * series.shape[1]
    return (
        "DERIVED" not in series.image_type,
        decision.confidence == "sure",
        -round(_coarsest(series) / FINER_MM),
        place,
        voxels,
        series.number or 0,
    )


def _why(best: Series, other: Series, early: bool) -> str:
    if "DERIVED" in other.image_type and "DERIVED" not in best.image_type:
        return "is the original"
    if round(_coarsest(best) / FINER_MM) < round(_coarsest(other) / FINER_MM):
        return f"is finer ({_coarsest(best):.1f} against {_coarsest(other):.1f} mm)"
    if _elsewhere(best, other):
        return "was chosen, and covers another part of the head"
    if early and best.moment < other.moment:
        return "was taken earlier, and a later one may be after an agent"
    if not early and best.moment > other.moment:
        return "was taken later"
    return "was chosen"


def _elsewhere(a: Series, b: Series) -> bool:
    """True if both are slabs across the same axis that share less than half of the shorter one."""
    if abs(float(a.normal @ b.normal)) < PARALLEL:
        return False
    spans = [sorted(float(np.dot(s.frames[end].position, a.normal)) for end in (0, -1)) for s in (a, b)]
    shared = min(span[1] for span in spans) - max(span[0] for span in spans)
    return shared < min(span[1] - span[0] for span in spans) / 2
