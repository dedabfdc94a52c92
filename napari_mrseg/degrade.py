"""What scanners and patients do to images, on torch tensors: one home for training and for trying a model's limits.

Every function takes ``volume`` (I, P, L) float32, any unit, background exactly 0, a ``strength`` in [0, 1] and a
``torch.Generator``, and returns a new tensor of the same shape. Strength 0 gives the input back bit for bit, the same
generator state the same result; voxels that are 0 stay 0 (skull-stripped images show nothing outside).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from napari_mrseg.errors import InputError
from napari_mrseg.steps import Outcome, Step, take
from napari_mrseg.study import Image, Note, Study
from napari_mrseg.tasks import Task

Degradation = Callable[[Tensor, float, Generator], Tensor]


def noise(volume: Tensor, strength: float, generator: Generator) -> Tensor:
    """Rician noise: standard deviation up to 40 % of the brain's robust spread."""
    if strength == 0:
        return volume.clone()
    inside = volume != 0
    sigma = 0.4 * strength * _spread(volume[inside])
    real = volume + sigma * torch.randn(volume.shape, generator=generator)
    imaginary = sigma * torch.randn(volume.shape, generator=generator)
    return torch.sqrt(real**2 + imaginary**2).copysign(real) * inside


def blur(volume: Tensor, strength: float, generator: Generator) -> Tensor:
    """Gaussian blur, σ up to 1.5 voxels along each axis, each axis by its own random share."""
    if strength == 0:
        return volume.clone()
    inside = (volume != 0).to(volume)
    sigmas = 1.5 * strength * (0.5 + 0.5 * torch.rand(3, generator=generator))
    both = torch.stack([volume, inside])
    for axis, sigma in enumerate(sigmas.tolist(), start=1):
        both = _gaussian(both, axis, sigma)
    # Divided by the blurred mask, so that the brain's edge does not darken.
    return both[0] / both[1].clamp_min(1e-3) * inside


def bias_field(volume: Tensor, strength: float, generator: Generator) -> Tensor:
    """Smooth multiplicative field, between 1/1.8 and 1.8 at full strength."""
    if strength == 0:
        return volume.clone()
    field = F.interpolate(
        torch.randn(1, 1, 3, 3, 3, generator=generator),
        size=volume.shape,
        mode="trilinear",
        align_corners=True,
    )[0, 0]
    field = field / field.abs().max().clamp_min(1e-6)
    return volume * torch.exp(field * (0.588 * strength))


def ghosting(volume: Tensor, strength: float, generator: Generator) -> Tensor:
    """Copies shifted along one axis, as motion leaves in the phase direction: 2–4 of them, up to 30 % of the signal."""
    if strength == 0:
        return volume.clone()
    axis = int(torch.randint(0, 3, (), generator=generator))
    count = int(torch.randint(2, 5, (), generator=generator))
    step = max(1, volume.shape[axis] // (count + 1))
    ghosts = sum(torch.roll(volume, k * step, axis) for k in range(1, count + 1)) / count
    share = 0.3 * strength
    return ((1 - share) * volume + share * ghosts) * (volume != 0)


def thick_slices(volume: Tensor, strength: float, generator: Generator) -> Tensor:
    """Slices averaged along one axis and interpolated back: up to 4 voxels a slice."""
    if strength == 0:
        return volume.clone()
    factor = 1.0 + 3.0 * strength
    axis = int(torch.randint(0, 3, (), generator=generator))
    inside = (volume != 0).to(volume)
    both = torch.stack([volume, inside])
    size = list(volume.shape)
    size[axis] = max(2, round(size[axis] / factor))
    low = F.interpolate(both[None], size=size, mode="area")
    back = F.interpolate(low, size=volume.shape, mode="trilinear", align_corners=False)[0]
    return back[0] / back[1].clamp_min(1e-3) * inside


def gamma(volume: Tensor, strength: float, generator: Generator) -> Tensor:
    """A power of the intensity between the volume's extremes, exponent between 1/2 and 2 at full strength."""
    if strength == 0:
        return volume.clone()
    inside = volume != 0
    low, high = volume[inside].min(), volume[inside].max()
    exponent = 2.0 ** (strength * (2 * float(torch.rand((), generator=generator)) - 1))
    unit = ((volume - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
    # The background stays 0, and no voxel of the brain becomes background.
    return torch.where(inside, _not_zero(low + (high - low) * unit**exponent, high), 0.0)


def contrast(volume: Tensor, strength: float, generator: Generator) -> Tensor:
    """Spread about the brain's median scaled by between 1/1.6 and 1.6 at full strength."""
    if strength == 0:
        return volume.clone()
    inside = volume != 0
    centre = volume[inside].median()
    factor = 1.6 ** (strength * (2 * float(torch.rand((), generator=generator)) - 1))
    return torch.where(inside, _not_zero(centre + (volume - centre) * factor, centre), 0.0)


DEGRADATIONS: dict[str, Degradation] = {
    "noise": noise,
    "blur": blur,
    "bias field": bias_field,
    "ghosting": ghosting,
    "thick slices": thick_slices,
    "gamma": gamma,
    "contrast": contrast,
}
"""All of them by the name shown to users."""


def _spread(values: Tensor) -> float:
    """1.4826 × median absolute deviation."""
    if values.numel() == 0:
        return 0.0
    return 1.4826 * float((values - values.median()).abs().median())


def _not_zero(values: Tensor, scale: Tensor) -> Tensor:
    """Values kept off exactly 0, which means background."""
    return torch.where(values == 0, 1e-3 * scale.abs().clamp_min(1e-6), values)


def _gaussian(volume: Tensor, axis: int, sigma: float) -> Tensor:
    """(C, I, P, L) blurred along one axis by a Gaussian of ``sigma`` voxels; outside is 0."""
    reach = max(1, round(3 * sigma))
    weights = [math.exp(-0.5 * (k / max(sigma, 1e-3)) ** 2) for k in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    # A sum of shifted copies: several times faster on a CPU than a convolution with one channel.
    out = volume * (weights[0] / total)
    length = volume.shape[axis]
    for k, weight in enumerate(weights[1 : min(reach, length - 1) + 1], start=1):
        share = weight / total
        out.narrow(axis, k, length - k).add_(volume.narrow(axis, 0, length - k), alpha=share)
        out.narrow(axis, 0, length - k).add_(volume.narrow(axis, k, length - k), alpha=share)
    return out


@dataclass(frozen=True)
class Degrade(Step):
    """Make one modality worse. ``kind`` is one of :data:`DEGRADATIONS`, ``strength`` lies in [0, 1].

    The same image, kind and strength give the same voxels; a stronger one of a kind is more of the same (the random
    numbers follow from the image and the kind).
    """

    modality: str
    kind: str
    strength: float
    name = "degrade"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        """Raises InputError for an unknown kind or a strength outside [0, 1]."""
        if self.kind not in DEGRADATIONS or not 0 <= self.strength <= 1:
            raise InputError(
                f"“{self.kind}” at {self.strength:g} is no degradation; kinds: {', '.join(DEGRADATIONS)}, from 0 to 1."
            )
        if self.strength == 0 or self.modality not in images:
            return {}, ()
        image = images[self.modality]
        seed = crc32(f"{image.identity}{self.kind}".encode())
        volume = torch.from_numpy(image.data.copy())
        worse = _each_channel(volume, DEGRADATIONS[self.kind], self.strength, seed)
        title = task.modality(self.modality).title
        message = f"{title} was degraded on purpose: {self.kind}, strength {self.strength:.0%}."
        changed = {self.modality: self.changed(image, worse.numpy())}
        return changed, (Note("degraded", message, self.modality),)


def degrade_study(study: Study, degradations: Mapping[str, tuple[str, float]]) -> Study:
    """``study`` with the named modalities made worse: ``{"flair": ("noise", 0.5)}``. Raises as :class:`Degrade`."""
    return take(study, [Degrade(name, kind, strength) for name, (kind, strength) in degradations.items()])


def _each_channel(volume: Tensor, degradation: Degradation, strength: float, seed: int) -> Tensor:
    """(I, P, L), or (I, P, L, 3) whose colours are made worse alike."""
    if volume.ndim == 4:
        return torch.stack([_each_channel(v, degradation, strength, seed) for v in volume.unbind(-1)], -1)
    # What counts as background here is near zero, not always zero, in resampled scans.
    background = volume.abs() <= 1e-3 * volume.abs().max()
    return degradation(volume.masked_fill(background, 0.0), strength, Generator().manual_seed(seed))
