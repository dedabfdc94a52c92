"""The series of one study as files with roles: of several that show the same, the finest, then the latest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from napari_mrseg.io.dicom import case_of, names_study
from napari_mrseg.io.dicom.index import Export, Series, index
from napari_mrseg.io.dicom.role import judge
from napari_mrseg.io.verdict import Verdict
from napari_mrseg.tasks import Task

FINER_MM = 0.5  # slices must differ by more to be called finer


@dataclass(frozen=True)
class Judged:
    """The series of an export with what each shows. ``refusal``: why they make no one study, or nothing.

    ``studies``: path and words of each, where there are several.
    """

    case: str
    series: tuple[tuple[Series, Verdict], ...]
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
        said = f"{name} holds {len(listed)} studies: {shown}{more}; open one of them, e.g. “{name}/study 1”."
        return Judged("an export", every, said, listed)
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


def _chosen(series: tuple[Series, ...], task: Task) -> tuple[tuple[Series, Verdict], ...]:
    judged = {s: judge(s, task) for s in series}
    for name in task.names:
        same = [s for s, verdict in judged.items() if verdict.role == name]
        if len(same) < 2:
            continue
        best = max(same, key=lambda s: _rank(s, judged[s]))
        for other in same:
            if other is not best:
                why = f"{judged[other].reason}, but {best.path.name} {_why(best, other)}"
                judged[other] = Verdict(None, why)
        more = f"{judged[best].reason}; chosen of {len(same)} series of {name}"
        judged[best] = replace(judged[best], reason=more)
    return tuple(judged.items())


def _coarsest(series: Series) -> float:
    return max(series.slice_mm, *series.pixel_mm)


def _rank(series: Series, verdict: Verdict) -> tuple[object, ...]:
    derived = "DERIVED" in series.image_type and "SECONDARY" in series.image_type
    voxels = len(series.frames) * series.shape[0] * series.shape[1]
    return (
        not derived,
        verdict.confidence == "sure",
        -round(_coarsest(series) / FINER_MM),
        series.moment,
        voxels,
        series.number or 0,
    )


def _why(best: Series, other: Series) -> str:
    if "DERIVED" in other.image_type and "DERIVED" not in best.image_type:
        return "is the original"
    if round(_coarsest(best) / FINER_MM) < round(_coarsest(other) / FINER_MM):
        return f"is finer ({_coarsest(best):.1f} against {_coarsest(other):.1f} mm)"
    if best.moment > other.moment:
        return "was taken later"
    return "was chosen"
