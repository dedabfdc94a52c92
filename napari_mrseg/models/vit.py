"""The image encoder of SAM-Med3D (arXiv 2310.15161), for those who have its weights: a ViT-B of patches of 16³ voxels.

Written anew from the description; its parameters carry the published names, so that the published weights fit. What is
added are adapters in each block, as CMC (arXiv 2408.07341) fine-tunes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.errors import InputError
from napari_mrseg.models.blocks import Check, stop_if_asked

PATCH, SIDE = 16, 8  # voxels of a patch; patches along an axis of the published 128³
WINDOW = 14  # tokens along an axis in the blocks that do not look at everything, zeros beyond the map
WHOLE = (2, 5, 8, 11)  # the blocks that do
PREFIX = "image_encoder."


class Vit3d(nn.Module):
    """(B, 1, I, P, L), extents multiples of 16, -> (B, ``outputs``, I/16, P/16, L/16).

    Learnt positions are interpolated to maps of other extents than 8³.
    """

    def __init__(
        self,
        *,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        outputs: int = 384,
        squeezed: int = 64,
        side: int = SIDE,
        window: int = WINDOW,
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(1, width, PATCH, stride=PATCH)})
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, side, width))
        self.blocks = nn.ModuleList(
            Block(width, heads, side if i in WHOLE else window, squeezed, whole=i in WHOLE)
            for i in range(depth)
        )
        self.neck = nn.Sequential(
            nn.Conv3d(width, outputs, 1, bias=False),
            ChannelNorm(outputs),
            nn.Conv3d(outputs, outputs, 3, padding=1, bias=False),
            ChannelNorm(outputs),
        )

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        tokens = self.patch_embed["proj"](x)
        places = self.pos_embed.movedim(4, 1)
        if places.shape[2:] != tokens.shape[2:]:
            places = F.interpolate(places, tokens.shape[2:], mode="trilinear", align_corners=False)
        tokens = (tokens + places).movedim(1, 4)  # (B, i, p, l, C)
        for block in self.blocks:
            tokens = block(tokens)
            stop_if_asked(check)
        found: Tensor = self.neck(tokens.movedim(4, 1))
        return found


class ChannelNorm(nn.Module):
    """Each voxel's channels to mean 0 and variance 1, then scaled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.movedim(1, 4), self.weight.shape, self.weight, self.bias, 1e-6).movedim(4, 1)


class Block(nn.Module):
    """Attention over everything or over windows, an adapter, and two linear layers, each added to what goes in."""

    def __init__(self, width: int, heads: int, side: int, squeezed: int, *, whole: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn = Attention(width, heads, side)
        self.mlp = nn.ModuleDict({"lin1": nn.Linear(width, 4 * width), "lin2": nn.Linear(4 * width, width)})
        last = nn.Linear(squeezed, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.adapter = nn.Sequential(nn.Linear(width, squeezed), nn.GELU(), last)
        self.window = 0 if whole else side

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        y = self._windows(y) if self.window else self.attn(y)
        x = x + y + self.adapter(y)
        y = self.mlp["lin2"](F.gelu(self.mlp["lin1"](self.norm2(x))))
        result: Tensor = x + y
        return result

    def _windows(self, x: Tensor) -> Tensor:
        """Attention within windows; what lies beyond the map is zero, and looked at, as in the published one."""
        k, (b, *extents, c) = self.window, x.shape
        room = [-n % k for n in extents]
        x = F.pad(x, (0, 0, 0, room[2], 0, room[1], 0, room[0]))
        i, p, l = (n // k for n in x.shape[1:4])  # noqa: E741 - the axes' names
        x = x.view(b, i, k, p, k, l, k, c).permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, k, k, k, c)
        x = (
            self.attn(x)
            .view(b, i, p, l, k, k, k, c)
            .permute(0, 1, 4, 2, 5, 3, 6, 7)
            .reshape(b, i * k, p * k, l * k, c)
        )
        return x[:, : extents[0], : extents[1], : extents[2]]


class Attention(nn.Module):
    """Of all tokens of a map (B, i, p, l, C) to all, with a learnt bias for how far apart they are on each axis."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rel_pos_d = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        b, i, p, l, c = x.shape  # noqa: E741 - the axes' names
        q, k, v = self.qkv(x).view(b, i * p * l, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        placed = q.unflatten(2, (i, p, l))  # (B, heads, i, p, l, c)
        by_axis = [
            torch.einsum("bhiplc,ikc->bhiplk", placed, _between(self.rel_pos_d, i))[..., None, None],
            torch.einsum("bhiplc,pkc->bhiplk", placed, _between(self.rel_pos_h, p))[..., None, :, None],
            torch.einsum("bhiplc,lkc->bhiplk", placed, _between(self.rel_pos_w, l))[..., None, None, :],
        ]
        bias = (by_axis[0] + by_axis[1] + by_axis[2]).flatten(5, 7).flatten(2, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        y = y.transpose(1, 2).reshape(b, i, p, l, c)
        found: Tensor = self.proj(y)
        return found


def _between(table: Tensor, n: int) -> Tensor:
    """(n, n, C): the entry for how far each of ``n`` places is from each; a ``table`` of other n is interpolated."""
    if len(table) != 2 * n - 1:
        table = F.interpolate(table.T[None], 2 * n - 1, mode="linear")[0].T
    place = torch.arange(n, device=table.device)
    return table[place[:, None] - place[None] + n - 1]


def take(encoders: Sequence[Vit3d], folder: Path) -> None:
    """The published weights for each of ``encoders``: of ``image_encoder`` in FOLDER/model.safetensors.

    Adapters keep their own. Raises InputError if there is no such file, or it is of another network.
    """
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    if not path.is_file():
        raise InputError(
            f"{folder} holds no model.safetensors; convert the published file (docs/methods.md)."
        )
    found = {k.removeprefix(PREFIX): v for k, v in load_file(path).items() if k.startswith(PREFIX)}
    for encoder in encoders:
        own = encoder.state_dict()
        for name, value in own.items():
            if ".adapter." in name:
                continue
            if name not in found or found[name].shape != value.shape:
                raise InputError(
                    f"{folder.name}/{path.name} is of another network: it has no fitting {PREFIX}{name}."
                )
            own[name] = found[name]
        encoder.load_state_dict(own)
