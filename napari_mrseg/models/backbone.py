"""Encoders of photographs by name: our own small one, and from transformers (an extra) those that the paper builds on.

Their published weights are taken from a folder on disk when the user names one; nothing is ever downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from napari_mrseg.errors import InputError
from napari_mrseg.models.blocks import Check, ConvNorm, Norm, stop_if_asked
from napari_mrseg.models.lite import LiteBackbone

Name = Literal["own", "efficientnet-lite0", "resnet50", "convnext-base"]
FINEST = 4  # pixels that a voxel of the finest map stands for


def backbone_of(
    name: Name, inputs: int, channels: Sequence[int], *, norm: Norm = "batch"
) -> Backbone | LiteBackbone:
    """The encoder of that name for ``inputs`` channels."""
    if name == "efficientnet-lite0":
        return LiteBackbone(inputs, channels, norm=norm)
    return Backbone(name, inputs, channels, norm=norm)


class Backbone(nn.Module):
    """Four maps of an image, at 4, 8, 16 and 32 pixels, each brought to ``channels`` by a 1² convolution.

    (B, C, 1, P, L), extents multiples of 32 -> four of (B, channels[i], 1, P/4·2^i, L/4·2^i).
    """

    def __init__(self, name: Name, inputs: int, channels: Sequence[int], *, norm: Norm = "batch") -> None:
        super().__init__()
        kind, config = _kind(name)
        stages = [f"stage{i}" for i in range(1, 5)]
        self.body: Any = kind(config(num_channels=inputs, out_features=stages))
        self.necks = nn.ModuleList(
            ConvNorm(a, b, kernel=1, norm=norm, flat=True)
            for a, b in zip(self.body.channels, channels, strict=True)
        )

    def forward(self, x: Tensor, check: Check | None = None) -> list[Tensor]:
        maps = self.body(x.squeeze(2)).feature_maps
        stop_if_asked(check)
        return [neck(m.unsqueeze(2), check) for neck, m in zip(self.necks, maps, strict=True)]

    def take(self, folder: Path) -> None:
        """The weights of a published model of this kind, in ``folder`` (config.json, model.safetensors).

        Those of the first convolution that look at further channels start as the mean of the three colours'. Raises
        InputError.
        """
        from safetensors.torch import load_file

        path = folder / "model.safetensors"
        if not path.is_file():
            raise InputError(
                f"{folder} holds no model.safetensors; put a published model there, e.g. by "
                "“hf download microsoft/resnet-50 --local-dir FOLDER”."
            )
        own = self.body.state_dict()
        found = {_bare(key): value for key, value in load_file(path).items()}
        taken = {}
        for key, value in own.items():
            given = found.get(_bare(key))
            if given is not None and given.ndim == 4 and given.shape[1] == 3 and value.shape[1] > 3:
                more = given.mean(1, keepdim=True).expand(-1, value.shape[1] - 3, -1, -1)
                given = torch.cat([given, more], 1)
            if given is None or given.shape != value.shape:
                if "hidden_states_norms" in key or key.endswith("num_batches_tracked"):
                    continue  # of the backbone alone, not of a published classifier
                raise InputError(
                    f"{path.parent.name}/{path.name} is of another network: it has no fitting {key}."
                )
            taken[key] = given
        self.body.load_state_dict(own | taken)


def _bare(key: str) -> str:
    """The name without the model it is a part of."""
    return key.removeprefix("resnet.").removeprefix("convnext.")


def _kind(name: Name) -> tuple[Any, Any]:
    try:
        from transformers import ConvNextBackbone, ConvNextConfig, ResNetBackbone, ResNetConfig
    except ImportError:
        raise InputError(
            f'The encoder {name} needs transformers, which is not installed; pip install "napari-mrseg[backbones]".'
        ) from None
    if name == "resnet50":
        return ResNetBackbone, ResNetConfig
    sizes = {"depths": [3, 3, 27, 3], "hidden_sizes": [128, 256, 512, 1024]}
    return ConvNextBackbone, lambda **more: ConvNextConfig(**sizes, **more)
