"""Report of one result on two pages: the picture with its diameters, sizes and warnings; then every lesion, all
combinations that were computed, and how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.compare.comparison import Comparison
from napari_mrseg.compare.contact_sheet import ContactSheet
from napari_mrseg.compare.diameters import Diameters
from napari_mrseg.compare.drawing import Drawing, Pixels
from napari_mrseg.compare.label_placement import Label, placed
from napari_mrseg.compare.lesions import MEASURABLE_MM, Lesion, lesions_csv, lesions_of, region_to_measure
from napari_mrseg.compare.metrics import region_mask
from napari_mrseg.compare.pdf import A4, pdf, text_width, wrapped
from napari_mrseg.compare.trust import MARKS, Level
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.io.export import LESIONS, REPORT_PDF
from napari_mrseg.study import Study, joined
from napari_mrseg.tasks import Combination, Region, key, sized

_LEFT, _RIGHT, _BOTTOM = 42, A4[0] - 42, A4[1] - 46
_INK, _FAINT, _LINE, _WARN = "#222222", "#666666", "#bbbbbb", "#8a4b00"
_TILE = 900  # pixels of a picture's longer side
_GAP = 11  # points between two pictures
_MOST = 26  # lesions on the second page
_YELLOW = "#ffd84d"
_LIGHTS: Mapping[Level, str] = {"green": "#1d5c3a", "amber": "#8a5a00", "red": "#8e1020"}


@dataclass(frozen=True)
class CaseReport:
    """What a report speaks of.

    ``result``: of the study, its label map as it is to be reported. ``lesions``: those of ``region``, as the user left
    them; None: measured here. ``edited``: the label map was changed by hand. ``others``: results of other combinations.
    """

    study: Study
    result: Prediction
    date: str
    region: Region | None = None
    lesions: Sequence[Lesion] | None = None
    edited: bool = False
    others: Iterable[Prediction] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> Region:
        """The region whose lesions are listed."""
        result = self.result
        return self.region or region_to_measure(result.task, result.combination, result.sizes)

    def found(self) -> tuple[Lesion, ...]:
        """The lesions in the report."""
        if self.lesions is not None:
            return tuple(self.lesions)
        if self.result.task.ndim != 3:
            return ()
        return lesions_of(region_mask(self.result.labels, self.measured), self.result.grid)


def with_labels(result: Prediction, labels: npt.NDArray[np.uint8]) -> Prediction:
    """The result with a label map that was edited by hand; it has no probabilities."""
    everywhere = tuple(slice(0, n) for n in labels.shape)
    nothing = np.zeros((len(result.task.regions), *(0 for _ in labels.shape)), np.float16)
    return replace(result, labels=np.array(labels, dtype=np.uint8), box=everywhere, probabilities=nothing)


def report_pdf(report: CaseReport) -> bytes:
    """The two pages as PDF. It names no patient: the case, as everywhere, is the folder's name or a number."""
    lesions = report.found()
    return pdf(
        [_first(report, lesions), _second(report, lesions)], title=f"{report.study.case}, segmentation report"
    )


def report_lesions_csv(report: CaseReport) -> str:
    """The lesions as CSV (:mod:`napari_mrseg.compare.lesions`)."""
    result = report.result
    named = key(result.combination) + ("_edited" if report.edited else "")
    return lesions_csv(report.found(), report.measured, case=report.study.case, combination=named)


def case_files(
    study: Study, results: Sequence[Prediction], *, date: str, versions: Mapping[str, str]
) -> dict[str, bytes]:
    """Report and lesions of the result with most modalities, by file name."""
    fullest = max(results, key=lambda one: len(one.combination))
    report = CaseReport(study, fullest, date, others=results, versions=versions)
    report = replace(report, lesions=report.found())
    files = {REPORT_PDF: report_pdf(report)}
    if study.task.ndim == 3:
        files[LESIONS] = report_lesions_csv(report).encode("utf-8", "replace")
    return files


# -- the first page ---------------------------------------------------------------------------------------


class _Page:
    """A drawing that is written from top to bottom."""

    def __init__(self) -> None:
        self.drawing = Drawing(*A4)
        self.y = 52.0

    def head(self, text: str) -> None:
        self.y += 20
        self.drawing.words(_LEFT, self.y, text, size=12, fill=_INK, bold=True)
        self.y += 6

    def lines(self, text: str, *, size: float = 9, fill: str = _INK, most: int = 99) -> None:
        for line in wrapped(text, size, _RIGHT - _LEFT)[:most]:
            self.y += size * 1.4
            self.drawing.words(_LEFT, self.y, line, size=size, fill=fill)

    def row(
        self,
        cells: Sequence[str],
        places: Sequence[float],
        *,
        bold: bool = False,
        fill: str = _INK,
        size: float = 9,
    ) -> None:
        """The first cell begins at its place, the others end at theirs."""
        self.y += size * 1.5
        for number, (cell, place) in enumerate(zip(cells, places, strict=True)):
            anchor: Any = "start" if number == 0 else "end"
            self.drawing.words(place, self.y, cell, size=size, fill=fill, anchor=anchor, bold=bold)

    @property
    def room(self) -> float:
        return _BOTTOM - self.y


def _first(report: CaseReport, lesions: Sequence[Lesion]) -> Drawing:
    study, result = report.study, report.result
    page = _Page()
    size = 20.0
    while size > 9 and text_width(study.case, size, bold=True) > _RIGHT - _LEFT:
        size -= 1
    page.drawing.words(_LEFT, page.y, study.case, size=size, bold=True)
    titles = " + ".join(study.task.modality(name).title for name in result.combination)
    page.lines(f"{study.task.title} · {titles} · {report.date}", size=10, fill=_FAINT)
    marks = [study.task.made_up] if study.simulated else []
    marks += ["edited by hand"] if report.edited else []
    page.lines(" · ".join([*marks, "Research use only: not for diagnosis or treatment"]), size=10, fill=_WARN)
    if not report.edited:  # by hand: whoever painted answers for it
        _light(page, report)
    page.y += 10
    _pictures(page, report, lesions)
    page.head("Sizes")
    _sizes(page, report, lesions)
    notes = [note.message for note in joined([*study.only(result.combination).notes, *result.notes])]
    if notes:
        page.head("To be known about scans and result")
        for note in notes:
            if page.room < 40:
                page.lines("… and more, in result.json", fill=_FAINT)
                break
            page.lines(f"· {note}", fill=_WARN, most=4)
    _foot(page, report, 1)
    return page.drawing


def _light(page: _Page, report: CaseReport) -> None:
    """The traffic light: a field in its colour with the level and the reasons in words, as in the window."""
    result = report.result
    every = {one.combination: one for one in (*report.others, result)}
    trust = Comparison(report.study, list(every.values())).trust(result.combination)
    words = trust.headline.removeprefix(MARKS[trust.level]).strip()  # Helvetica has no such marks
    lines = wrapped(words, 11, _RIGHT - _LEFT - 16)[:3]  # bold is a tenth wider
    page.y += 8
    page.drawing.rect(_LEFT, page.y, _RIGHT - _LEFT, 14 * len(lines) + 6, _LIGHTS[trust.level])
    for line in lines:
        page.y += 14
        page.drawing.words(_LEFT + 8, page.y, line, size=10, fill="#ffffff", bold=True)
    page.y += 6


def _pictures(page: _Page, report: CaseReport, lesions: Sequence[Lesion]) -> None:
    """The slice of the largest lesion, as it is and with outlines and diameters; below it the two other planes."""
    study, result = report.study, report.result
    needed = [name for name in report.measured.needs if name in result.combination]
    background = (needed or list(result.combination))[0]
    blank = replace(result, labels=np.zeros_like(result.labels))
    bare, sheet = (
        ContactSheet(Comparison(study, [one], expected=[one.combination]), background=background, tile=_TILE)
        for one in (blank, result)
    )
    index = lesions[0].diameters.slice if lesions else sheet.best_slice()
    _, zoom, x = _side_by_side(
        page, [bare.tiles(0, index)[0], sheet.tiles(0, index)[0]], 268, study.task.ndim
    )
    here = [one for one in lesions if one.diameters.slice == index and (one.measurable or one is lesions[0])]
    _diameters(page.drawing, sheet, here, (x[1], page.y), zoom)
    page.y += sheet.tiles(0, index).shape[1] * zoom + 2
    title = study.task.modality(background).title
    where = (
        f"axial slice {index + 1} of {study.grid.shape[0]} from the top; the patient's right is on the left"
    )
    page.lines(f"{title}, {where}." if study.task.ndim == 3 else title, size=8, fill=_FAINT)
    if study.task.ndim == 3:
        place = (
            [round(v) for v in lesions[0].place] if lesions else [sheet.best_slice(axis) for axis in range(3)]
        )
        page.y += 5
        pictures = [sheet.tiles(axis, place[axis])[0] for axis in (1, 2)]
        high, _, _ = _side_by_side(page, pictures, 150, 3, ("RL", "AP"))
        page.y += high + 2
        page.lines(
            "Coronal and sagittal through the same place; the front is on the left.", size=8, fill=_FAINT
        )
    x0 = float(_LEFT)
    page.y += 13
    for label in study.task.labels:
        page.drawing.rect(x0, page.y - 7, 8, 8, label.colour, "#555555")
        page.drawing.words(x0 + 12, page.y, label.title, size=8)
        x0 += 26 + text_width(label.title, 8)


def _side_by_side(
    page: _Page, pictures: Sequence[Pixels], most: float, ndim: int, sides: Sequence[str] = ("RL", "RL")
) -> tuple[float, float, list[float]]:
    """Two pictures of one size of voxels, at most ``most`` points high: height, zoom, and where each begins."""
    across = sum(picture.shape[1] for picture in pictures)
    high = max(picture.shape[0] for picture in pictures)
    zoom = min((_RIGHT - _LEFT - _GAP) / across, most / high)
    x, begins = float(_LEFT), []
    for picture, letters in zip(pictures, sides, strict=True):
        begins.append(x)
        page.drawing.picture(x, page.y, picture, zoom)
        height, wide = (n * zoom for n in picture.shape[:2])
        if ndim == 3:
            middle = page.y + height / 2 + 4
            page.drawing.words(x + 4, middle, letters[0], size=10, fill="#ffcf5c")
            page.drawing.words(x + wide - 4, middle, letters[1], size=10, fill="#ffcf5c", anchor="end")
        x += wide + _GAP
    return high * zoom, zoom, begins


def _diameters(
    drawing: Drawing,
    sheet: ContactSheet,
    lesions: Sequence[Lesion],
    corner: tuple[float, float],
    zoom: float,
) -> None:
    def at(place: tuple[float, float]) -> tuple[float, float]:
        x, y = sheet.spot(0, place)
        return corner[1] + y * zoom, corner[0] + x * zoom

    lines = [np.array([[at(end) for end in line] for line in one.lines]) for one in lesions]
    for (y0, x0), (y1, x1) in (line for both in lines for line in both):
        drawing.line(x0, y0, x1, y1, _YELLOW)
    texts = [f"{one.number}: {_mm(one.diameters)}" for one in lesions]
    sizes = [(11.0, 6 + text_width(text, 8)) for text in texts]
    every = np.concatenate(lines) if lines else np.zeros((0, 2, 2))
    labels = [Label(line, size) for line, size in zip(lines, sizes, strict=True)]
    width, height = _RIGHT - corner[0], 268.0
    seen = ((corner[1], corner[0]), (corner[1] + height, corner[0] + width))
    for text, size, (y, x) in zip(texts, sizes, placed(labels, every, seen), strict=True):
        drawing.rect(x - size[1] / 2, y - size[0] / 2, size[1], size[0], "#000000")
        drawing.words(x, y + 3, text, size=8, fill=_YELLOW, anchor="middle")


def _mm(d: Diameters) -> str:
    return f"{d.long_mm:.0f} × {d.short_mm:.0f} mm"


def _sizes(page: _Page, report: CaseReport, lesions: Sequence[Lesion]) -> None:
    task, result, study = report.result.task, report.result, report.study
    comparison = Comparison(study, [result], against=result.combination, expected=[result.combination])
    dice = comparison.row(result.combination).dice
    places = (_LEFT, 330, 400, _RIGHT)
    page.row(("region", task.unit, "Dice" if dice else "", ""), places, fill=_FAINT, size=8)
    guessed = task.estimated(result.combination)
    for region in task.regions:
        estimate = region in guessed
        value = None if dice is None else dice.get(region.name)
        page.row(
            (
                f"{region.name}, {region.title}",
                sized(result.sizes[region.name], task.unit),
                "" if value is None or estimate else f"{value:.2f}",
                (region.unseen or "estimate") if estimate else "",
            ),
            places,
            fill=_FAINT if estimate else _INK,
            size=10,
        )
    if task.ndim != 3:
        return
    page.y += 4
    page.lines(_sum(report, lesions), size=10)


def _sum(report: CaseReport, lesions: Sequence[Lesion]) -> str:
    region = report.measured
    if not lesions:
        return f"No lesion of {region.name} is in this result. That does not mean that nothing is there."
    counted = [one for one in lesions if one.measurable]
    total = sum(one.diameters.product_mm2 for one in counted)
    many = "1 lesion" if len(lesions) == 1 else f"{len(lesions)} lesions"
    text = f"{region.name}: {many}, the largest {_mm(lesions[0].diameters)}."
    if not counted:
        return f"{text} None is measurable (both diameters at least {MEASURABLE_MM:g} mm)."
    return f"{text} Sum of the products of {len(counted)} measurable (from {MEASURABLE_MM:g} mm): {total:.0f} mm²."


# -- the second page --------------------------------------------------------------------------------------


def _second(report: CaseReport, lesions: Sequence[Lesion]) -> Drawing:
    page = _Page()
    if report.result.task.ndim == 3:
        page.y = 34
        page.head(f"Lesions of {report.measured.name}, {report.measured.title}")
        _lesions(page, lesions)
    _combinations(page, report)
    page.head("How this was made")
    result, model = report.result, report.result.model
    spacing = f"{result.spacing:g} {result.task.length_unit}"
    lines = [
        f"Model {model['name']} {model['version']}, sha256 {model['sha256']}",
        f"On {result.device}, {result.precision}, at {spacing}, {result.seconds:.1f} s",
        ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    ]
    if report.edited:
        lines.insert(0, "The label map was changed by hand; model and probabilities are those it began from.")
    for line in lines:
        if line:
            page.lines(line, size=8, most=2)
    page.head("How the numbers are computed")
    for line in _EXPLAINED if result.task.ndim == 3 else _EXPLAINED[:1]:
        page.lines(line, size=8, fill=_FAINT)
    _foot(page, report, 2)
    return page.drawing


_EXPLAINED = (
    "Sizes count the voxels of the label map. Dice is twice the common voxels over the sum of both.",
    "A lesion is a connected part of the region; voxels that touch by a corner are connected. Its diameters are the "
    "longest line in an axial slice and the longest one at right angles to it, voxels' own width included, in the "
    "slice with the largest product; * was corrected by hand. Positions are the centre of mass, in millimetres to the "
    "right, to the front and to the top of the scanner's origin.",
)


def _lesions(page: _Page, lesions: Sequence[Lesion]) -> None:
    if not lesions:
        page.lines("None in this result.", fill=_FAINT)
        return
    places = (_LEFT, 120, 230, 310, 430, _RIGHT)
    page.row(("number", "mL", "mm × mm", "mm²", "R, A, S (mm)", "axial slice"), places, fill=_FAINT, size=8)
    for one in lesions[:_MOST]:
        d = one.diameters
        page.row(
            (
                str(one.number),
                f"{one.ml:.2f}",
                f"{d.long_mm:.1f} × {d.short_mm:.1f}{' *' if one.corrected else ''}",
                f"{d.product_mm2:.0f}",
                ", ".join(f"{v:.1f}" for v in one.centre_mm),
                str(d.slice + 1),
            ),
            places,
            fill=_INK if one.measurable else _FAINT,
            size=8.5,
        )
    if len(lesions) > _MOST:
        rest = lesions[_MOST:]
        page.lines(
            f"… and {len(rest)} smaller ones, {sum(one.ml for one in rest):.2f} mL together", fill=_FAINT
        )
    page.lines(f"Grey: not measurable, a diameter is under {MEASURABLE_MM:g} mm.", size=8, fill=_FAINT)


def _combinations(page: _Page, report: CaseReport) -> None:
    """Sizes of every combination that was computed, the largest first."""
    found: dict[Combination, Prediction] = {p.combination: p for p in report.others if not p.preview}
    task = report.result.task
    if len(found) < 2:
        return
    page.head(f"All {len(found)} computed combinations, {task.unit}, by the model alone")
    step = 92
    places = (_LEFT, *(_RIGHT - step * n for n in reversed(range(len(task.regions)))))
    page.row(("", *(region.name for region in task.regions)), places, fill=_FAINT, size=8)
    for combination in (c for c in task.combinations() if c in found):
        one, guessed = found[combination], task.estimated(combination)
        titles = " + ".join(task.modality(name).title for name in combination)
        sizes = [
            sized(one.sizes[r.name], task.unit) + (" (estimate)" if r in guessed else "")
            for r in task.regions
        ]
        page.row((titles, *sizes), places, size=8)


def _foot(page: _Page, report: CaseReport, number: int) -> None:
    model = report.result.model
    y = A4[1] - 24
    text = f"{report.study.case} · {model['name']} {model['version']} · research use only"
    while text_width(text, 8) > _RIGHT - _LEFT - 40:
        text = f"{text[: len(text) - 2]}"
    page.drawing.line(_LEFT, y - 12, _RIGHT, y - 12, _LINE)
    page.drawing.words(_LEFT, y, text, size=8, fill=_FAINT)
    page.drawing.words(_RIGHT, y, f"{number} of 2", size=8, fill=_FAINT, anchor="end")
