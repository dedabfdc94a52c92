"""One training sample after another: a brain, perhaps a tumour, a scanner's faults, and some of the modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from mrseg_training.data import signal, tumour
from mrseg_training.data.anatomy import SPACING, Anatomy, from_template
from mrseg_training.data.graft import SourceLesion, graft, source_lesion
from mrseg_training.data.tumour import chance, look_up, offsets, pick, smooth_noise, uniform
from napari_mrseg import degrade
from napari_mrseg.prepare import bounds, foreground, frame, most, normalise, resample

CAVITY = 0.06  # of the samples have a hole full of fluid that is no tumour
CORE = (7.0, 33.0)  # radius of a tumour's core, mm
FURTHER = 0.6  # size of a second and third focus relative to that drawn for a first


@dataclass
class Sample:
    """What the network sees and should say.

    ``images`` (4, I, P, L) normalised, extents multiples of 8; ``regions`` (3, I, P, L) of 0 and
    1 in the order WT, TC, ET; ``valid`` (I, P, L), 0 where the truth is unknown.
    """

    images: Tensor
    regions: Tensor
    valid: Tensor


@dataclass
class Simulator:
    """Draws samples. ``brains``: covered scans; ``real``: scans with their labels; ``maps``: template tissue maps.

    ``real_share`` of the samples have a real tumour, ``moved_share`` of these in another brain. ``healthy_share`` of
    the others have none; half of these are drawn from ``tumour_free``, scans whose every finding is no tumour.
    ``pale_share`` of the painted and moved tumours hardly differ from the tissue they lie in.

    ``maps`` is (3, I, P, L) grey matter, white matter, brain, or None. All are held at ``spacing`` mm.
    """

    brains: Sequence[Anatomy]
    real: Sequence[Anatomy] = ()
    tumour_free: Sequence[Anatomy] = ()
    maps: Tensor | None = None
    real_share: float = 0.15
    moved_share: float = 0.5
    healthy_share: float = 0.22
    template_share: float = 0.12
    pale_share: float = 0.0
    spacing: float = SPACING

    def sample(self, generator: Generator) -> Sample:
        """A sample with all modalities."""
        real = bool(self.real) and chance(self.real_share, generator)
        moved = real and chance(self.moved_share, generator)
        fine = SPACING / self.spacing
        tumours = 0
        if moved:
            tumours = 1
        elif not real and not chance(self.healthy_share, generator):
            tumours = 1 + pick((0.8, 0.15, 0.05), generator)
        anatomy = self._anatomy(real and not moved, generator, tumour=bool(tumours))
        grid, brain = warp(anatomy, generator, fine)
        places = [_place(brain, generator, fine) for _ in range(tumours)]
        places[1:] = [(centre, FURTHER * radius) for centre, radius in places[1:]]
        given = self._lesions[pick([1.0] * len(self.real), generator)] if moved else None
        if given is not None:
            places = [(places[0][0], given.radius)]
        for centre, radius in places:
            if chance(0.7, generator):
                grid = push(grid, centre, radius, uniform(0, 0.75, generator), self.spacing)
        images, white, fluid, valid, soft, labels = resampled(anatomy, grid)
        brain = (soft > 0.5).float()
        if chance(0.7, generator):
            images = signal.recolour(images, white, fluid, generator)
        images = distract(images, white, fluid, brain, generator, often=not tumours, spacing=self.spacing)
        without = images
        if given is not None:
            images, labels = graft(images, brain, given, places[0][0], generator)
        elif not real:
            shapes = []
            for centre, radius in places:
                shape = tumour.draw(brain, white, fluid, centre, radius, self.spacing, generator)
                images = signal.paint(images, shape, self.spacing, generator)
                shapes.append(shape)
            labels = tumour.label_map(shapes, brain)
        if self.pale_share and chance(self.pale_share, generator):
            images = signal.pale(without, images, labels == 3, generator)
        if not real and chance(CAVITY, generator):
            centre, radius = _place(brain, generator, fine)
            hole = tumour.draw(
                brain, white, fluid, centre, 0.7 * radius, self.spacing, generator, kind="none"
            )
            images = signal.cavity(images, hole, generator)
            labels = torch.where(hole.core >= 0.5, 0, labels)
        images = scanner(images, brain, generator)
        return finish(images, labels, valid, soft)

    @cached_property
    def _lesions(self) -> list[SourceLesion]:
        return [source_lesion(real, self.spacing) for real in self.real]

    def _anatomy(self, real: bool, generator: Generator, *, tumour: bool) -> Anatomy:
        if real:
            return self.real[pick([1.0] * len(self.real), generator)]
        if self.tumour_free and not tumour and chance(0.5, generator):
            return self.tumour_free[pick([1.0] * len(self.tumour_free), generator)]
        if self.maps is not None and chance(self.template_share, generator):
            return from_template(self.maps, generator)
        hosts = [*self.brains, *self.tumour_free]
        return hosts[pick([1.0] * len(hosts), generator)]


def warp(anatomy: Anatomy, generator: Generator, fine: float = 1.0) -> tuple[Tensor, Tensor]:
    """Where each voxel of a new, slightly different head comes from: (3, I, P, L) voxels of ``anatomy``, and its brain.

    Mirrored half of the time, turned by a few degrees, scaled by up to 12 % an axis, bent by a few mm. ``fine``:
    voxels of the anatomy to 2 mm.
    """
    shape = anatomy.white.shape
    zoom = torch.exp((torch.rand(3, generator=generator) * 2 - 1) * 0.12)
    size = [int(n * float(z)) + 6 for n, z in zip(shape, zoom, strict=True)]
    where = offsets(size, [(n - 1) / 2 for n in size], 1.0) / zoom.view(3, 1, 1, 1)
    where = torch.einsum("ab,bipl->aipl", tumour.rotation(4, generator), where)
    if chance(0.5, generator):
        where[2] = -where[2]
    bend = uniform(0, 1.2, generator) * fine
    where = where + torch.stack([bend * smooth_noise(size, 18 * fine, generator) for _ in range(3)])
    where = where + torch.tensor([(n - 1) / 2 for n in shape]).view(3, 1, 1, 1)
    mask = (anatomy.images[1] > 0).float()[None]
    return where, look_up(mask, where)[0] > 0.5


def _place(brain: Tensor, generator: Generator, fine: float = 1.0) -> tuple[list[float], float]:
    """(centre in voxels, core radius in mm) of a tumour inside ``brain``, not at its very surface."""
    step = max(1, round(3 * fine))
    deep = F.avg_pool3d(brain[None, None].float(), 2 * step + 1, step, step)[0, 0]
    limit = uniform(0.6, 0.99, generator)
    places = torch.nonzero(deep >= min(limit, float(deep.max()))) * step
    centre = places[pick([1.0] * len(places), generator)].tolist()
    return centre, uniform(*CORE, generator)


def push(
    grid: Tensor, centre: Sequence[float], radius: float, amount: float, spacing: float = SPACING
) -> Tensor:
    """Mass effect: tissue around ``centre`` comes from nearer to it, so that it looks pushed away."""
    mm = offsets(grid.shape[1:], centre, spacing)
    pull = amount * torch.exp(-mm.square().sum(0) / (1.8 * radius) ** 2)
    return grid - mm / spacing * pull


def resampled(anatomy: Anatomy, grid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(images, white, fluid, certain, share of brain, labels) at ``grid``; labels are 0 without a real tumour."""
    parts = [anatomy.images, anatomy.white[None], anatomy.fluid[None], anatomy.valid[None]]
    parts.append((anatomy.images[1] > 0).float()[None])
    if anatomy.labels is not None:
        parts += [(anatomy.labels == code).float()[None] for code in (1, 2, 3)]
    stack = look_up(torch.cat(parts), grid)
    brain = (stack[7] > 0.5).float()
    images = torch.where(brain > 0, (stack[:4] / stack[7].clamp_min(0.1)).clamp_min(0.5), 0.0)
    valid = torch.where(brain > 0, stack[6], 1.0).round()
    labels = torch.zeros(brain.shape, dtype=torch.uint8)
    if anatomy.labels is not None:
        labels = most(stack[8:], (1, 2, 3))
    return images, stack[4] * brain, stack[5] * brain, valid, stack[7], labels


def distract(
    images: Tensor,
    white: Tensor,
    fluid: Tensor,
    brain: Tensor,
    generator: Generator,
    *,
    often: bool,
    spacing: float = SPACING,
) -> Tensor:
    """Add what must not be called tumour, more often where there is none."""
    if chance(0.6 if often else 0.3, generator):
        images = signal.vessels(images, brain, spacing, generator)
    if chance(0.6 if often else 0.25, generator):
        images = signal.hyperintensities(images, white, fluid, spacing, generator)
    return images * brain


def scanner(images: Tensor, brain: Tensor, generator: Generator) -> Tensor:
    """Faults of each modality on its own: contrast, bias field, noise, blur, thick slices, ghosts, a small shift."""
    out = []
    for image in images:
        image = image.clamp_min(0.1) * brain
        for artefact, share in ARTEFACTS:
            if chance(share, generator):
                image = artefact(image, uniform(0, 1, generator) ** 1.5, generator)
        if chance(0.2, generator):
            part, axis = uniform(0, 0.9, generator), pick((1, 1, 1), generator)
            image = (
                (1 - part) * image + part * torch.roll(image, 1 if chance(0.5, generator) else -1, axis)
            ) * brain
        out.append(image)
    return torch.stack(out)


ARTEFACTS = (
    (degrade.gamma, 0.35),
    (degrade.contrast, 0.2),
    (degrade.blur, 0.2),
    (degrade.thick_slices, 0.1),
    (degrade.bias_field, 0.35),
    (degrade.ghosting, 0.05),
    (degrade.noise, 0.35),
)


def finish(images: Tensor, labels: Tensor, valid: Tensor, soft: Tensor) -> Sample:
    """Crop, normalise and pad exactly as the viewer does with the files it has."""
    masks = torch.stack([foreground(image) for image in images])
    # Voxels stay as they are; the frame is the viewer's: a box with spare room on both sides.
    where = frame(bounds(masks.any(0)), (1.0,) * 3, 1.0)
    # The viewer resamples after normalising, so the edge of the brain fades into the background.
    seen = torch.stack([normalise(i, m) * soft for i, m in zip(images, masks, strict=True)])
    regions = torch.stack([labels > 0, (labels == 1) | (labels == 3), labels == 3]).float()
    parts = torch.cat([seen, regions, 1 - valid[None]])[:, *where.box]
    origin = [begin - side.start for begin, side in zip(where.start, where.box, strict=True)]
    framed = resample(parts, origin, where.step, where.size)
    return Sample(framed[:4], framed[4:7], 1 - framed[7])
