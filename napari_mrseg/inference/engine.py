"""From a study and a combination to a prediction. The same engine serves viewer, command line and cluster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import ref

import torch
from torch import Tensor

from napari_mrseg.errors import DeviceError, InputError, ModelError
from napari_mrseg.forks import forked_with_torch
from napari_mrseg.inference import plausibility
from napari_mrseg.inference.allocator import reuse_freed_memory
from napari_mrseg.inference.cost import costly_choices
from napari_mrseg.inference.device import resolve_device, resolve_precision
from napari_mrseg.inference.mask_border import border_note
from napari_mrseg.inference.outputs import probabilities
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.inference.scans import Scans, to_frame, to_labels, to_scan
from napari_mrseg.inference.tiles import blend, nearest_first, place_of, tile
from napari_mrseg.models.axes import Place
from napari_mrseg.models.blocks import Steps
from napari_mrseg.models.store import Model, Validated
from napari_mrseg.prepare import Frame
from napari_mrseg.study import Note, Study
from napari_mrseg.tasks import Combination, Task

MOST_ELEMENTS = 2**31 - 1  # of one tensor: convolution kernels index with 32 bits
Check = Callable[[], None]


def _nothing() -> None:
    return None


def _silent(_: float) -> None:
    return None


def _silent_about(_: Combination, __: float) -> None:
    return None


@dataclass(frozen=True)
class _Ladder:
    """Where memory ended so far: the largest group, and whether windows are joined on the CPU."""

    group: int = 15
    join_on_cpu: bool = False


class Engine:
    """A model, ready to run on a device.

    A modality that is switched off was never there: only ``study.only(combination)`` is looked at, so crop,
    normalisation, grid and warnings follow from the modalities in use. On the CPU the result is bit-equal for
    the same files, settings and number of threads, whatever ran before.

    ``slow``: what makes it slower than it need be, a sentence each, said with every result.

    Raises InputError or DeviceError for a device that cannot be had.
    """

    def __init__(self, model: Model, *, device: str = "auto", precision: str = "auto") -> None:
        self.model = model
        self.threads = torch.get_num_threads()
        self._asked_precision = precision
        self._ladder = _Ladder()
        self._notices: list[Note] = []
        self._scans = Scans(
            model.card.normalisation["name"],
            model.network.stride,
            least=model.network.window,
            frames=model.task.ndim == 2,
        )
        self._move_in(device)
        self._widest = model.network.widest
        self._checks = {complete: self._count_checks(complete) for complete in (True, False)}

    @property
    def device_name(self) -> str:
        return str(self.device)

    @property
    def task(self) -> Task:
        return self.model.task

    def combinations(self, study: Study) -> tuple[Combination, ...]:
        """What there is to ask of this model about this study."""
        return self.model.card.combinations(study.present)

    def predict(self, study: Study, combination: str | Iterable[str] | None = None) -> Prediction:
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
        check: Check = _nothing,
        progress: Callable[[float], None] = _silent,
    ) -> Iterator[Prediction]:
        """Yield a preview, if the model's card lists a coarser spacing and ``preview`` is set, then the final.

        ``focus``: voxel of the study's grid the user looks at; windows near it come first (the result does not
        depend on it). ``check`` is called between the network's blocks and may raise to stop. ``progress``
        takes the fraction of the pass under way.
        """
        only = study.only(combination)
        self._accept(study, [only.present])
        passes = self.model.card.validated
        if preview and len(passes) > 1:
            yield from self._carefully([only], passes[1], True, focus, check, progress)
        yield from self._carefully([only], passes[0], False, focus, check, progress)

    def run_all(
        self,
        study: Study,
        combinations: Iterable[Iterable[str]],
        *,
        check: Check = _nothing,
        progress: Callable[[Combination, float], None] = _silent_about,
    ) -> Iterator[Prediction]:
        """Yield the finals of many combinations: one at a time on the CPU, in groups on a GPU.

        A group holds combinations whose frames are equal; its size follows from their shape, not from free
        memory. ``progress`` takes the group's first combination and the fraction of its pass.
        """
        best = self.model.card.validated[0]
        waiting = [study.only(c) for c in combinations]
        self._accept(study, [only.present for only in waiting])
        while waiting:
            spacing = best.spacing(waiting[0].grid.shape)
            where = self._scans.frame(waiting[0], spacing)
            limit = self._group_size(where.size)
            group = [s for s in waiting if self._scans.frame(s, spacing) == where][:limit]
            first = group[0].present

            def advance(fraction: float, first: Combination = first) -> None:
                progress(first, fraction)

            yield from self._carefully(group, best, False, None, check, advance)
            waiting = [s for s in waiting if s not in group]

    def forget(self) -> None:
        """Let go what is kept of the studies seen."""
        self._scans.forget()

    def _accept(self, study: Study, combinations: Iterable[Combination]) -> None:
        if study.task.name != self.task.name:
            raise ModelError(
                f"{self.model.card.name} is a model for the task {self.task.name}, "
                f"but {study.case} was opened for {study.task.name}; choose another model."
            )
        for combination in combinations:
            if not self.model.card.can_do(combination):
                raise InputError(self.model.card.refusal(combination))

    def _group_size(self, size: Sequence[int]) -> int:
        """How many combinations of this frame go through the network together."""
        if self.device.type != "cuda":
            return 1  # batching gains nothing on a CPU
        return max(1, min(self._ladder.group, MOST_ELEMENTS // (self._widest * math.prod(size))))

    def _carefully(
        self,
        group: list[Study],
        validated: Validated,
        preview: bool,
        focus: tuple[int, ...] | None,
        check: Check,
        progress: Callable[[float], None],
    ) -> list[Prediction]:
        """One pass; where memory ends, the next rung down, said once. Never a smaller window: that would differ."""
        # A new thread does not inherit it; in a forked child more than one would wait for ever.
        torch.set_num_threads(1 if forked_with_torch() else self.threads)
        results: list[Prediction] = []
        while len(results) < len(group):
            part = group[len(results) :][: self._ladder.group]
            where = None
            try:
                results += self._pass(part, validated, preview, focus, check, progress)
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                where = self.device_name
            finally:
                self._free()
            if where is not None:  # outside the except clause, which holds on to the failed pass's tensors
                self._step_down(where, len(part), group[0].case)
        return results

    def _step_down(self, where: str, group: int, case: str) -> None:
        """Smaller group → join windows on the CPU → compute on the CPU → give up."""
        if self.device.type == "cpu":
            raise DeviceError(
                f"{where}: out of memory for {case}; close other programs, or take a smaller model."
            )
        if group > 1:
            self._ladder = replace(self._ladder, group=group // 2)
            message = f"in groups of {group // 2}"
        elif not self._ladder.join_on_cpu:
            self._ladder = replace(self._ladder, join_on_cpu=True)
            message = "joining windows on the CPU"
        else:
            self._set_device("cpu")
            message = "on the CPU from now on, which is slower"
        self._notices.append(Note("out_of_memory", f"{where} ran out of memory; computing {message}."))

    def _move_in(self, device: str) -> None:
        """Onto the device; where not even the model fits, onto the CPU, said with the first result."""
        full = None
        try:
            self._set_device(device)
        except RuntimeError as error:
            if not _out_of_memory(error) or self.device.type == "cpu":
                raise
            full = self.device_name
        if full is not None:
            self._set_device("cpu")
            self._free()
            self._notices.append(
                Note(
                    "out_of_memory",
                    f"{full} has no room for the model; computing on the CPU, which is slower.",
                )
            )

    def _set_device(self, device: str) -> None:
        self.device = resolve_device(device)
        self._scans.forget()  # its images lie on the device before
        self.precision = resolve_precision(self._asked_precision, self.device)
        self._dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        if self.device.type == "cpu":
            reuse_freed_memory()
        self._network = self.model.network.for_inference(self._dtype).to(self.device)
        self.slow = costly_choices(self.model, self.device, self.precision, self.threads)

    def _free(self) -> None:
        """Give unused GPU memory back to other programs, also after a cancel, and what a model before this one left."""
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _pass(
        self,
        group: list[Study],
        validated: Validated,
        preview: bool,
        focus: tuple[int, ...] | None,
        check: Check,
        progress: Callable[[float], None],
    ) -> list[Prediction]:
        """One way through the network for studies that share a frame."""
        began = time.perf_counter()
        with torch.inference_mode():
            spacing = validated.spacing(group[0].grid.shape)
            where = self._scans.frame(group[0], spacing)
            inputs = self._scans.inputs(group, where, self.device, self._dtype, check)
            seen = None if focus is None else to_frame(focus, where)
            found = self._network_pass(inputs, group, where, validated.extents_max, seen, check, progress)
            del inputs
            results = []
            for study, frame_probabilities in zip(group, found, strict=True):
                check()
                on_scan = to_scan(frame_probabilities, where)
                cuts = self.model.card.thresholds_for(study.present)
                whole = to_labels(self.task, on_scan, where, study.grid.shape, check, cuts)
                results.append((study, whole, on_scan.to(torch.float16).cpu().numpy()))
        notices = (*self._notices, *_forked(self.device))
        if not preview:  # a preview is gone in a moment; the final says it too
            self._notices = []
        seconds = (time.perf_counter() - began) / len(group)
        predictions = [
            Prediction(
                task=self.task,
                case=study.case,
                combination=study.present,
                grid=study.grid,
                labels=whole,
                probabilities=kept,
                box=where.box,
                digest=study.digest,
                model=self.model.info,
                device=self.device_name,
                precision=self.precision,
                spacing=spacing,
                seconds=seconds,
                preview=preview,
                source=next(iter(study.images.values())).source,
                scan=ref(next(iter(study.images.values()))),
                notes=(*study.notes, *_estimates(study), *self._doubts(study), *self.slow, *notices),
            )
            for study, whole, kept in results
        ]
        for prediction in predictions:
            _ = prediction.sizes  # counted here once, not on a thread that shows them
        return (
            predictions if preview else [self._judged(*pair) for pair in zip(predictions, group, strict=True)]
        )

    def _doubts(self, study: Study) -> tuple[Note, ...]:
        return plausibility.implausible_inputs(study, self._statistics(study), self.model.card)

    def _statistics(self, study: Study) -> dict[str, plausibility.ImageStatistics]:
        return self._scans.statistics(study) if self.model.card.expects == "adult brain" else {}

    def _judged(self, prediction: Prediction, study: Study) -> Prediction:
        """The prediction with a warning if what it found, or did not find, calls for one."""
        notes = plausibility.implausible_finding(
            self.task, prediction.combination, prediction.sizes, self._statistics(study), self.model.card
        )
        notes += border_note(self.task, prediction.labels, study)
        return replace(prediction, notes=(*prediction.notes, *notes)) if notes else prediction

    def _network_pass(
        self,
        inputs: Tensor,
        group: Sequence[Study],
        where: Frame,
        largest: tuple[int, ...],
        focus: tuple[float, ...] | None,
        check: Check,
        progress: Callable[[float], None],
    ) -> Tensor:
        """Probabilities (B, R, i, p, l), float32, of the whole frame, for inputs (B, C, i, p, l)."""
        size = inputs.shape[2:]
        rows = [[name in study.images for name in self.task.names] for study in group]
        present = torch.tensor(rows, device=self.device)
        network = self.model.network
        windows = tile(size, largest, network.stride, fixed=network.window is not None)
        outputs: dict[int, Tensor] = {}
        total = len(windows) * self._checks[bool(present.all())]
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            progress(min(1.0, done / total))

        between_blocks = Steps(check, step)
        for i in nearest_first(windows, focus):
            part = inputs[(slice(None), slice(None), *windows[i])]
            part = part.contiguous(memory_format=torch.channels_last_3d)
            found = self._answer(part, present, between_blocks, place_of(windows[i], where))
            outputs[i] = found.cpu() if self._ladder.join_on_cpu else found
        return blend([outputs[i] for i in range(len(windows))], windows, size, check)

    def _answer(self, part: Tensor, present: Tensor, check: Check, place: Place | None = None) -> Tensor:
        """Probabilities of one window; the mean with those of its mirror image, where the card asks for it."""
        views = [(part, place)]
        if self.model.card.mirrored:
            views.append((part.flip(-1), place and place.turned([2])))
        found = []
        for view, there in views:
            more = {"place": there} if self._network.located else {}
            logits = self._network(view, present, check=check, **more)
            found.append(probabilities(logits.float(), self.task.output))
        return found[0] if len(found) == 1 else (found[0] + found[1].flip(-1)) / 2

    def _count_checks(self, complete: bool) -> int:
        """How often the network asks whether to go on, in one pass: the length of the progress bar."""
        count = 0

        def between_blocks() -> None:
            nonlocal count
            count += 1

        # Twice the stride: some norms want more than one voxel on the coarsest map.
        extents = [2 * n if n > 1 else 1 for n in self.model.network.stride]
        tiny = torch.zeros((1, len(self.task.channels), *extents), dtype=self._dtype, device=self.device)
        present = torch.ones((1, len(self.task.names)), dtype=torch.bool, device=self.device)
        present[0, 0] = complete
        with torch.inference_mode():
            self._answer(tiny, present, between_blocks)
        return max(1, count)


def predict(
    study: Study,
    combination: str | Iterable[str] | None = None,
    *,
    model: Model | str | Path | None = None,
    device: str = "auto",
) -> Prediction:
    """The final result of one combination. For scripts and notebooks.

    ``combination``: modalities to use, as "flair+t1" or a list; default: all that are there. ``model``: a model, the
    name of an installed one, or a model folder; default: the bundled one. ``device``: "auto", "cpu", "cuda", "cuda:n".
    Raises InputError for modalities that are not there, and what :func:`~napari_mrseg.load_model` and
    :class:`~napari_mrseg.Engine` raise.
    """
    from napari_mrseg.models.store import load_model

    chosen = model if isinstance(model, Model) else load_model(model, task=study.task)
    return Engine(chosen, device=device).predict(study, combination)


def _forked(device: torch.device) -> tuple[Note, ...]:
    """A note where a forked child computes with fewer threads than its parent would."""
    if device.type != "cpu" or not forked_with_torch():
        return ()
    message = (
        "This process was made by fork, where PyTorch computes on one core; start it by multiprocessing's “spawn” to "
        "use all of them."
    )
    return (Note("forked", message),)


def _out_of_memory(error: RuntimeError) -> bool:
    """A GPU has an error type of its own for it; the CPU's allocator has only its words."""
    words = ("can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(w in str(error) for w in words)


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
