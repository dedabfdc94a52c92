"""Simulated subjects: number k of a group and seed is always the same brain with the same tumour."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mrseg_training.data.anatomy import SPACING, Anatomy, from_study, load_pair
from mrseg_training.data.simulate import Simulator
from mrseg_training.data.splits import GROUPS
from mrseg_training.data.subjects import PREPARATION, Prepared
from mrseg_training.log import Count, Say, silent
from mrseg_training.perturb import mix
from mrseg_training.settings import SimulatePart
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.prepare import resample, resample_labels
from napari_mrseg.resources.template import tissue_maps
from napari_mrseg.tasks import Task

GENERATOR = 5
"""Raised when the generator draws other subjects from the same seed, so that no older cache is used."""


class Simulated:
    """Subjects of the generator, in the groups train, validation and test.

    ``root`` is the folder that holds ``part.scans``, as folders of scans or packed (``NAME.npz``, see
    :func:`~.anatomy.save_pair`). Raises InputError if one is not there.
    """

    def __init__(self, part: SimulatePart, task: Task, spacing: float, root: Path | None = None) -> None:
        if task.name != "brats":
            raise InputError(f"There is no generator for the task {task.name}; use files.")
        self.part, self.task, self.spacing = part, task, spacing
        self.drawn_at = min(SPACING, spacing)  # mm; coarser grids are averaged from it
        self.folders = [_brain(root, name) for name in part.scans]
        self.split: Mapping[str, Sequence[str]] | None = {
            group: [f"sim-{group}-{k:04d}" for k in range(getattr(part, group))] for group in GROUPS
        }
        assert self.split is not None
        self.ids: Sequence[str] = [subject for group in GROUPS for subject in self.split[group]]

    def fingerprint(self, subject: str) -> str:
        parts: list[object] = [PREPARATION, GENERATOR, self.spacing, self.part.seed, subject]
        if self._drawn_from:
            parts.append(self._drawn_from)
        text = json.dumps(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def load(self, subject: str) -> Prepared:
        """The subject at the source's spacing."""
        images, labels = self.draw(subject)
        factor = self.spacing / self.drawn_at
        if abs(factor - 1) > 1e-6:
            extents = [8 * -(-int(n / factor + 0.5) // 8) for n in labels.shape]
            images = resample(images, (0, 0, 0), (factor,) * 3, extents)
            labels = resample_labels(labels, (1, 2, 3), (0, 0, 0), (factor,) * 3, extents)
        return Prepared(images, labels, torch.ones(len(self.task.names), dtype=torch.bool))

    def draw(self, subject: str) -> tuple[Tensor, Tensor]:
        """((M, I, P, L) float32 normalised, (I, P, L) uint8 codes), ``drawn_at`` mm."""
        _, group, number = subject.split("-")
        generator = torch.Generator().manual_seed(mix(self.part.seed, GROUPS.index(group), int(number)))
        sample = self._simulator.sample(generator)
        # What may be a lesion that no label shows is cut out: it must not be learnt as healthy.
        return sample.images * sample.valid, self.task.label_map(sample.regions).to(torch.uint8)

    @cached_property
    def _drawn_from(self) -> dict[str, object]:
        """What else decides a subject: the settings that are not the default, and the scans themselves."""
        part = self.part.model_dump(mode="json", exclude_defaults=True)
        parts = {k: v for k, v in part.items() if k not in ("train", "validation", "test", "seed", "grow")}
        if self.drawn_at != SPACING:
            parts["drawn_at"] = self.drawn_at
        return parts | ({"files": [_digest(folder) for folder in self.folders]} if self.folders else {})

    @cached_property
    def _simulator(self) -> Simulator:
        part = self.part
        pairs = {
            name: _pair(folder, self.drawn_at, tumour_free=name in part.tumour_free)
            for name, folder in zip(part.scans, self.folders, strict=True)
        }
        return Simulator(
            brains=[pairs[name][0] for name in part.brains],
            real=[pairs[name][1] for name in part.brains if name in part.labelled],
            tumour_free=[pairs[name][0] for name in part.tumour_free],
            maps=template(self.drawn_at),
            spacing=self.drawn_at,
            template_share=part.template_share,
            real_share=part.real_share,
            healthy_share=part.healthy_share,
            pale_share=part.pale_share,
        )


def _brain(root: Path | None, name: str) -> Path:
    folder = (root or Path()).expanduser() / name
    packed = folder.with_name(f"{name}.npz")
    if not folder.is_dir() and not packed.is_file():
        raise InputError(
            f"{folder.parent} has no folder {name}, which simulate.brains or tumour_free names; check data.path."
        )
    return folder if folder.is_dir() else packed


def _pair(brain: Path, spacing: float, *, tumour_free: bool) -> tuple[Anatomy, Anatomy]:
    if brain.is_dir():
        study = open_study(brain, reference=not tumour_free)
        return from_study(study, spacing, tumour_free=tumour_free)
    if spacing != SPACING:
        raise InputError(
            f"{brain.name} is packed at {SPACING:g} mm, not {spacing:g}; use the scans themselves."
        )
    return load_pair(brain)


def _digest(brain: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(brain.iterdir()) if brain.is_dir() else [brain]:
        if path.is_file():
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def template(spacing: float = SPACING) -> Tensor:
    """(3, I, P, L) grey matter, white matter and brain in [0, 1]: ICBM 2009a, kept at 2 mm."""
    maps = torch.from_numpy(tissue_maps())
    if spacing == SPACING:
        return maps
    size = [round(n * SPACING / spacing) for n in maps.shape[1:]]
    return F.interpolate(maps[None], size=size, mode="trilinear", align_corners=False)[0]


def write_studies(
    part: SimulatePart,
    task: Task,
    out: Path,
    *,
    group: str = "test",
    say: Say = silent,
) -> list[Path]:
    """Simulated subjects of one group as folders of NIfTI files with their labels, marked as simulated.

    Intensities are int16, 0 outside the head; the grid is RAS at the generator's spacing.
    """
    source = Simulated(part, task, SPACING)
    folders = []
    assert source.split is not None
    for number, subject in enumerate(source.split[group], start=1):
        images, labels = source.draw(subject)
        folder = out / subject
        folder.mkdir(parents=True, exist_ok=True)
        affine = np.diag([SPACING, SPACING, SPACING, 1.0])
        head = (images != 0).any(0)
        for name, image in zip(task.names, images, strict=True):
            raw = torch.where(head, (image * 100 + 1000).round().clamp(1, 32000), 0).numpy().astype(np.int16)
            nib.save(nib.Nifti1Image(_ras(raw), affine), folder / f"{subject}_{name}.nii.gz")
        nib.save(nib.Nifti1Image(_ras(labels.numpy()), affine), folder / f"{subject}_seg.nii.gz")
        about = {"simulated": True, "seed": part.seed, "subject": subject, "generator": GENERATOR}
        (folder / "simulated.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
        folders.append(folder)
        say(Count("simulated", number, len(source.split[group])))
    return folders


def _ras(array: np.ndarray) -> np.ndarray:
    """(I, P, L) -> (R, A, S)."""
    return np.ascontiguousarray(array[::-1, ::-1, ::-1].transpose(2, 1, 0))
