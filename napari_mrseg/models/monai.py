"""MONAI's own networks under the names ``monai:SegResNet``, ``monai:UNet`` and so on, and its bundles.

They know nothing of missing modalities: the card of such a model says which ones it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from napari_mrseg.errors import InputError
from napari_mrseg.models.axes import PATTERN, check_axes, from_axes, order_of, to_axes
from napari_mrseg.models.blocks import Check
from napari_mrseg.models.network import Network, asking

NAMES = ("AttentionUnet", "BasicUNet", "DynUNet", "SegResNet", "UNet", "VNet")
"""Those that map an image to logits of its extents, take plain numbers and words, and can be made without memory."""


class MonaiSettings(BaseModel):
    """Arguments of the network, and how its data lie compared with ours.

    ``inputs``: for each of its inputs the number of the task's channel; ``outputs``: for each of the task's regions
    the number of its output. ``axes``: where the axes of its arrays point; BraTS files, read as they are, have LPS.
    ``stride``: extents it takes are multiples of this, on the axes that it looks at.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: dict[str, Any] = {}
    inputs: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=64)]
    outputs: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=64)]
    axes: Annotated[str, Field(pattern=PATTERN)] = "IPL"
    stride: Literal[1, 2, 4, 8, 16, 32, 64] = 32

    @model_validator(mode="after")
    def _three_axes(self) -> MonaiSettings:
        check_axes(self.axes)
        return self

    @property
    def order(self) -> tuple[int, ...]:
        """For each axis of the network's arrays the axis of ours, 0 to 2."""
        return order_of(self.axes)

    @property
    def flat(self) -> bool:
        """Whether the network looks at one slice at a time."""
        return self.arguments.get("spatial_dims") == 2


class MonaiNetwork(Network):
    """One of MONAI's networks. ``forward`` as in :class:`~.network.Network`."""

    settings_type = MonaiSettings
    made_by: ClassVar[str]

    def __init__(self, settings: MonaiSettings) -> None:
        super().__init__()
        self.settings: MonaiSettings = settings
        n = settings.stride
        self.stride = (1, n, n) if settings.flat else (n, n, n)
        self.memory_format = torch.channels_last if settings.flat else torch.channels_last_3d
        self.network = _made(self.made_by, settings.arguments)

    def forward(self, x: Tensor, available: Tensor | None = None, *, check: Check | None = None) -> Tensor:
        x = to_axes(x[:, list(self.settings.inputs)], self.settings.axes)
        with asking(self.network, check):
            logits = self._slices(x) if self.settings.flat else self.network(x)
        return from_axes(logits[:, list(self.settings.outputs)], self.settings.axes)

    def _slices(self, x: Tensor) -> Tensor:
        """(B, C, I, P, L) one slice of the first axis at a time."""
        batch, _, slices = x.shape[:3]
        found: Tensor = self.network(x.movedim(2, 1).flatten(0, 1))
        result: Tensor = found.unflatten(0, (batch, slices)).movedim(1, 2)
        return result

    @classmethod
    def configured(
        cls, arguments: Mapping[str, Any], *, channels: int, outputs: int, adapters: bool = False
    ) -> Self:
        plain = {"inputs": tuple(range(channels)), "outputs": tuple(range(outputs)), "axes": "IPL"}
        given = {k: v for k, v in arguments.items() if k in MonaiSettings.model_fields}
        own = {k: v for k, v in arguments.items() if k not in MonaiSettings.model_fields}
        own = {"spatial_dims": 3, "in_channels": channels, "out_channels": outputs} | own
        settings = MonaiSettings.model_validate(plain | given | {"arguments": own})
        if "stride" not in given:
            settings = settings.model_copy(update={"stride": least_stride(cls.architecture, settings)})
        return cls(settings)

    @classmethod
    def refuse(cls, settings: MonaiSettings, channels: int, regions: int) -> str | None:
        if len(settings.outputs) != regions:
            return f"it has outputs for {len(settings.outputs)} regions, the task {regions}"
        if max(settings.inputs) >= channels:
            return f"it takes channel {max(settings.inputs)}, the task has {channels}, counted from 0"
        if settings.flat and settings.axes[0] not in "IS":
            return "a network of one slice at a time needs axes whose first is I or S"
        return None

    @property
    def widest(self) -> int:
        extents = tuple(2 * n for n in self.stride)
        with torch.device("meta"):
            network = type(self)(self.settings)
            x = torch.empty((1, max(self.settings.inputs) + 1, *extents))
        most = [1]

        def look(_: nn.Module, given: Any, out: Any) -> None:
            most.extend(t.numel() for t in (*given, out) if isinstance(t, Tensor))

        for module in network.modules():
            module.register_forward_hook(look)
        with torch.inference_mode():
            network.eval()(x)
        return -(-max(most) // torch.Size(extents).numel())


@cache
def monai_network(name: str) -> type[MonaiNetwork]:
    """The class for ``monai:NAME``. Raises InputError for a name that is not among :data:`NAMES`."""
    own = name.removeprefix("monai:")
    if own not in NAMES:
        raise InputError(f"unknown network of MONAI “{own}”; known: {', '.join(NAMES)}.")
    return type(f"Monai{own}", (MonaiNetwork,), {"architecture": name, "made_by": own})


def least_stride(name: str, settings: MonaiSettings) -> int:
    """The least stride whose odd multiples come out as they went in, tried without computing anything.

    Raises InputError if there is none up to 64, or if the arguments are not those of the network.
    """
    for stride in (1, 2, 4, 8, 16, 32, 64):
        tried = settings.model_copy(update={"stride": stride})
        extents = [3 * n for n in ((1, stride, stride) if settings.flat else (stride,) * 3)]
        with torch.device("meta"), torch.inference_mode():
            network = monai_network(name)(tried).eval()
            x = torch.empty((1, max(settings.inputs) + 1, *extents))
            try:
                fits = network(x).shape[2:] == x.shape[2:]
            except (RuntimeError, ValueError, AssertionError, IndexError):
                continue
        if fits:
            return stride
    raise InputError(f"{name} gives no result of its input's extents; it is not one that can be used.")


def _made(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Raises InputError for arguments that are not those of the network."""
    from monai.networks import nets

    try:
        made: nn.Module = getattr(nets, name)(**arguments)
        return made
    except (TypeError, ValueError, KeyError, AssertionError, AttributeError, RuntimeError) as error:
        raise InputError(f"the network {name} of MONAI does not take these arguments ({error}).") from error
    except ImportError as error:  # MONAI's OptionalImportError is one
        raise InputError(
            f"the network {name} of MONAI needs another package ({error}); install it."
        ) from error
