"""RFNet: Ding et al., Region-aware Fusion Network for Incomplete Multi-modal Brain Tumor Segmentation, ICCV 2021."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from napari_mrseg.models.published.published_network import (
    ORDER,
    ConvNorm,
    ModalityEncoder,
    Published,
    PublishedSettings,
    SeparateDecoder,
    Up,
    each_modality,
)

WIDTH, LEVELS = 16, 4


class RFNet(Published):
    """One encoder a modality; at each level their maps are fused region by region, with what was predicted so far."""

    architecture = "rfnet"
    paper = "Ding, Yu, Yang: RFNet, ICCV 2021"
    stride = (8, 8, 8)
    window = (80, 80, 80)

    def __init__(self, settings: PublishedSettings) -> None:
        super().__init__(settings)
        for name in ORDER:
            self.add_module(f"{name}_encoder", ModalityEncoder(WIDTH, LEVELS, before=False))
        self.decoder_fuse = FusingDecoder(settings.classes)
        self.decoder_sep = SeparateDecoder(WIDTH, LEVELS, settings.classes, before=False)

    def scores(self, x: Tensor, present: Tensor) -> Tensor:
        each = each_modality(self, x, present)
        maps = [torch.stack(level, 1) for level in zip(*each, strict=True)]  # (B, 4, C, ...)
        found: Tensor = self.decoder_fuse(maps)
        return found

    @property
    def widest(self) -> int:
        channels: int = 4 * WIDTH * self.settings.classes
        return channels

    @classmethod
    def settings_of(cls, weights: Mapping[str, Tensor], axes: str | None = None) -> PublishedSettings:
        bias = weights.get("decoder_fuse.seg_layer.bias")
        classes = 5 if bias is not None and len(bias) == 5 else 4
        return super().settings_of(weights, axes).model_copy(update={"classes": classes})


class FusingDecoder(Up):
    """From the maps of all modalities (B, 4, C, ...), finest first, those of missing ones 0, to logits."""

    def __init__(self, classes: int) -> None:
        super().__init__(WIDTH, LEVELS, classes, before=False)
        for k in range(1, LEVELS + 1):
            c = WIDTH * 2 ** (k - 1)
            self.add_module(f"RFM{k}", RegionFusion(c, classes))
            self.add_module(f"prm_generator{k}", RegionMap(c, classes, deepest=k == LEVELS))

    def forward(self, maps: list[Tensor]) -> Tensor:
        deepest = maps[-1]
        likely = self.get_submodule(f"prm_generator{LEVELS}")(None, deepest)
        x = self.get_submodule(f"RFM{LEVELS}")(deepest, likely)
        for k in range(LEVELS - 1, 0, -1):
            x = self.rise(x, k)
            likely = self.get_submodule(f"prm_generator{k}")(x, maps[k - 1])
            x = self.join((self.get_submodule(f"RFM{k}")(maps[k - 1], likely), x), k)
        logits: Tensor = self.seg_layer(x)
        return logits


class RegionMap(nn.Module):
    """Where each class is likely, at one level: (B, C, ...) so far and (B, 4, C, ...) -> (B, classes, ...)."""

    def __init__(self, channels: int, classes: int, *, deepest: bool) -> None:
        super().__init__()
        few = channels // 4
        self.embedding_layer = nn.Sequential(
            ConvNorm(4 * channels, few, 1), ConvNorm(few, few), ConvNorm(few, channels, 1)
        )
        seen = channels if deepest else 2 * channels
        self.prm_layer = nn.Sequential(ConvNorm(seen, 16, 1), nn.Conv3d(16, classes, 1), nn.Softmax(1))

    def forward(self, so_far: Tensor | None, maps: Tensor) -> Tensor:
        x = self.embedding_layer(maps.flatten(1, 2))
        found: Tensor = self.prm_layer(x if so_far is None else torch.cat((so_far, x), 1))
        return found


class RegionFusion(nn.Module):
    """The modalities' maps weighted within each class by their means there, beside a plain fusion of all."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.modal_fusion = nn.ModuleList(ModalityWeights(channels) for _ in range(classes))
        self.region_fusion = nn.ModuleDict({"fusion_layer": _fusion(classes * channels, channels)})
        self.short_cut = _fusion(4 * channels, channels)

    def forward(self, maps: Tensor, likely: Tensor) -> Tensor:
        by_class = [
            weigh(maps * likely[:, None, k : k + 1], likely[:, k : k + 1])
            for k, weigh in enumerate(self.modal_fusion)
        ]
        regions = self.region_fusion["fusion_layer"](torch.cat(by_class, 1))
        return torch.cat((regions, self.short_cut(maps.flatten(1, 2))), 1)


class ModalityWeights(nn.Module):
    """One class's share of the maps (B, 4, C, ...) -> (B, C, ...): each modality by a weight from their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight_layer = nn.Sequential(
            nn.Conv3d(4 * channels + 1, 128, 1), nn.LeakyReLU(0.2), nn.Conv3d(128, 4, 1)
        )

    def forward(self, maps: Tensor, likely: Tensor) -> Tensor:
        share = likely.mean((2, 3, 4), keepdim=True) + 1e-7  # (B, 1, 1, 1, 1)
        means = maps.mean((3, 4, 5)).flatten(1)[..., None, None, None] / share
        weights = self.weight_layer(torch.cat((means, share), 1)).sigmoid()
        fused: Tensor = (maps * weights[:, :, None]).sum(1)
        return fused


def _fusion(inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNorm(inputs, channels, 1), ConvNorm(channels, channels), ConvNorm(channels, channels // 2, 1)
    )
