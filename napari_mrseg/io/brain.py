"""Heads with their skull, as scanners give them: the brain is cut out, since models are made for brains alone.

By a tool that is installed (SynthStrip, HD-BET), else by fitting a template's brain to the head (affine, mutual
information) and following the border of the tissue from there.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.errors import InputError
from napari_mrseg.foreground import FLOOR, SKULL_ML
from napari_mrseg.io.align import as_itk, climb, field_of_view, matrix_of, sample
from napari_mrseg.resources.template import SPACING, tissue_maps
from napari_mrseg.steps import Outcome, Step, take
from napari_mrseg.study import AppliedStep, Grid, Image, Note, Source, Study
from napari_mrseg.tasks import Task

How = Literal["auto", "template", "synthstrip", "hd-bet", "none"]
TOOLS: Mapping[str, tuple[str, ...]] = {
    "synthstrip": ("mri_synthstrip", "-i", "{scan}", "-m", "{mask}"),
    "hd-bet": ("hd-bet", "-i", "{scan}", "-o", "{out}", "-device", "cpu", "--save_bet_mask"),
}
COARSE_MM, MIDDLE_MM = 8.0, 4.0  # grids on which the template is fitted
SCALP_MM = 12.0  # between the top of the head and that of the brain
CENTRAL_MM = 40.0  # around the brain's middle: brain in every head
USUAL_SCALE = 0.9  # of brains to the template's, which is a large one
LOW, HIGH = 0.45, 1.9  # of the middle of the brain's intensities: tissue lies between
BRIDGED = 0.004  # share of what was found that lies in the skin, above which it is not parted from it
LEAST_LIKE = 0.85  # Dice of the brain found with the template's below which it is doubtful
USUAL_ML = (1000.0, 1900.0)
LEAST_ML = 500.0  # less is no adult's brain, and not worth cutting anything away for
WAIT_S = 900  # for a tool

_OF_A_CUT = ("brain_cut_out", "brain_doubtful", "brain_by_hand")  # codes of notes that a new cut replaces

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BrainMask(Step):
    """The brain alone, in all scans, where one of them shows more than a brain."""

    how: How = "auto"
    name = "brain mask"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        if task.expects != "adult brain" or self.how == "none":
            return {}, ()
        volumes = {name: _shown_ml(image) for name, image in images.items()}
        if max(volumes.values()) <= SKULL_ML:
            return {}, ()
        stripped = [name for name, ml in volumes.items() if USUAL_ML[0] <= ml <= SKULL_ML]
        if stripped and len({image.data.shape for image in images.values()}) == 1:
            mask, by = (
                _closed(_foreground(images[stripped[0]].data), 2),
                f"the brain that {stripped[0]} shows alone",
            )
            doubt = ""
        else:
            chosen = _clearest(images, task)
            mask, by, doubt = find_brain(images[chosen], self.how)
        ml = float(mask.sum()) * next(iter(images.values())).source.ipl_grid.voxel_ml
        if ml < LEAST_ML:
            message = "The scans show more than a brain, but no brain was found in them: nothing was cut out."
            return {}, (Note("brain_not_found", message),)
        changed = {
            name: replace(self._cut(image, mask, by, ml), mask=mask, whole=image.data)
            for name, image in images.items()
        }
        message = (
            f"The scans show the skull: the brain was cut out by {by}, {ml:.0f} mL; look at its border, "
            "where a tumour may be cut."
        )
        notes = (Note("brain_cut_out", message),)
        return changed, (*notes, Note("brain_doubtful", doubt)) if doubt else notes

    def _cut(self, image: Image, mask: Mask, by: str, ml: float) -> Image:
        return self.changed(image, np.where(mask, image.data, np.float32(0)), by=by, ml=round(ml))


@dataclass(frozen=True, eq=False)
class GivenMask(Step):
    """The brain as somebody drew it, in place of one found before; ``mask``: (I, P, L) bool on the study's grid."""

    mask: Mask
    name = "brain mask by hand"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        digest = hashlib.sha256(np.packbits(self.mask).tobytes()).hexdigest()[:16]
        changed = {}
        for name, image in images.items():
            step_record = AppliedStep.of(self.name, {"mask": digest})
            whole = image.data if image.whole is None else image.whole
            before = tuple(step for step in image.steps if step.name not in (BrainMask.name, self.name))
            data = np.where(self.mask, whole, np.float32(0))
            changed[name] = Image(data, image.source, (*before, step_record), self.mask, whole)
        return changed, (Note("brain_by_hand", "The brain was cut out by a mask that was edited by hand."),)


def recut(study: Study, mask: Mask) -> Study:
    """The study with the brain as ``mask`` says, (I, P, L) bool, in place of the one that was found."""
    kept = tuple(note for note in study.notes if note.code not in _OF_A_CUT)
    return take(replace(study, notes=kept), [GivenMask(mask)])


def drawn_by_hand(study: Study) -> Mask | None:
    """The mask that :func:`recut` cut ``study``'s brain out by, if it did."""
    cut = (im for im in study.images.values() if any(step.name == GivenMask.name for step in im.steps))
    return next((image.mask for image in cut), None)


def find_brain(image: Image, how: How = "auto") -> tuple[Mask, str, str]:
    """(I, P, L) bool, what found it, and a sentence of doubt about it or nothing.

    Raises InputError if a tool asked for fails.
    """
    tool = next(
        (name for name, words in TOOLS.items() if how in ("auto", name) and shutil.which(words[0])), None
    )
    if how in TOOLS and tool is None:
        raise InputError(f"{TOOLS[how][0]} is not installed; install it, or use --brain template.")
    if tool is not None:
        mask = _by_tool(image, tool)
        return mask, tool, _doubt(image, mask, None)
    mask, prior = by_template(image)
    return mask, "a template fitted to the head", _doubt(image, mask, prior)


def _doubt(image: Image, mask: Mask, prior: Mask | None) -> str:
    ml = float(mask.sum()) * image.source.ipl_grid.voxel_ml
    like = (
        1.0
        if prior is None
        else 2.0 * float((mask & prior).sum()) / max(1.0, float(mask.sum() + prior.sum()))
    )
    if not USUAL_ML[0] <= ml <= USUAL_ML[1]:
        return f"The brain that was cut out has {ml:.0f} mL, which is unusual; mistrust it and look at its border."
    unlike = "The brain that was cut out has a shape unlike a brain's; mistrust it and look at its border."
    return unlike if like < LEAST_LIKE else ""


def _shown_ml(image: Image) -> float:
    """Volume of what is brighter than the background, mL."""
    steps = [max(1, round(4.0 / mm)) for mm in image.source.ipl_grid.spacing]
    some = image.data[:: steps[0], :: steps[1], :: steps[2]]
    return float(_foreground(some).sum()) * image.source.ipl_grid.voxel_ml * float(np.prod(steps))


def _foreground(data: Array) -> Mask:
    size = np.abs(data)
    found: Mask = size > FLOOR * float(np.percentile(size, 99))
    return found


def _clearest(images: Mapping[str, Image], task: Task) -> str:
    """The modality in which the border of the brain is clearest."""
    return next((name for name in task.brain_from if name in images), next(iter(images)))


def by_template(image: Image) -> tuple[Mask, Mask]:
    """(the brain, the template's brain fitted to it), both (I, P, L) bool on the image's grid."""
    grey, white, brain = tissue_maps()
    own = Grid.of(brain.shape, _template_affine(brain.shape))
    contrast = np.asarray(0.6 * grey + 0.9 * white + 0.15 * (1 - grey - white) * brain, dtype=np.float32)
    template = Image(np.pad(contrast, PAD), Source(Path("template"), _padded(own), ""))
    grid = field_of_view(image, SPACING)
    data = sample(image.data, image.source.ipl_grid, grid)
    middle = _where_the_brain_is(image, own.shape[0] * SPACING)
    place = np.linalg.inv(grid.matrix) @ [*middle, 1]
    parted, level = _parted(data, place[:3])
    stripped = Image(
        np.where(parted, np.minimum(data, 1.5 * level), np.float32(0)), Source(Path("head"), grid, "")
    )
    matrix = _fit(template, stripped)
    prior = sample(brain, own, grid, np.asarray(np.linalg.inv(matrix), dtype=np.float64)) > 0.5
    mask = _closed((parted & _ball_dilated(prior, 4)) | _ball_eroded(prior, 4), 4)
    back = image.source.ipl_grid
    return tuple(sample(m.astype(np.float32), grid, back) > 0.5 for m in (mask, prior))  # type: ignore[return-value]


PAD = 8  # voxels of background around the template: the dark rim of the skull counts in the fit


def _template_affine(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """IPL axes, its centre at 0."""
    affine = np.array([[0, 0, -SPACING, 0], [0, -SPACING, 0, 0], [-SPACING, 0, 0, 0], [0, 0, 0, 1.0]])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def _padded(grid: Grid) -> Grid:
    matrix = grid.matrix.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ np.full(3, PAD)
    return Grid.of((n + 2 * PAD for n in grid.shape), matrix)


def _fit(template: Image, brain: Image) -> npt.NDArray[np.float64]:
    """(4, 4): RAS mm of the template → RAS mm of the brain. Affine."""
    import SimpleITK as sitk  # noqa: N813 - the usual short name

    images = as_itk(template, COARSE_MM), as_itk(brain, COARSE_MM)
    moments = sitk.CenteredTransformInitializerFilter.MOMENTS
    rough = sitk.Similarity3DTransform(
        sitk.CenteredTransformInitializer(*images, sitk.Similarity3DTransform(), moments)
    )
    climb(*images, rough, 1.0)
    affine = sitk.AffineTransform(3)
    affine.SetCenter(rough.GetCenter())
    affine.SetMatrix(rough.GetMatrix())
    affine.SetTranslation(rough.GetTranslation())
    climb(as_itk(template, MIDDLE_MM), as_itk(brain, MIDDLE_MM), affine, 0.5)
    return matrix_of(affine)


def _where_the_brain_is(head: Image, height: float) -> npt.NDArray[np.float64]:
    """The brain's middle in a head with neck, RAS mm: below its top by half of ``height``, the template's, in mm."""
    shown = ndimage.binary_opening(_foreground(head.data[::4, ::4, ::4]), iterations=1)
    places = np.argwhere(shown) * 4.0
    if len(places) == 0:
        places = np.array([np.array(head.data.shape) / 2])
    world = places @ head.source.ipl_grid.matrix[:3, :3].T + head.source.ipl_grid.matrix[:3, 3]
    half = USUAL_SCALE * height / 2
    top = float(np.percentile(world[:, 2], 99.5))
    near = world[world[:, 2] > top - 2 * half]
    y = (np.percentile(near[:, 1], 2) + np.percentile(near[:, 1], 98)) / 2
    return np.array([np.median(near[:, 0]), y, top - SCALP_MM - half])


def _parted(data: Array, middle: npt.NDArray[np.float64]) -> tuple[Mask, float]:
    """(the tissue around ``middle`` (voxels) that skull and fluid part from the skin, its level); at 2 mm."""
    place = np.indices(data.shape, dtype=np.float32)
    away = [(place[axis] - middle[axis]) * SPACING for axis in range(3)]
    centre = (np.square(away[0]) + np.square(away[1]) + np.square(away[2])) < CENTRAL_MM**2
    level = float(np.median(data[centre & (data > 0)])) if (centre & (data > 0)).any() else 1.0
    # No brain is larger: 95 mm from its middle forwards and backwards, 85 to the sides, 90 up and down.
    room = (away[0] / 90) ** 2 + (away[1] / 105) ** 2 + (away[2] / 85) ** 2 < 1
    tissue = room & (data > LOW * level) & (data < HIGH * level)
    skin = _ball_dilated(~_closed(data > 0.1 * level, 3), 3)
    found = tissue
    # Dura, vessels and nerves are thin bridges to what lies outside.
    for radius in range(1, 7):
        parts, _ = ndimage.label(_ball_eroded(tissue, radius))
        sizes = np.bincount(parts[centre], minlength=2)
        sizes[0] = 0
        if sizes.max() == 0:
            break
        found = _ball_dilated(parts == sizes.argmax(), radius) & tissue
        if float((found & skin).sum()) < BRIDGED * float(found.sum()):
            break
    return _closed(found, 3), level


def _ball_eroded(mask: Mask, radius: int) -> Mask:
    found: Mask = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1] > radius
    return found


def _ball_dilated(mask: Mask, radius: int) -> Mask:
    found: Mask = ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask
    return found


def _closed(mask: Mask, radius: int) -> Mask:
    padded = np.pad(mask, radius + 1)
    closed = _ball_eroded(_ball_dilated(padded, radius), radius)
    inner = tuple(slice(radius + 1, -radius - 1) for _ in range(3))
    found: Mask = ndimage.binary_fill_holes(closed[inner] | mask)
    return found


def _by_tool(image: Image, tool: str) -> Mask:
    """Through files in a folder of its own, gone afterwards. Raises InputError if the tool fails."""
    import nibabel as nib

    grid = image.source.ipl_grid
    with tempfile.TemporaryDirectory(prefix="mrseg-") as folder:
        names = {
            "scan": f"{folder}/scan.nii.gz",
            "mask": f"{folder}/mask.nii.gz",
            "out": f"{folder}/out.nii.gz",
        }
        nib.save(nib.Nifti1Image(image.data, grid.matrix), names["scan"])
        words = [word.format(**names) for word in TOOLS[tool]]
        try:
            done = subprocess.run(words, capture_output=True, timeout=WAIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        written = next(
            (p for p in (Path(names["mask"]), Path(folder) / "out_bet.nii.gz") if p.is_file()), None
        )
        if done is None or done.returncode != 0 or written is None:
            raise InputError(
                f"{words[0]} did not find the brain; use --brain template, or none if there is no skull."
            )
        found = np.asanyarray(nib.load(written).dataobj) > 0.5
    if found.shape != image.data.shape:
        raise InputError(f"{words[0]} gave a mask of another size; use --brain template.")
    return found
