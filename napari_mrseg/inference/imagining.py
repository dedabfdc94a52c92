"""What the network thinks a scan that is missing, or switched off, would look like, and how sure it is of that.

An imagined scan is shown and saved as such. Nothing here makes an image of a study of it, so that no prediction can be
made from one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_mrseg.errors import InputError, ModelError
from napari_mrseg.forks import forked_with_torch
from napari_mrseg.inference.device import resolve_device, resolve_precision
from napari_mrseg.inference.scans import Scans, to_scan
from napari_mrseg.models.imagining_network import COARSER, ImaginingNet, mix_one, of_modality
from napari_mrseg.models.store import Model, load_model
from napari_mrseg.prepare import Frame
from napari_mrseg.resources import IMAGINING_MODEL
from napari_mrseg.study import AppliedStep, Note, Source, Study
from napari_mrseg.tasks import Combination, Task, key

INTERVAL = 0.8  # share of voxels that lie between low and high
UNSURE = 2.0  # width of the interval, in robust z-scores, from which on nothing can be said

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Imagined:
    """One modality of a study as the network imagines it. Arrays are (I, P, L) float32, read-only, 0 outside the brain.

    Attributes
    ----------
    target
        The modality imagined.
    given
        What it was imagined from.
    middle, low, high
        Robust z-scores of the brain's intensities, as the network sees scans (:func:`napari_mrseg.prepare.scale`): the
        median of what is possible, and the ends of the interval that holds 80 % of it.
    inside
        (I, P, L) bool: where any of the given scans shows something.
    source
        The file whose grid this lies on.
    steps
        What was done to the voxels of each given scan: its name, the step, its settings as JSON.
    notes
        Warnings about the given scans.
    """

    task: Task
    case: str
    target: str
    given: Combination
    middle: Array
    low: Array
    high: Array
    inside: npt.NDArray[np.bool_]
    model: dict[str, str]
    device: str
    precision: str
    seconds: float
    source: Source
    steps: tuple[tuple[str, AppliedStep], ...] = ()
    notes: tuple[Note, ...] = ()
    interval: ClassVar[float] = INTERVAL

    def __post_init__(self) -> None:
        for array in (self.middle, self.low, self.high, self.inside):
            array.setflags(write=False)

    @property
    def title(self) -> str:
        """What every picture, layer and file of it is called: "T1ce imagined from FLAIR + T2"."""
        names = " + ".join(self.task.modality(name).title for name in self.given)
        return f"{self.task.modality(self.target).title} imagined from {names}"

    @property
    def mark(self) -> str:
        """The sentence that goes with every picture and file."""
        return f"{self.title}: not a scan"

    @property
    def width(self) -> Array:
        """(I, P, L) float32: how wide the interval is."""
        return self.high - self.low

    @property
    def unsure(self) -> npt.NDArray[np.bool_]:
        """(I, P, L) bool: where the interval is so wide that the network cannot know."""
        found: npt.NDArray[np.bool_] = self.width > UNSURE
        return found

    def __repr__(self) -> str:
        return f"<Imagined {self.case}: {self.target} from {key(self.given)}>"


@dataclass(frozen=True, eq=False)
class Curves:
    """What the network says of the given scans: enough to imagine any other from them.

    Attributes
    ----------
    given
        The study with nothing but the given scans.
    where
        The box around their brain, and the network's grid in it.
    outputs
        (1, C, i, p, l) float32 on the network's coarser grid: curves and intervals of every modality.
    scans, inside
        The given scans' own voxels in the box, normalised, (M, i, p, l) float32, and where any of them shows something.
    """

    given: Study
    where: Frame
    outputs: Tensor
    scans: Tensor
    inside: Tensor


@lru_cache(maxsize=1)
def imagining_model() -> Model:
    """The bundled network. Raises ModelError if it is damaged."""
    return load_model(IMAGINING_MODEL, segments=False)


class Imaginer:
    """The network that imagines, ready to run on a device; default: the bundled one.

    Raises InputError or DeviceError for a device that cannot be had, ModelError for a model that imagines nothing.
    """

    def __init__(self, model: Model | None = None, *, device: str = "auto", precision: str = "auto") -> None:
        self.model = model or imagining_model()
        if not isinstance(self.model.network, ImaginingNet):
            raise ModelError(f"{self.model.card.name} imagines no modalities; choose another model.")
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self._dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        self._network = self.model.network.for_inference(self._dtype).to(self.device)
        self._scans = Scans(self.model.card.normalisation["name"], self.model.network.stride)
        self._threads = torch.get_num_threads()

    def curves(
        self,
        study: Study,
        given: str | Iterable[str],
        *,
        check: Callable[[], None] = lambda: None,
    ) -> Curves:
        """Run the network on the ``given`` modalities of ``study``: all that takes long, whatever is imagined then.

        ``check`` is called between the network's blocks and may raise to stop. Raises InputError for a modality that
        the study has not, ModelError for a study of another task.
        """
        self._check_task(study)
        seen = study.only(given)
        torch.set_num_threads(1 if forked_with_torch() else self._threads)
        with torch.inference_mode():
            where = self._scans.frame(seen, self.model.card.validated[0].spacing_mm)
            inputs = self._scans.inputs([seen], where, self.device, self._dtype, check)
            outputs = self._network(inputs, check=check).float()
            if self.model.card.mirrored:
                outputs = (outputs + self._network(inputs.flip(-1), check=check).float().flip(-1)) / 2
            check()
            used = [study.task.names.index(name) for name in seen.present]
            scans = self._scans.normalised(seen, where)[used].to(outputs.device)
            return Curves(seen, where, outputs, scans, self._scans.shown(seen, where))

    def imagine(
        self,
        study: Study,
        target: str,
        given: str | Iterable[str] | None = None,
        *,
        curves: Curves | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Imagined:
        """``target`` imagined from ``given`` (default: every other modality that is there).

        ``curves``: of the same scans, if they are there already. ``check`` as above. Raises InputError for a modality
        that the study has not or that the task does not know, ModelError for a study of another task.
        """
        began = time.perf_counter()
        self._check_task(study)
        task = study.task
        (target,) = task.combination((target,))
        names = [name for name in study.present if name != target] if given is None else given
        if not names:
            raise InputError(f"{target} is imagined from other scans of {study.case}; give one at least.")
        if target in study.only(names).present:
            raise InputError(f"{target} is to be imagined; leave it out of the given scans.")
        curves = curves or self.curves(study, names, check=check)
        seen, where = curves.given, curves.where
        if seen.digest != study.only(names).digest:
            raise ValueError("these curves are of other scans")
        with torch.inference_mode():
            used = [task.names.index(name) for name in seen.present]
            own = of_modality(curves.outputs, task.names.index(target), used)[0]
            fine = to_scan(own, _coarser(where))
            low, middle, high = mix_one(fine[None], curves.scans[None])[0].cpu()
            inside = curves.inside
        return Imagined(
            task=task,
            case=study.case,
            target=target,
            given=seen.present,
            middle=_on_grid(torch.where(inside, middle, 0.0), study, where),
            low=_on_grid(torch.where(inside, low, 0.0), study, where),
            high=_on_grid(torch.where(inside, high, 0.0), study, where),
            inside=_on_grid(inside, study, where).astype(bool),
            model=self.model.info,
            device=str(self.device),
            precision=self.precision,
            seconds=time.perf_counter() - began,
            source=seen.images[seen.present[0]].source,
            steps=tuple((name, step) for name, image in seen.images.items() for step in image.steps),
            notes=seen.notes,
        )

    def _check_task(self, study: Study) -> None:
        if study.task.name != self.model.card.task:
            raise ModelError(
                f"{self.model.card.name} imagines modalities of {self.model.card.task}, and {study.case} is of "
                f"{study.task.name}; nothing is imagined there."
            )

    def real(self, study: Study, name: str) -> Array:
        """(I, P, L) float32: a scan that is there, in the units of :class:`Imagined`, to compare with."""
        only = study.only((name,))
        where = self._scans.frame(only, self.model.card.validated[0].spacing_mm)
        return _on_grid(self._scans.normalised(only, where)[study.task.names.index(name)], study, where)

    def shown(self, study: Study, name: str) -> npt.NDArray[np.bool_]:
        """(I, P, L) bool: where a scan that is there shows something."""
        only = study.only((name,))
        where = self._scans.frame(only, self.model.card.validated[0].spacing_mm)
        return _on_grid(self._scans.shown(only, where), study, where).astype(bool)


def imagine(
    study: Study, target: str, given: str | Iterable[str] | None = None, *, device: str = "auto"
) -> Imagined:
    """``target`` of ``study`` as the bundled network imagines it from ``given`` (default: all others that are there).

    Raises InputError for modalities that are not there or not known, and for a device that cannot be had.
    """
    return Imaginer(device=device).imagine(study, target, given)


def _on_grid(boxed: Tensor, study: Study, where: Frame) -> Array:
    """(I, P, L) float32 of the whole study from the voxels of its box; 0 elsewhere."""
    found = np.zeros(study.grid.shape, np.float32)
    found[where.box] = boxed.numpy()
    return found


def _coarser(where: Frame) -> Frame:
    """The frame of the network's outputs."""
    step = tuple(COARSER * s for s in where.step)
    return Frame(where.box, where.start, step, tuple(n // COARSER for n in where.size))
