"""What tumours, and things that look like them, do to the four contrasts.

Levels are in robust standard deviations from the brain's median (8 in :class:`~.anatomy.Anatomy` units); their
ranges are wide on purpose, since scanners differ, and were set beside the labelled scans of the split.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mrseg_training.data.anatomy import MEDIAN
from mrseg_training.data.tumour import Shapes, chance, smooth_noise, uniform

Levels = tuple[float, float, float, float]  # FLAIR, T1, T1ce, T2


def levels(kind: str, generator: Generator) -> tuple[Levels, Levels, Levels]:
    """Signal of (oedema, core, enhancing) for one tumour."""

    def u(low: float, high: float) -> float:
        return uniform(low, high, generator)

    # Some tumours hardly show on T1: without them T1 would speak for healthy tissue where another modality does not.
    hidden = chance(0.25, generator)
    oedema_t1 = u(-0.4, 0.3) if hidden else u(-1.5, 0.1)
    # Now and then hardly brighter than cortex.
    faint = 0.45 if chance(0.2, generator) else 1.0
    oedema = (faint * u(0.8, 4.4), oedema_t1, oedema_t1 + u(-0.3, 0.3), faint * u(0.6, 4.2))
    if kind in ("ring", "solid"):
        core_t1 = oedema_t1 - (u(-0.3, 0.4) if hidden else u(0.2, 2.2))
        # Dead tissue is not always like fluid: on FLAIR and T2 it may look just as its oedema does.
        alike = chance(0.35, generator)
        flair, t2 = (
            oedema[i] + u(-0.9, 0.9) if alike else u(*r) for i, r in ((0, (-2.0, 4.5)), (3, (1.5, 7.5)))
        )
        core = (flair, core_t1, core_t1 + u(-0.3, 0.6), t2)
        vivid = 1.2 + 8.0 * u(0, 1) ** 1.6
        # Dense with cells, a rim is often darker on FLAIR and T2 than the oedema around it.
        dense = u(0.1, 0.9) if chance(0.5, generator) else None
        flair, t2 = (u(0.2, 4.2) if dense is None else dense * oedema[i] for i in (0, 3))
        return oedema, core, (flair, u(-0.9, 0.8), max(vivid, core[2] + 1.5), t2)
    # Low grade: a homogeneous, T2-bright, T1-dark mass; now and then suppressed on FLAIR (T2-FLAIR mismatch).
    core_t1 = oedema_t1 - (u(-0.3, 0.3) if hidden else u(0.2, 1.8))
    flair = u(-1.0, 1.5) if chance(0.12, generator) else oedema[0] + u(-0.3, 2.0)
    core = (flair, core_t1, core_t1 + u(-0.3, 0.5), oedema[3] + u(0.2, 3.5))
    enhancing = (core[0] + u(-0.8, 0.8), core[1] + u(0, 1.2), core[2] + u(1.8, 4.5), core[3] + u(-1.0, 0.5))
    return oedema, core, enhancing


def paint(images: Tensor, tumour: Shapes, spacing: float, generator: Generator) -> Tensor:
    """(4, I, P, L) with a tumour's signal laid over the tissue, partial volume at its borders."""
    oedema, core, enhancing = levels(tumour.kind, generator)
    shape = tumour.core.shape
    coarse = smooth_noise(shape, max(2.0, uniform(6, 14, generator) / spacing), generator)
    fine = smooth_noise(shape, max(1.5, uniform(2, 5, generator) / spacing), generator)
    keep = uniform(0.2, 0.7, generator)  # of the anatomy's own texture within oedema
    mottled = uniform(0.5, 2.2, generator) if chance(0.3, generator) else 0.0
    spots = smooth_noise(shape, max(1.5, uniform(3, 9, generator) / spacing), generator)
    blood = _blood(shape, spacing, generator) if chance(0.12, generator) else None
    fade = 0.6 + 0.4 * torch.sigmoid((tumour.depth + uniform(4, 14, generator)) / 4)
    amount = uniform(0.15, 0.6, generator)
    out = []
    for channel, image in enumerate(images):
        sign = -1.0 if channel in (1, 2) else 1.0
        texture = amount * (sign * coarse + 0.5 * fine) + 0.12 * torch.randn(shape, generator=generator)
        around = MEDIAN + keep * (image - MEDIAN) + (oedema[channel] + 0.6 * texture) * fade
        image = image + tumour.whole * (around - image)
        inside = core[channel] + texture + sign * mottled * (0.5 if channel in (1, 2) else 1.0) * spots
        if blood is not None:
            inside = inside + blood[channel]
        image = image + 0.95 * tumour.core * (MEDIAN + inside - image)
        bright = MEDIAN + enhancing[channel] * (1 + 0.18 * fine) + texture
        out.append(image + 0.95 * tumour.enhancing * (bright - image))
    return torch.stack(out)


PALE = ((0.4, 0.9), (0.1, 0.8), (0.1, 0.8), (0.15, 0.8))
"""Least and most of its contrast that a pale tumour keeps on FLAIR, T1, T1ce and T2. FLAIR shows such tumours best:
what shows nowhere would teach the network to find what is not there."""


def pale(without: Tensor, images: Tensor, enhancing: Tensor, generator: Generator) -> Tensor:
    """``images`` (4, I, P, L) nearer to what they were ``without`` a tumour: diffuse low-grade ones hardly show.

    Each modality by itself (``PALE``); T1ce stays as it is where ``enhancing`` (I, P, L), which is contrast agent.
    """
    share = torch.tensor([uniform(least, most, generator) for least, most in PALE])
    kept = share.view(-1, 1, 1, 1).expand_as(images).clone()
    kept[2][enhancing > 0] = 1.0
    return without + kept * (images - without)


def _blood(shape: Sequence[int], spacing: float, generator: Generator) -> Tensor:
    """(4, I, P, L) added where a core has bled: bright on T1 and T1ce, dark or bright on the others."""
    where = smooth_noise(shape, max(1.5, uniform(4, 12, generator) / spacing), generator)
    where = torch.sigmoid((where - uniform(0.5, 1.8, generator)) / 0.15)
    t1 = uniform(0.8, 3.5, generator)
    shifts = (uniform(-3, 2, generator), t1, t1 + uniform(-0.3, 0.3, generator), uniform(-4, 2, generator))
    return where * torch.tensor(shifts).view(4, 1, 1, 1)


def recolour(images: Tensor, white: Tensor, fluid: Tensor, generator: Generator) -> Tensor:
    """Other contrasts between white matter, grey matter and fluid, as another scanner or sequence would give."""
    out = []
    for image in images:
        shift = uniform(-0.6, 0.6, generator) * white + uniform(-1.2, 1.2, generator) * fluid
        out.append(torch.where(image > 0, (image + shift).clamp_min(0.5), 0.0))
    return torch.stack(out)


def cavity(images: Tensor, shapes: Shapes, generator: Generator) -> Tensor:
    """A hole full of fluid, as an operation or an old stroke leaves: no tumour. ``shapes.core`` is where."""
    flair = uniform(-4.5, -1.5, generator)
    t1 = uniform(-4.0, -2.0, generator)
    fluid = (flair, t1, t1 + uniform(-0.3, 0.3, generator), uniform(3.0, 7.0, generator))
    hole = 0.95 * shapes.core
    return torch.stack([i + hole * (MEDIAN + f - i) for i, f in zip(images, fluid, strict=True)])


def vessels(images: Tensor, brain: Tensor, spacing: float, generator: Generator) -> Tensor:
    """Bright tubes on T1ce: where two smooth fields cross zero together, in parts of the brain."""
    a = smooth_noise(brain.shape, uniform(14, 30, generator) / spacing, generator)
    b = smooth_noise(brain.shape, uniform(14, 30, generator) / spacing, generator)
    where = torch.sigmoid(
        (smooth_noise(brain.shape, 36 / spacing, generator) - uniform(-0.3, 1.2, generator)) / 0.1
    )
    tube = torch.exp(-(a**2 + b**2) / uniform(0.01, 0.05, generator)) * where * brain
    out = images.clone()
    out[2] = out[2] + tube * uniform(1.5, 7, generator)
    out[3] = out[3] - tube * uniform(0, 2, generator)
    return out


def hyperintensities(
    images: Tensor, white: Tensor, fluid: Tensor, spacing: float, generator: Generator
) -> Tensor:
    """Small lesions of the white matter, near the ventricles and in it, bright on FLAIR and T2, that are no tumour."""
    shape = white.shape
    # Fluid over about 3 cm: high in the ventricles, low in sulci.
    large = F.avg_pool3d(fluid[None, None], 9, 3, 4)
    near = F.interpolate(large, size=shape, mode="trilinear", align_corners=False)[0, 0]
    rim = ((near - 0.02) / 0.1).clamp(0, 1) * (1 - fluid)
    rim = rim * torch.sigmoid(
        (smooth_noise(shape, 16 / spacing, generator) - uniform(-0.5, 1, generator)) / 0.2
    )
    spots = smooth_noise(shape, max(1.5, uniform(3, 9, generator) / spacing), generator)
    spots = torch.sigmoid((spots - uniform(1.9, 2.9, generator)) / 0.15) * white
    mask = torch.maximum(rim * (white > 0.3), spots).clamp(0, 1)
    shifts = (
        uniform(1, 4, generator),
        uniform(-1.2, 0, generator),
        uniform(-1.0, 0.1, generator),
        uniform(0.4, 3, generator),
    )
    return images + mask * torch.tensor(shifts).view(4, 1, 1, 1)
