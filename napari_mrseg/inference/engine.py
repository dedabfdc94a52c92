"""From a study and a combination to a prediction. The same engine serves viewer, command line and cluster."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_mrseg.errors import DeviceError, ModelError
from napari_mrseg.inference.device import resolve_device, resolve_precision
from napari_mrseg.inference.normalise import Intensities, measure, scale
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.inference.resample import resample
from napari_mrseg.inference.windows import Frame, blend, frame, nearest_first, tile
from napari_mrseg.models.store import Model, Validated
from napari_mrseg.study import Image, Note, Study
from napari_mrseg.tasks import Task

KNOWN_IMAGES = 16  # images whose intensities stay measured


def _nothing() -> None:
    return None


def _silent(_: float) -> None:
    return None


@dataclass(frozen=True)
class _Known:
    """What is learnt once per image: its intensities, and the box of its foreground."""

    intensities: Intensities
    bounds: tuple[tuple[int, int], ...]


class Engine:
    """A model, ready to run on a device.

    A modality that is switched off was never there: only ``study.only(combination)`` is looked at, so crop,
    normalisation, grid and warnings follow from the modalities in use. On the CPU the result is bit-equal for
    the same files, settings and number of threads, whatever ran before.

    Raises InputError or DeviceError for a device that cannot be had.
    """

    def __init__(self, model: Model, *, device: str = "auto", precision: str = "auto") -> None:
        self.model = model
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self.threads = torch.get_num_threads()
        self._dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        self._network = model.network.for_inference(self._dtype).to(self.device)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._checks = {complete: self._count_checks(complete) for complete in (True, False)}

    @property
    def device_name(self) -> str:
        return str(self.device)

    @property
    def task(self) -> Task:
        return self.model.task

    def predict(self, study: Study, combination: Iterable[str] | None = None) -> Prediction:
        """The final result for ``combination`` (default: all modalities that are there)."""
        names = study.present if combination is None else combination
        return list(self.run(study, names, preview=False))[-1]

    def run(
        self,
        study: Study,
        combination: Iterable[str],
        *,
        preview: bool = True,
        focus: tuple[int, ...] | None = None,
        check: Callable[[], None] = _nothing,
        progress: Callable[[float], None] = _silent,
    ) -> Iterator[Prediction]:
        """Yield a preview, if the model's card lists a coarser spacing and ``preview`` is set, then the final.

        ``focus``: voxel of the study's grid the user looks at; windows near it come first (the result does not
        depend on it). ``check`` is called between the network's blocks and may raise to stop. ``progress``
        takes the fraction of the pass under way.
        """
        if study.task.name != self.task.name:
            raise ModelError(
                f"{self.model.card.name} is a model for the task {self.task.name}, "
                f"but {study.case} was opened for {study.task.name}; choose another model."
            )
        study = study.only(combination)
        torch.set_num_threads(self.threads)  # a new thread does not inherit it
        passes = self.model.card.validated
        todo = [(passes[1], True)] if preview and len(passes) > 1 else []
        for validated, early in [*todo, (passes[0], False)]:
            try:
                yield self._pass(study, validated, early, focus, check, progress)
            except torch.OutOfMemoryError:
                raise DeviceError(
                    f"{self.device_name}: out of memory for {study.case}; choose the CPU, or a smaller model."
                ) from None

    def _pass(
        self,
        study: Study,
        validated: Validated,
        preview: bool,
        focus: tuple[int, ...] | None,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> Prediction:
        began = time.perf_counter()
        with torch.inference_mode():
            where = self._frame(study, validated.spacing_mm)
            inputs = self._inputs(study, where, check)
            seen = None if focus is None else _to_frame(focus, where)
            found = self._network_pass(inputs, study, validated.extents_max, seen, check, progress)
            probabilities = _to_scan(found, where)
            check()
            labels = torch.as_tensor(self.task.label_map(probabilities)).to(torch.uint8)
            whole = np.zeros(study.grid.shape, dtype=np.uint8)
            whole[where.box] = labels.cpu().numpy()
            kept = probabilities.to(torch.float16).cpu().numpy()
        return Prediction(
            task=self.task,
            case=study.case,
            combination=study.present,
            grid=study.grid,
            labels=whole,
            probabilities=kept,
            box=where.box,
            model=self.model.info,
            device=self.device_name,
            precision=self.precision,
            spacing=validated.spacing_mm,
            seconds=time.perf_counter() - began,
            preview=preview,
            notes=(*study.notes, *_estimates(study)),
        )

    def _frame(self, study: Study, spacing: float) -> Frame:
        """The box around the foreground of all modalities in use, at the network's spacing."""
        known = [self._look_at(image) for image in study.images.values()]
        bounds = [
            (min(k.bounds[axis][0] for k in known), max(k.bounds[axis][1] for k in known))
            for axis in range(len(study.grid.shape))
        ]
        return frame(bounds, study.grid.spacing, spacing)

    def _look_at(self, image: Image) -> _Known:
        """Measure an image once; it is recognised by the hash of its file."""
        name = image.source.sha256
        if name not in self._known:
            volume = torch.from_numpy(image.data.copy())  # PyTorch wants arrays it may write to
            intensities = measure(volume)
            self._known[name] = _Known(intensities, _bounds(image.data, intensities.floor))
            if len(self._known) > KNOWN_IMAGES:
                self._known.popitem(last=False)
        self._known.move_to_end(name)
        return self._known[name]

    def _inputs(self, study: Study, where: Frame, check: Callable[[], None]) -> Tensor:
        """(1, M, i, p, l) normalised channels in the task's order; a missing one filled as the task says."""
        channels: dict[str, Tensor] = {}
        origin = [begin - box.start for begin, box in zip(where.start, where.box, strict=True)]
        for name, image in study.images.items():
            check()
            part = torch.from_numpy(image.data[where.box].copy()).to(self.device)
            scaled = scale(part, self._look_at(image).intensities)
            channels[name] = resample(scaled[None], origin, where.step, where.size)[0]
        first = next(iter(channels.values()))
        missing = torch.zeros_like(first) if self.task.fill == "zero" else first
        stack = torch.stack([channels.get(name, missing) for name in self.task.names])
        return stack[None].to(self._dtype).contiguous(memory_format=torch.channels_last_3d)

    def _network_pass(
        self,
        inputs: Tensor,
        study: Study,
        largest: tuple[int, ...],
        focus: tuple[float, ...] | None,
        check: Callable[[], None],
        progress: Callable[[float], None],
    ) -> Tensor:
        """Probabilities (R, i, p, l), float32, of the whole frame."""
        size = inputs.shape[2:]
        present = torch.tensor([[n in study.images for n in self.task.names]], device=self.device)
        windows = tile(size, largest)
        outputs: dict[int, Tensor] = {}
        total = len(windows) * self._checks[bool(present.all())]
        done = 0

        def between_blocks() -> None:
            nonlocal done
            check()
            done += 1
            progress(min(1.0, done / total))

        for i in nearest_first(windows, focus):
            part = inputs[(slice(None), slice(None), *windows[i])]
            part = part.contiguous(memory_format=torch.channels_last_3d)
            logits = self._network(part, present, check=between_blocks)
            outputs[i] = torch.sigmoid(logits[0].float())
        return blend([outputs[i] for i in range(len(windows))], windows, size)

    def _count_checks(self, complete: bool) -> int:
        """How often the network asks whether to go on, in one pass: the length of the progress bar."""
        count = 0

        def between_blocks() -> None:
            nonlocal count
            count += 1

        channels = len(self.task.names)
        tiny = torch.zeros((1, channels, 8, 8, 8), dtype=self._dtype, device=self.device)
        present = torch.ones((1, channels), dtype=torch.bool, device=self.device)
        present[0, 0] = complete
        with torch.inference_mode():
            self._network(tiny, present, check=between_blocks)
        return max(1, count)


def predict(
    study: Study, combination: Iterable[str] | None = None, *, model: Model | None = None, device: str = "auto"
) -> Prediction:
    """One final prediction with the given model (default: the bundled one). For scripts and notebooks."""
    from napari_mrseg.models.store import load_model

    return Engine(model or load_model(task=study.task), device=device).predict(study, combination)


def _bounds(data: np.ndarray, floor: float) -> tuple[tuple[int, int], ...]:
    """First and one past the last voxel of the foreground, per axis."""
    mask = np.abs(data) > floor
    bounds = []
    for axis in range(data.ndim):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(data.ndim) if a != axis)))
        bounds.append((int(line[0]), int(line[-1]) + 1))
    return tuple(bounds)


def _to_frame(voxel: tuple[int, ...], where: Frame) -> tuple[float, ...]:
    return tuple((v - s) / w for v, s, w in zip(voxel, where.start, where.step, strict=True))


def _to_scan(found: Tensor, where: Frame) -> Tensor:
    """Probabilities of the frame (R, i, p, l) on the scan's voxels of its box."""
    start = [
        (box.start - begin) / width for box, begin, width in zip(where.box, where.start, where.step, strict=True)
    ]
    size = [box.stop - box.start for box in where.box]
    return resample(found, start, [1 / width for width in where.step], size, extend=True)


def _estimates(study: Study) -> tuple[Note, ...]:
    """A warning for each region that the modalities in use cannot show."""
    task = study.task
    notes = []
    for region in task.estimated(study.present):
        needs = " and ".join(task.modality(name).title for name in region.needs)
        notes.append(
            Note(
                region.unseen_code,
                f"{region.name} ({region.title}) is an estimate without {needs} ({region.unseen}).",
            )
        )
    return tuple(notes)
