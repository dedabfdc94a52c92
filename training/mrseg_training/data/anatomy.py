"""Brains to paint tumours into: scans whose lesion is covered by the other hemisphere, and a template's tissue maps.

Everything is held at a network's spacing (2 mm unless said otherwise), axes I, P, L, one unit per robust standard
deviation of the modality over the brain, background exactly 0 — so that a tumour's contrast can be stated once for
all scanners.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import binary_closing, binary_fill_holes, gaussian_filter
from torch import Generator, Tensor

from mrseg_training.atomic import write_atomically
from napari_mrseg.errors import InputError
from napari_mrseg.prepare import bounds, foreground, resample, resample_labels
from napari_mrseg.study import Grid, Source, Study

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813 - the usual short name

SPACING = 2.0  # mm; lengths in voxels below are of this size, and scaled for others
PACKED = (
    16  # steps of a robust standard deviation that a packed brain is kept in: less than any scanner's noise
)
MEDIAN = 8.0  # where the brain's median lies, so that all of it is above 0


@dataclass
class Anatomy:
    """One brain without (or, with ``labels``, with) its tumour.

    Attributes
    ----------
    images
        (4, I, P, L) float32 in the task's order, one unit per robust standard deviation, background 0.
    white, fluid
        (I, P, L) float32 in [0, 1]: how much a voxel looks like white matter, like cerebrospinal fluid.
    labels
        (I, P, L) uint8 label codes of a real tumour, or None for a brain meant to be healthy.
    certain
        (I, P, L) float32, 0 where a lesion may be left that no label shows (it could not be covered), else 1.
    """

    name: str
    images: Tensor
    white: Tensor
    fluid: Tensor
    valid: Tensor
    labels: Tensor | None = None


def from_study(
    study: Study, spacing: float = SPACING, *, tumour_free: bool = False
) -> tuple[Anatomy, Anatomy]:
    """(the brain with its lesion covered, the brain as it is with its labels) of a study with a reference.

    ``tumour_free``: nothing in it is tumour and nothing is covered; it needs no reference.

    Raises InputError if a modality or the reference is missing.
    """
    if study.present != study.task.names:
        raise InputError(f"{study.case}: all of {', '.join(study.task.names)} are needed.")
    if study.reference is None and not tumour_free:
        raise InputError(f"{study.case}: a segmentation is needed, or its name in simulate.tumour_free.")
    raw = torch.from_numpy(np.stack([image.data for image in study.images.values()]))
    codes = torch.zeros(raw.shape[1:], dtype=torch.uint8)
    if study.reference is not None and not tumour_free:
        codes = torch.tensor(study.reference.labels)
    masks = torch.stack([foreground(v) for v in raw])
    scaled = torch.stack([_unit_spread(v, m) for v, m in zip(raw, masks, strict=True)])
    box = bounds(masks.any(0))
    steps = [spacing / s for s in study.grid.spacing]
    size = [max(1, round((high - low) / s)) for (low, high), s in zip(box, steps, strict=True)]
    where = ([low for low, _ in box], steps, size)
    inside = resample(masks.float(), *where)
    # Divided by the resampled mask: the edge of the brain is not mixed with the background.
    low = resample(scaled, *where) / inside.clamp_min(1e-3) * (inside >= 0.5)
    labels = resample_labels(codes, (1, 2, 3), *where)
    healthy, valid = low, torch.ones_like(low[0])
    if labels.any():
        healthy, valid = cover(low, labels > 0, SPACING / spacing)
    white, fluid = tissues(healthy)
    real = Anatomy(study.case, low, white, fluid, torch.ones_like(white), labels)
    return Anatomy(study.case, healthy, white, fluid, valid), real


def save_pair(path: Path, pair: tuple[Anatomy, Anatomy]) -> None:
    """What :func:`from_study` gives at :data:`SPACING`, in one compressed file; images in steps of 1 / ``PACKED``."""
    healthy, real = pair
    assert real.labels is not None
    images = (real.images * PACKED).round().clamp_max(2**15 - 1).short()
    covered = (healthy.images * PACKED).round().clamp_max(2**15 - 1).short() - images
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        images=images.numpy(),
        # Nearly 0 everywhere, so that it takes little room.
        covered=covered.numpy(),
        valid=healthy.valid.bool().numpy(),
        labels=real.labels.numpy(),
    )
    write_atomically(path, stream.getvalue())


def load_pair(path: Path) -> tuple[Anatomy, Anatomy]:
    """What :func:`save_pair` wrote. Raises InputError if it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {name: torch.from_numpy(file[name]) for name in ("images", "covered", "valid", "labels")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise InputError(f"{path.name} is no packed brain or is damaged; pack it again.") from None
    if parts["images"].dtype != torch.int16:
        raise InputError(f"{path.name} was packed by another version; pack it again.")
    images = parts["images"].float() / PACKED
    healthy = images + parts["covered"].float() / PACKED
    white, fluid = tissues(healthy)
    real = Anatomy(path.stem, images, white, fluid, torch.ones_like(white), parts["labels"])
    return Anatomy(path.stem, healthy, white, fluid, parts["valid"].float()), real


def _unit_spread(volume: Tensor, mask: Tensor) -> Tensor:
    """Background 0, intensities divided by their robust spread over ``mask``, median moved to 8 units."""
    inside = volume[mask]
    centre = inside.median()
    spread = 1.4826 * (inside - centre).abs().median()
    return torch.where(mask, ((volume - centre) / spread + MEDIAN).clamp_min(0.5), 0.0)


def blur(volume: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (C, I, P, L), ``sigma`` in voxels."""
    return torch.from_numpy(gaussian_filter(volume.numpy(), (0, sigma, sigma, sigma), mode="constant"))


def cover(images: Tensor, lesion: Tensor, zoom: float = 1.0) -> tuple[Tensor, Tensor]:
    """Put the mirrored other hemisphere over a lesion: (4, I, P, L), (I, P, L) bool → (images, certain).

    The mirror image is registered to the brain outside the lesion, each modality matched in a ring around it, and
    blended in smoothly. Where the mirror image shows the lesion itself, ``valid`` is 0. ``zoom``: voxels of the
    images to 2 mm.
    """
    brain = images[1] > 0
    wide = blur(lesion[None].float(), 2.0 * zoom)[0]
    around = wide > 0.02
    flipped = torch.cat([images, around[None].float()]).flip(-1)
    fixed, weights = images[1], (brain & ~around).float()
    mirrored = _registered(flipped, fixed, weights, zoom)
    also = mirrored[4] > 0.3
    mirrored = mirrored[:4]
    ring = (blur(around[None].float(), 2.5 * zoom)[0] > 0.05) & ~around & ~also & brain & (mirrored[1] > 0)
    for channel in range(4):
        shift = (images[channel][ring] - mirrored[channel][ring]).median()
        mirrored[channel] = torch.where(mirrored[channel] > 0, (mirrored[channel] + shift).clamp_min(0.5), 0)
    weight = (blur(around[None].float(), 1.2 * zoom)[0] * 1.6 - 0.1).clamp(0, 1) * brain
    # Where the mirror image has no brain (or the lesion) the voxel keeps what it has and is not trusted.
    usable = (mirrored[1] > 0) & ~also
    weight = weight * blur(usable[None].float(), 0.8 * zoom)[0] * usable
    valid = 1.0 - ((around & ~usable) & brain).float()
    return torch.where(brain, images * (1 - weight) + mirrored * weight, images), valid


def _registered(moving: Tensor, fixed: Tensor, weights: Tensor, zoom: float) -> Tensor:
    """(C, I, P, L) moved onto ``fixed`` by an affine, then a smooth free-form map found on channel 1 (T1).

    A step that does not bring the images nearer to each other where ``weights`` is 1 is left out.
    """
    # Here, not above: brains that were covered before, such as a pack's, need no registration.
    import SimpleITK as sitk  # noqa: N813

    target, mask = _itk(fixed), _itk((weights > 0).to(torch.uint8))
    source = _itk(moving[1])
    method = _by_correlation(mask)
    method.SetOptimizerAsGradientDescent(1.0, 60, 1e-6, 8)
    method.SetOptimizerScalesFromPhysicalShift()
    scale = max(1, round(zoom))
    method.SetShrinkFactorsPerLevel([4 * scale, 2 * scale, scale])
    method.SetSmoothingSigmasPerLevel([2 * scale, scale, scale - 1])
    start = sitk.CenteredTransformInitializer(
        target, source, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )

    def near(transform: sitk.Transform) -> float:
        """Correlation with ``fixed`` after ``transform``."""
        inside = weights > 0
        both = torch.stack([_moved(moving[1], target, transform)[inside], fixed[inside]])
        return float(torch.corrcoef(both)[0, 1].nan_to_num(-1))

    method.SetInitialTransform(start, inPlace=False)
    affine = max(start, method.Execute(target, source), key=near)
    mesh = [max(2, n // (16 * scale)) for n in target.GetSize()]
    method = _by_correlation(mask)
    method.SetMovingInitialTransform(affine)
    method.SetInitialTransform(sitk.BSplineTransformInitializer(target, mesh), inPlace=True)
    method.SetOptimizerAsLBFGSB(numberOfIterations=25)
    method.SetShrinkFactorsPerLevel([2 * scale])
    method.SetSmoothingSigmasPerLevel([scale])
    spline = sitk.CompositeTransform([affine, method.Execute(target, source)])
    best = max(affine, spline, key=near)
    return torch.stack([_moved(channel, target, best) for channel in moving])


def _by_correlation(mask: sitk.Image) -> sitk.ImageRegistrationMethod:
    """A registration that looks at ``mask`` only."""
    import SimpleITK as sitk  # noqa: N813

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _itk(volume: Tensor) -> sitk.Image:
    import SimpleITK as sitk  # noqa: N813

    return sitk.GetImageFromArray(volume.numpy())


def _moved(volume: Tensor, target: sitk.Image, transform: sitk.Transform) -> Tensor:
    import SimpleITK as sitk  # noqa: N813

    moved = sitk.Resample(_itk(volume), target, transform, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return torch.from_numpy(sitk.GetArrayFromImage(moved))


def tissues(images: Tensor) -> tuple[Tensor, Tensor]:
    """(white, fluid) in [0, 1] from FLAIR, T1, T1ce, T2.

    White: bright on T1. Fluid: two of dark on T1, dark on FLAIR and bright on T2.
    """
    flair, t1, _, t2 = images
    brain = t1 > 0
    inside = t1[brain]
    low, high = inside.quantile(0.3), inside.quantile(0.9)
    white = torch.sigmoid((t1 - 0.45 * low - 0.55 * high) / (0.15 * (high - low)))
    dark = torch.sigmoid((6.6 - t1) / 0.4)
    bright = torch.sigmoid((t2 - 10.5) / 0.5)
    nulled = torch.sigmoid((6.0 - flair) / 0.5)
    fluid = torch.maximum(
        torch.maximum(dark * nulled, nulled * bright), dark * bright * torch.sigmoid((9.5 - flair) / 0.5)
    )
    return white * brain, fluid * brain


def template_maps() -> tuple[Tensor, Grid]:
    """(3, I, P, L) grey matter, white matter and brain in [0, 1] at 1 mm, from nilearn's ICBM 2009a; and the grid."""
    from nilearn import datasets

    grey, white = (
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
    )
    source = Source(Path("template"), Grid.of(grey.shape, grey.affine), "")
    maps = np.stack([source.to_ipl(np.asarray(m.dataobj, dtype=np.float32)) for m in (grey, white)]).clip(
        0, 1
    )
    # Sulci and ventricles belong to the brain: closed over 8 mm, holes filled.
    tissue = np.pad(maps.sum(0) > 0.1, 8)
    brain = binary_fill_holes(binary_closing(tissue, iterations=8))[8:-8, 8:-8, 8:-8]
    return torch.from_numpy(np.concatenate([maps, brain[None].astype(np.float32)])), source.ipl_grid


CONTRASTS: Mapping[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    # modality: (low, high) level of grey matter, white matter, fluid; in robust standard deviations from the median
    "flair": ((0.0, 0.8), (-0.7, 0.1), (-5.0, -2.5)),
    "t1": ((-0.9, -0.2), (0.5, 1.2), (-4.5, -2.5)),
    "t1ce": ((-0.8, -0.1), (0.4, 1.0), (-4.5, -2.5)),
    "t2": ((0.1, 0.8), (-0.9, -0.3), (3.0, 7.0)),
}


def from_template(maps: Tensor, generator: Generator, texture: float = 0.25) -> Anatomy:
    """A brain of random contrast from (3, I, P, L) grey matter, white matter and brain, at any spacing."""
    grey, white, brain = maps[0], maps[1], maps[2] > 0.5
    fluid = (1 - grey - white).clamp(0, 1) * brain
    layers = []
    for levels in CONTRASTS.values():
        g, w, f = (low + (high - low) * float(torch.rand((), generator=generator)) for low, high in levels)
        image = MEDIAN + g * grey + w * white + f * fluid
        image = image + texture * torch.randn(image.shape, generator=generator)
        layers.append(torch.where(brain, image.clamp_min(0.5), 0.0))
    return Anatomy("template", torch.stack(layers), white * brain, fluid, torch.ones_like(fluid))
