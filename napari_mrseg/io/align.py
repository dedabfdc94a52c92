"""Scans on different grids, or in different poses, onto one grid: resampled, and moved where the head had moved.

Rigid registration by mutual information (Mattes 2003, SimpleITK) from several starts. What two starts do not agree on
lies where its header says, if registration from there does not move it; else it is refused, since a wrong pose shows
as a wrong result without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.errors import NotAlignedError
from napari_mrseg.steps import Outcome, Step
from napari_mrseg.study import Grid, Image, Note
from napari_mrseg.tasks import Task

COARSE_MM, MIDDLE_MM, FINE_MM = 8.0, 4.0, 2.0  # grids on which a motion is looked for
STARTS_DEGREES = 10.0  # turns from which is started besides none
STILL_MM = 1.5  # a motion that moves no part of the head further is none
AGREE_MM = 2.0  # how far two starts may end apart, at the part of the head where that is most
STATED_MM = 3.0  # by how much registration may move a slab whose header is right (2.1 at most in five)
LEAST_OVERLAP = 0.8  # of the two heads after it
BINS = 32
SAMPLED = 0.15  # share of the voxels of the finer grid that are looked at

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """How a head moved between two scans.

    Attributes
    ----------
    matrix
        (4, 4): RAS mm in the fixed scan → RAS mm in the moving one.
    degrees, mm
        The turn, and how far the part of the head that moved most did.
    overlap
        Dice of the two foregrounds after it.
    agreement_mm
        How far apart two different starts ended, at the part of the head where that is most.
    """

    matrix: tuple[tuple[float, ...], ...]
    degrees: float
    mm: float
    overlap: float
    agreement_mm: float

    @property
    def believed(self) -> bool:
        return self.agreement_mm <= AGREE_MM and self.overlap >= LEAST_OVERLAP


@dataclass(frozen=True)
class Align(Step):
    """All scans onto the grid of ``onto``, by default the finest. What cannot be aligned is refused, by name."""

    onto: str = ""
    name = "onto one grid"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        if task.ndim != 3 or len(images) < 2:
            return {}, ()
        onto = self.onto if self.onto in images else _finest(images)
        fixed = images[onto]
        changed: dict[str, Image] = {}
        notes: list[Note] = []
        for name, image in images.items():
            if image.source.ipl_grid.same_as(fixed.source.ipl_grid):
                continue
            motion = find_motion(fixed, image)
            who = f"{image.source.path.name} ({name})"
            stated = None if motion.believed else stated_pose(fixed, image)
            motion = stated or motion
            if stated is None and not motion.believed:
                raise NotAlignedError(
                    f"{who} lies on another grid than {fixed.source.path.name} ({onto}), and no pose was found that "
                    f"fits: two tries end {motion.agreement_mm:.1f} mm apart, and the heads overlap by "
                    f"{motion.overlap:.0%}; leave {name} out, or register it first."
                )
            moved = motion.mm > STILL_MM
            placed = _placed(image, fixed, np.array(motion.matrix) if moved else np.eye(4))
            found = {"onto": onto, "overlap": round(motion.overlap, 3), "mm": round(motion.mm, 2)}
            changed[name] = self.changed(image, placed[0], placed[1], **found)
            notes.append(_note(name, onto, image, fixed, motion, moved, stated=stated is not None))
        return changed, tuple(notes)


def _note(
    name: str, onto: str, image: Image, fixed: Image, motion: Motion, moved: bool, *, stated: bool
) -> Note:
    who, where = image.source.path.name, f"{fixed.source.path.name} ({onto})"
    if stated:
        message = (
            f"{who} lay on another grid than {where} and was resampled where its header says it lies: no better pose "
            f"was found, and from there registration moves it by {motion.agreement_mm:.1f} mm; check it on screen."
        )
        return Note("resampled_by_header", message, name)
    if not moved:
        message = f"{who} lay on another grid and was resampled onto that of {where}"
        return Note("resampled", f"{message}; the heads overlap by {motion.overlap:.0%}.", name)
    message = (
        f"{who} was in another pose: it was moved onto {where} by up to {motion.mm:.1f} mm and {motion.degrees:.1f}° "
        f"(two tries agree within {motion.agreement_mm:.1f} mm, the heads overlap by {motion.overlap:.0%}); check it "
        "on screen."
    )
    return Note("registered", message, name)


def _finest(images: Mapping[str, Image]) -> str:
    def size(name: str) -> tuple[float, float]:
        grid = images[name].source.ipl_grid
        return round(max(grid.spacing), 2), round(grid.voxel_ml, 6)

    return min(images, key=size)


def _placed(image: Image, fixed: Image, motion: Matrix) -> tuple[Array, Any]:
    """The image's voxels on the grid of ``fixed``, and its source with the way back."""
    grid = fixed.source.ipl_grid
    data = sample(image.data, image.source.ipl_grid, grid, motion)
    rows = tuple(tuple(float(v) for v in row) for row in motion)
    return data, replace(image.source, placed=grid, motion=rows)


def sample(
    data: npt.NDArray[Any], own: Grid, grid: Grid, motion: Matrix | None = None, order: int = 1
) -> npt.NDArray[Any]:
    """(I, P, L) on ``own``, sampled at the voxels of ``grid``; ``motion``: RAS mm there → RAS mm here. Outside is 0.

    Finer data are smoothed first, so that nothing between the new voxels is skipped.
    """
    move = np.linalg.inv(own.matrix) @ (np.eye(4) if motion is None else motion) @ grid.matrix
    if order:
        widths = [
            max(0.0, 0.42 * np.sqrt(max(0.0, (new / old) ** 2 - 1))) if new > 1.2 * old else 0.0
            for old, new in zip(own.spacing, _along(own, grid), strict=True)
        ]
        if max(widths) > 0:
            data = ndimage.gaussian_filter(data, widths, truncate=3.0)
    found: npt.NDArray[Any] = ndimage.affine_transform(
        data, move[:3, :3], move[:3, 3], output_shape=grid.shape, order=order, mode="constant", cval=0.0
    )
    return found


def _along(own: Grid, grid: Grid) -> list[float]:
    """How far apart the voxels of ``grid`` lie along each axis of ``own``, mm."""
    axes = own.matrix[:3, :3] / np.array(own.spacing)
    steps = np.abs(axes.T @ grid.matrix[:3, :3])
    return [float(v) for v in steps.max(1)]


def find_motion(fixed: Image, moving: Image) -> Motion:
    """The rigid motion from ``fixed`` to ``moving``, whatever their grids and contrasts. Some seconds."""
    centre, other = (_centre(image) for image in (fixed, moving))
    turned = np.radians(STARTS_DEGREES)
    starts: list[Any] = [((0.0, 0.0, 0.0), np.zeros(3)), ((0.0, 0.0, 0.0), other - centre)]
    starts += [((pitch, yaw, 0.0), other - centre) for pitch, yaw in ((turned, -turned), (-turned, turned))]
    tried = _levels(fixed, moving, centre, starts, COARSE_MM, 1.0)
    # Two that came from different starts: where they end at one place, that place is right.
    ends = _levels(fixed, moving, centre, [found for _, found in tried[:2]], MIDDLE_MM, 0.5)
    (_, found), *_ = _levels(fixed, moving, centre, [ends[0][1]], FINE_MM, SAMPLED)
    matrices = [matrix_of(found), *(matrix_of(end) for _, end in ends)]
    turn = matrices[0][:3, :3]
    return Motion(
        matrix=tuple(tuple(float(v) for v in row) for row in matrices[0]),
        degrees=float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))),
        mm=_far(matrices[0], np.eye(4), fixed),
        overlap=_overlap(fixed, moving, matrices[0]),
        agreement_mm=_far(matrices[1], matrices[2], fixed),
    )


def stated_pose(fixed: Image, moving: Image) -> Motion | None:
    """No motion, if the headers' positions fit, else None; ``agreement_mm``: how far registration moves the scan.

    For a slab, on which starts from elsewhere find no hold; it is tried within the scan that shows more.
    """
    slab, whole = sorted((fixed, moving), key=lambda image: image.data.size * image.source.ipl_grid.voxel_ml)
    start = ((0.0, 0.0, 0.0), np.zeros(3))
    ((metric, found),) = _levels(slab, whole, _centre(slab), [start], MIDDLE_MM, 1.0)
    eye = np.eye(4)
    moved = _far(matrix_of(found), eye, slab)
    overlap = _overlap(fixed, moving, eye)
    if not np.isfinite(metric) or moved > STATED_MM or overlap < LEAST_OVERLAP:
        return None
    matrix = tuple(tuple(float(v) for v in row) for row in eye)
    return Motion(matrix, degrees=0.0, mm=0.0, overlap=overlap, agreement_mm=moved)


def _overlap(fixed: Image, moving: Image, motion: Matrix) -> float:
    """Dice of the two heads after ``motion``, within what both scans cover."""
    grid = field_of_view(fixed, MIDDLE_MM)
    moved = sample(_head(moving), moving.source.ipl_grid, grid, motion) > 0.5
    there = sample(_head(fixed), fixed.source.ipl_grid, grid) > 0.5
    # Where one scan covers less of the head, what it cannot show does not count against it.
    seen = sample(np.ones_like(moving.data), moving.source.ipl_grid, grid, motion) > 0.5
    return 2 * float((moved & there).sum()) / max(1.0, float(moved.sum() + (there & seen).sum()))


def _far(a: Matrix, b: Matrix, fixed: Image) -> float:
    """How far apart two motions take the part of the head where that is most, mm."""
    grid = fixed.source.ipl_grid
    inside = np.nonzero(_head(fixed)[::4, ::4, ::4] > 0.5)
    if len(inside[0]) == 0:
        return 0.0
    corners: Any = np.array(
        np.meshgrid(*[(4 * i.min(), 4 * i.max()) for i in inside], indexing="ij")
    ).reshape(3, -1)
    places = grid.matrix @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.sqrt((((a - b) @ places)[:3] ** 2).sum(0)).max())


def _head(image: Image) -> Array:
    """1 where the scan shows something, else 0."""
    level = 0.05 * float(np.percentile(np.abs(image.data[::2, ::2, ::2]), 99))
    return (np.abs(image.data) > level).astype(np.float32)


def _centre(image: Image) -> Matrix:
    """Centre of what the scan shows, LPS mm."""
    head = _head(image)[::4, ::4, ::4]
    middle = 4 * np.array(ndimage.center_of_mass(head)) if head.any() else np.array(image.data.shape) / 2
    place: Matrix = (image.source.ipl_grid.matrix @ [*middle, 1])[:3] * [-1, -1, 1]
    return place


def field_of_view(image: Image, mm: float) -> Grid:
    """The image's field of view with voxels of ``mm``."""
    own = image.source.ipl_grid
    size = np.array(own.spacing)
    shape = np.maximum(4, np.ceil(np.array(own.shape) * size / mm).astype(int))
    matrix = own.matrix.copy()
    matrix[:3, :3] = own.matrix[:3, :3] / size * mm
    matrix[:3, 3] = own.matrix[:3, 3] + own.matrix[:3, :3] @ ((mm / size - 1) / 2)
    return Grid.of(shape, matrix)


def as_itk(image: Image, mm: float) -> Any:
    """The scan as an image of SimpleITK, on :func:`field_of_view`, its bright end at 1."""
    import SimpleITK as sitk  # noqa: N813 - the usual short name

    grid = field_of_view(image, mm)
    data = sample(image.data, image.source.ipl_grid, grid)
    high = float(np.percentile(data, 99.5)) or 1.0
    found = sitk.GetImageFromArray(np.clip(data / high, -0.2, 1.5))
    # ITK's axes run the other way round, and its world is LPS.
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.matrix
    axes = matrix[:3, [2, 1, 0]] / mm
    left, _, right = np.linalg.svd(axes)  # the nearest turn: headers are rounded
    found.SetSpacing([mm, mm, mm])
    found.SetDirection((left @ right).ravel().tolist())
    found.SetOrigin(matrix[:3, 3].tolist())
    return found


def _levels(
    fixed: Image, moving: Image, centre: Matrix, starts: Sequence[Any], mm: float, share: float
) -> list[tuple[float, Any]]:
    """Each start improved on a grid of ``mm``, the best first."""
    images = as_itk(fixed, mm), as_itk(moving, mm)
    return sorted((_improve(*images, centre, start, share) for start in starts), key=lambda end: end[0])


def _improve(fixed: Any, moving: Any, centre: Matrix, start: Any, share: float) -> tuple[float, Any]:
    """(metric, lower is better; transform) from one start: another transform, or angles and a shift.

    ``share`` of the voxels that are looked at.
    """
    import SimpleITK as sitk  # noqa: N813 - the usual short name

    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    if isinstance(start, tuple):
        transform.SetRotation(*start[0])
        transform.SetTranslation(start[1].tolist())
    else:
        transform.SetParameters(start.GetParameters())
    return climb(fixed, moving, transform, share), transform


def climb(fixed: Any, moving: Any, transform: Any, share: float) -> float:
    """Improve ``transform`` in place by mutual information; the metric, lower is better, infinite without overlap."""
    import SimpleITK as sitk  # noqa: N813 - the usual short name

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.NONE if share == 1 else method.REGULAR)
    if share < 1:
        method.SetMetricSamplingPercentage(share, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsConjugateGradientLineSearch(1.0, 40, 1e-5, 5)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
        return float(method.GetMetricValue())
    except RuntimeError:
        return float("inf")


def matrix_of(transform: Any) -> Matrix:
    """A rigid or affine ITK transform as a (4, 4) matrix in RAS mm."""
    turn = np.array(transform.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = centre + shift - turn @ centre
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return flip @ matrix @ flip
