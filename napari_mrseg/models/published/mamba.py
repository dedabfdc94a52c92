"""Mamba's layer in plain PyTorch, on any device: Gu and Dao 2023 (arXiv 2312.00752), Algorithm 2.

Names and shapes of its weights are those of the package mamba-ssm, whose own code needs CUDA.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_mrseg.models.blocks import Check, stop_inside

STATES_AT_ONCE = 2**18  # numbers of the state that one step computes on a CPU: what its cache holds
STATES_AT_ONCE_GPU = 2**22
STEPS_BETWEEN_CHECKS = 64


class Mamba(nn.Module):
    """(B, L, C) to the same, each token from those before it. Computed in float32, as mamba-ssm does it.

    ``states``: numbers of the state a channel keeps.
    """

    def __init__(self, channels: int, states: int, *, kernel: int = 4, expand: int = 2) -> None:
        super().__init__()
        inner = expand * channels
        self.rank, self.states = ceil(channels / 16), states
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, kernel, groups=inner)
        self.x_proj = nn.Linear(inner, self.rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, states + 1).float().log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, channels, bias=False)

    def forward(self, tokens: Tensor, *, every: int = 1, check: Check | None = None) -> Tensor:
        """All tokens after their layer, or with ``every`` the last of each so many: (B, L / every, C)."""
        tokens = tokens.float()
        seen = slice(every - 1, None, every)
        into, gate = self.in_proj.weight.float().chunk(2)
        taps, shift = (t.float() for t in self.conv1d.parameters())
        x = F.linear(tokens, into).mT
        x = F.conv1d(F.pad(x, (taps.shape[-1] - 1, 0)), taps, shift, groups=len(into))
        x = F.silu(x).mT
        low, b, c = self.x_proj.weight.float().split([self.rank, self.states, self.states])
        step = F.linear(F.linear(x, low), self.dt_proj.weight.float(), self.dt_proj.bias.float())
        y = selective_scan(
            x,
            F.softplus(step),
            -self.A_log.float().exp(),
            F.linear(x, b),
            F.linear(x[:, seen], c),
            every=every,
            check=check,
        )
        y = (y + self.D.float() * x[:, seen]) * F.silu(F.linear(tokens[:, seen], gate))
        return F.linear(y, self.out_proj.weight.float())


def selective_scan(
    x: Tensor, step: Tensor, a: Tensor, b: Tensor, c: Tensor, *, every: int = 1, check: Check | None = None
) -> Tensor:
    """What a linear recurrence over the tokens gives: h = exp(step·a)·h + step·x·b from h = 0, and y = c·h.

    ``x``, ``step`` (B, L, D), ``a`` (D, N) negative, ``b`` (B, L, N); ``c`` (B, L / every, N) and the result
    (B, L / every, D) of the last of each ``every`` tokens, of which L is a multiple. Of one dtype.

    The tokens are cut into parts that go through the recurrence side by side: once from h = 0 for how each part ends,
    then, with the state that the part before it hands over, for the result. The same sum as token by token.
    """
    batch, length, _ = x.shape
    at_once = STATES_AT_ONCE if x.device.type == "cpu" else STATES_AT_ONCE_GPU
    if x.is_meta:  # only counted, not computed: all at once
        at_once = batch * a.numel() * length
    parts = max(1, min(length // every, at_once // (batch * a.numel())))
    size = every * ceil(length / (parts * every))  # tokens of a part
    parts = ceil(length / size)
    spare = parts * size - length  # these tokens do nothing: a step of 0
    pads = (0, 0, 0, spare)
    steps, b = (F.pad(t, pads).unflatten(1, (parts, size)) for t in (step, b))
    given = F.pad(step * x, pads).unflatten(1, (parts, size))
    c = F.pad(c, (0, 0, 0, spare // every)).unflatten(1, (parts, size // every))

    def after(h: Tensor, t: int) -> Tensor:
        if t % STEPS_BETWEEN_CHECKS == 0:
            stop_inside(check)
        kept = torch.exp(steps[:, :, t, :, None] * a)
        return torch.addcmul(h * kept, given[:, :, t, :, None], b[:, :, t, None])

    h = x.new_zeros(batch, parts, *a.shape)
    if parts > 1:
        ends = h
        for t in range(size):
            ends = after(ends, t)
        kept = torch.exp(steps.sum(2)[..., None] * a)
        h = _handed_on(kept, ends)
    found = []
    for t in range(size):
        h = after(h, t)
        if t % every == every - 1:
            found.append((h @ c[:, :, t // every, :, None])[..., 0])
    return torch.stack(found, 2).flatten(1, 2)[:, : length // every]


def _handed_on(kept: Tensor, ends: Tensor) -> Tensor:
    """The state that each part (B, K, D, N) begins with: what is kept of the one before, and how that part ends."""
    if kept.is_meta:
        return kept * ends
    begins = [torch.zeros_like(ends[:, 0])]
    for part in range(ends.shape[1] - 1):
        begins.append(kept[:, part] * begins[-1] + ends[:, part])
    return torch.stack(begins, 1)
