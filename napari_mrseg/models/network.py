"""What a network must be for the engine, the model folders and the training to take it, and which there are.

A network is found by the name in its model's card: one of :data:`OWN`, ``monai:NAME`` for one of MONAI's, or one that
another package registers as an entry point of the group ``napari_mrseg.networks``, e.g. in its ``pyproject.toml``::

    [project.entry-points."napari_mrseg.networks"]
    mynet = "mypackage.mynet:MyNet"
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from napari_mrseg.errors import InputError
from napari_mrseg.models.blocks import Check, stop_if_asked
from napari_mrseg.tasks import Task

GROUP = "napari_mrseg.networks"
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
STRIDES = (8, 8, 8)  # of the networks here, and of what is prepared for none in particular
OWN = {
    "unimrseg": "napari_mrseg.models.unimrseg:UniMRSeg",
    "mmformer": "napari_mrseg.models.mmformer:MmFormer",
    "smml": "napari_mrseg.models.smml:Smml",
    "cmc": "napari_mrseg.models.cmc:Cmc",
    "rfnet": "napari_mrseg.models.published.rfnet:RFNet",
    "mmformer-published": "napari_mrseg.models.published.published_mmformer:PublishedMmFormer",
    "unimrseg-published": "napari_mrseg.models.published.published_unimrseg:PublishedUniMRSeg",
    "m3ae": "napari_mrseg.models.published.m3ae:M3ae",
    "imfuse": "napari_mrseg.models.published.imfuse:ImFuse",
    "brain": "napari_mrseg.models.brain_network:BrainNet",
    "unimrseg-imagining": "napari_mrseg.models.imagining_network:ImaginingNet",
}


class Network(nn.Module):
    """One set of parameters for every combination of modalities it can do.

    Attributes
    ----------
    architecture
        Its name in model cards.
    settings_type
        All that decides its shape, as plain JSON; pydantic checks it.
    stride
        Extents of its input must be multiples of this, per axis I, P, L. An axis of stride 1 may have one voxel.
    window
        Extents of its windows, always these; None: any up to the card's.
    located
        Whether its answer depends on where in the scan a window lies; ``forward`` then takes ``place``, a
        :class:`~.axes.Place`, too.
    segments
        Whether its outputs are the task's regions.
    not_exported
        Why it cannot be written as ONNX; empty if it can.
    branching
        Whether its way may depend on which modalities are there, which saves time. False in an exported one, which
        computes all of it and leaves out by arithmetic what belongs to missing ones.
    """

    architecture: ClassVar[str]
    settings_type: ClassVar[type[BaseModel]]
    stride: tuple[int, int, int] = STRIDES
    window: ClassVar[tuple[int, int, int] | None] = None
    located: ClassVar[bool] = False
    segments: ClassVar[bool] = True
    not_exported: ClassVar[str] = ""
    memory_format: torch.memory_format = torch.channels_last_3d
    branching: bool = True

    settings: Any

    def forward(self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None) -> Tensor:
        """Logits (B, R, I, P, L) of ``x`` (B, C, I, P, L), the task's channels in order, missing ones filled.

        ``available``: (B, M) bool, which modalities are there; None: all. ``check`` is called between blocks and may
        raise to stop.
        """
        raise NotImplementedError

    def training_outputs(self, x: Tensor, available: Tensor | None = None) -> list[Tensor]:
        """The logits, then those of coarser maps that training may look at too, finest first."""
        return [self(x, available)]

    @classmethod
    def configured(
        cls, arguments: Mapping[str, Any], *, channels: int, outputs: int, adapters: bool = False
    ) -> Self:
        """A new network of ``channels`` inputs and ``outputs``, with what ``arguments`` say of its settings.

        ``adapters``: with what answers to missing modalities, if it has such. Raises pydantic's ValidationError.
        """
        raise NotImplementedError

    @classmethod
    def for_task(
        cls, task: Task, arguments: Mapping[str, Any], *, outputs: int | None = None, adapters: bool = False
    ) -> Self:
        """:meth:`configured` for ``task``: for networks that want to know more of it than how many channels."""
        return cls.configured(
            arguments,
            channels=len(task.channels),
            outputs=outputs or len(task.regions),
            adapters=adapters,
        )

    @property
    def sees(self) -> tuple[int, ...] | None:
        """The task's modalities that it looks at, by number; None: all."""
        return None

    @classmethod
    def refuse(cls, settings: Any, channels: int, regions: int) -> str | None:
        """Why these settings do not fit a task of so many channels and regions, or None."""
        return None

    @property
    def last_layers(self) -> tuple[nn.Conv3d, ...]:
        """The convolutions with bias that give logits."""
        return ()

    @property
    def training_stride(self) -> tuple[int, int, int]:
        """:attr:`stride` in training, where nothing is padded within."""
        return self.stride

    @property
    def widest(self) -> int:
        """Elements of its largest tensor per voxel of the input, for how many combinations go through together."""
        raise NotImplementedError

    @property
    def adapts(self) -> bool:
        """Whether an incomplete combination goes another way through it than a complete one."""
        return False

    def simplify(self) -> None:
        """Once it will learn no more, in fp32: leave out and put together what only training needs apart."""

    def for_inference(self, dtype: torch.dtype = torch.float32) -> Self:
        """A copy in eval mode, simplified, cast, channels last."""
        copied = copy.deepcopy(self).eval().requires_grad_(False)
        copied.simplify()
        copied.to(dtype=dtype)
        channels_last(copied)
        return copied


@contextmanager
def asking(network: nn.Module, check: Check | None) -> Iterator[None]:
    """``check`` is called before each convolution of ``network`` meanwhile."""
    if check is None:
        yield
        return
    ask = [
        module.register_forward_pre_hook(lambda *_: stop_if_asked(check))
        for module in network.modules()
        if isinstance(module, CONVOLUTIONS)
    ]
    try:
        yield
    finally:
        for hook in ask:
            hook.remove()


def channels_last(module: nn.Module) -> None:
    """Lay out kernels of two and of three axes as their convolutions are quickest."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.ndim in (4, 5):
            layout = torch.channels_last if tensor.ndim == 4 else torch.channels_last_3d
            tensor.data = tensor.data.contiguous(memory_format=layout)


class FeatureNetwork(Network):
    """A network in two halves, which the three stages of the paper train one after the other."""

    head: nn.Conv3d
    deep: nn.ModuleList

    @property
    def last_layers(self) -> tuple[nn.Conv3d, ...]:
        return (self.head, *self.deep)

    def encode(
        self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None
    ) -> list[Tensor]:
        """Features of ``x``, finest first, compensated where modalities are missing."""
        raise NotImplementedError

    def outputs(
        self, features: list[Tensor], x: Tensor, *, check: Check | None = None, deep: bool = True
    ) -> list[Tensor]:
        """The logits of ``features``, then with ``deep`` those of coarser maps."""
        raise NotImplementedError

    def freeze_encoder(self) -> None:
        """The first half gets no gradient and no new statistics from now on."""
        raise NotImplementedError


_REGISTERED: dict[str, type[Network]] = {}


def register_network(kind: type[Network]) -> type[Network]:
    """Make a network known by its ``architecture`` in this process: for scripts and notebooks, also as a decorator.

    Model folders name it; a package gives it by an entry point instead. Raises InputError for a name of this package.
    """
    if kind.architecture in OWN or kind.architecture.startswith("monai:"):
        raise InputError(
            f"A network of this package is called “{kind.architecture}”; give yours another name."
        )
    _REGISTERED[kind.architecture] = kind
    return kind


def find_network(name: str) -> type[Network]:
    """The network of that name. Raises InputError if there is none, or if the package that has it cannot be read."""
    if name in OWN:
        module, _, attribute = OWN[name].partition(":")
        found: type[Network] = getattr(import_module(module), attribute)
        return found
    if name.startswith("monai:"):
        from napari_mrseg.models.monai import monai_network

        return monai_network(name)
    if name in _REGISTERED:
        return _REGISTERED[name]
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return _loaded(entry)
    known = [*OWN, "monai:NAME", *_REGISTERED, *(entry.name for entry in entry_points(group=GROUP))]
    raise InputError(
        f"unknown architecture “{name}”; known: {', '.join(known)}. Install the package that has it."
    )


def _loaded(entry: Any) -> type[Network]:
    try:
        found = entry.load()
    except Exception as error:
        raise InputError(
            f"the architecture “{entry.name}” comes from {entry.value}, which cannot be loaded ({error}); "
            "fix or reinstall that package."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Network)):
        raise InputError(f"the architecture “{entry.name}” is {entry.value}, which is no Network.")
    return found
