"""The convolutional parts: double convolution, atrous pyramid, decoder step; ``flat``: within a slice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

Check = Callable[[], None]
"""Called between the network's blocks; raises :class:`napari_mrseg.errors.Cancelled` to stop a run."""

Rows = Callable[[int, int], Tensor]
"""Rows first to last of axis I of a tensor that need not exist as a whole."""

Then = Callable[[Tensor, Tensor | None], Tensor]
"""What follows a convolution voxel by voxel; its result is put into the second tensor if there is one."""

Norm = Literal["batch", "instance"]
"""Whose statistics a norm uses: the batch's in training and running ones after, or in both each sample's own."""

SLAB = 1e10
"""Multiply-adds after which a convolution on a CPU stops to ask: 80 ms. Finer slabs cost a tenth of the whole pass."""


class Steps:
    """A check that counts: called between blocks; :meth:`ask`, called inside one, does not count."""

    def __init__(self, ask: Check, step: Check) -> None:
        self.ask, self.step = ask, step

    def __call__(self) -> None:
        self.ask()
        self.step()


def stop_if_asked(check: Check | None) -> None:
    if check is not None:
        check()


def stop_inside(check: Check | None) -> None:
    """:func:`stop_if_asked` within a block."""
    stop_if_asked(check.ask if isinstance(check, Steps) else check)


def pieces(extent: int, wanted: float, x: Tensor, check: Check | None) -> list[tuple[int, int]]:
    """First and one past the last row of about ``wanted`` parts of ``extent`` rows of ``x``.

    One part where nobody asks; on a GPU, which runs ahead of whoever asks; and where gradients are kept.
    """
    cut = check is not None and x.device.type == "cpu" and not torch.is_grad_enabled()
    count = max(1, min(extent, math.ceil(wanted))) if cut else 1
    return [(extent * i // count, extent * (i + 1) // count) for i in range(count)]


def cube(n: int, flat: bool) -> tuple[int, int, int]:
    """Extents of a kernel, a factor or a rate along I, P, L; ``flat``: within a slice."""
    return (1 if flat else n, n, n)


def _copy(y: Tensor, out: Tensor | None) -> Tensor:
    return y if out is None else out.copy_(y)


def convolve(conv: nn.Conv3d, x: Tensor, check: Check | None) -> Tensor:
    """``conv(x)``; a long one in slabs along axis I, each with its halo, so that a stop need not wait.

    Every output voxel sums the same products: the same bits in bf16; in fp32 the library may sum them in another
    order. Whether slabs are used follows from the shapes alone.
    """

    def rows(first: int, last: int) -> Tensor:
        return x[:, :, first:last]

    return convolve_rows(conv, rows, x, check, _copy)


def convolve_rows(conv: nn.Conv3d, rows: Rows, like: Tensor, check: Check | None, then: Then) -> Tensor:
    """``then`` of :func:`convolve` of what ``rows`` gives, (B, A, rows, P, L), on ``like``'s extents and device."""
    rate, kernel = conv.dilation[0], conv.kernel_size[0]
    extent, halo = like.shape[2], rate * (kernel // 2)
    work = like.shape[0] * math.prod(like.shape[2:]) * conv.weight.numel()
    cuttable = kernel > 1 and rate * (kernel - 1) < extent
    parts = pieces(extent, work / SLAB if cuttable else 1, like, check)
    if len(parts) == 1:
        return then(_conv3d(rows(0, extent), conv, conv.padding), None)
    out: Tensor | None = None
    for first, last in parts:
        low, high = first - halo, last + halo
        slab = rows(max(low, 0), min(high, extent))
        if low < 0 or high > extent:  # padding by nothing would copy
            slab = F.pad(slab, (0, 0, 0, 0, max(-low, 0), max(high - extent, 0)))
        padding = (0, *conv.padding[1:])
        part = _conv3d(slab, conv, padding)
        if out is None:
            out = _empty(part, extent)
        then(part, out[:, :, first:last])
        del slab, part
        stop_inside(check)
    assert out is not None
    return out


def at_once(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """``conv(x)`` of any stride, not cut."""
    return _conv3d(x, conv, conv.padding)


def _conv3d(x: Tensor, conv: nn.Conv3d, padding: tuple[int, ...] | str) -> Tensor:
    """``conv(x)`` with another padding."""
    assert not isinstance(padding, str)
    if conv.kernel_size[0] == 1 and x.shape[2] == 1 and conv.kernel_size != (1, 1, 1):
        # In fp32 on a CPU a 2-D kernel is several times faster than the same one as 3-D.
        weight = conv.weight.squeeze(2)
        rest = conv.stride[1:], padding[1:], conv.dilation[1:], conv.groups
        return F.conv2d(x.squeeze(2), weight, conv.bias, *rest).unsqueeze(2)
    single = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled()
    if single and torch.backends.mkldnn.is_available():  # not in every build, such as those for Macs
        # For one small sample PyTorch itself would take a kernel that is several times slower.
        result: Tensor = torch.ops.aten.mkldnn_convolution(
            x, conv.weight, conv.bias, padding, conv.stride, conv.dilation, conv.groups
        )
        return result
    rest = conv.stride, padding, conv.dilation, conv.groups
    if x.device.type == "cpu" and x.shape[2] == 2 and conv.kernel_size[0] > 1 and torch.is_grad_enabled():
        # The bf16 gradient of such a kernel over two rows is what happened to be in memory (oneDNN, PyTorch 2.13).
        with torch.autocast("cpu", enabled=False):
            return F.conv3d(x.to(conv.weight), conv.weight, conv.bias, *rest)
    return F.conv3d(x, conv.weight, conv.bias, *rest)


def _empty(part: Tensor, extent: int) -> Tensor:
    """Room for ``extent`` rows of what ``part`` is a slab of, in its layout."""
    shape = (*part.shape[:2], extent, *part.shape[3:])
    last = part.is_contiguous(memory_format=torch.channels_last_3d)
    layout = torch.channels_last_3d if last else torch.contiguous_format
    return torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=layout)


def as_frames(x: Tensor) -> Tensor:
    """Every frame as a sample of its own: (B, C, I, P, L) -> (B·I, C, 1, P, L)."""
    if x.shape[2] == 1:
        return x
    return x.movedim(2, 1).flatten(0, 1).unsqueeze(2).contiguous(memory_format=torch.channels_last_3d)


def as_volume(x: Tensor, frames: int) -> Tensor:
    """The inverse of :func:`as_frames`."""
    return x if frames == 1 else x.squeeze(2).unflatten(0, (-1, frames)).movedim(1, 2)


def halve(x: Tensor, *, flat: bool = False) -> Tensor:
    """The largest of each 2³ voxels: (B, C, I, P, L) -> (B, C, I/2, P/2, L/2); ``flat``: of each 2² within a slice."""
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return F.max_pool3d(x, cube(2, flat))
    # The same voxels in a fifth of the time: PyTorch's own does not vectorise channels_last_3d.
    for axis in (3, 4) if flat else (2, 3, 4):
        pairs = x.unfold(axis, 2, 2)
        x = torch.maximum(pairs[..., 0], pairs[..., 1])
    return x


def from_patches(x: Tensor, k: int, *, flat: bool = False) -> Tensor:
    """k³ channels become the k³ voxels in place of one: (B, C·k³, i, p, l) -> (B, C, k·i, k·p, k·l).

    ``flat``: k² and (B, C, i, k·p, k·l).
    """
    b, c, i, p, l = x.shape  # noqa: E741 - the axes' names
    d, h, w = cube(k, flat)
    c //= d * h * w
    x = x.reshape(b, c, d, h, w, i, p, l).permute(0, 1, 5, 2, 6, 3, 7, 4)
    x = x.reshape(b, c, d * i, h * p, w * l)
    return x.contiguous(memory_format=torch.channels_last_3d)


class InstanceNorm(nn.GroupNorm):
    """A group a channel, which keeps channels_last_3d. Of a map of one voxel nothing is left but the bias."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        # On a CPU a batch norm of each sample is the same, and its backward takes a fifth of the time.
        parts = [
            torch.batch_norm(sample, self.weight, self.bias, None, None, True, 0.0, self.eps, False)
            for sample in x.split(1)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class ConvNorm(nn.Module):
    """3³ (or 1³) convolution, norm, ReLU: (B, A, I, P, L) -> (B, C, I, P, L). ``flat``: 3² within a slice."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        rate: int = 1,
        norm: Norm = "batch",
        flat: bool = False,
    ) -> None:
        super().__init__()
        half = rate * (kernel // 2)
        self.conv = nn.Conv3d(
            inputs,
            outputs,
            cube(kernel, flat),
            padding=(0 if flat else half, half, half),
            dilation=cube(rate, flat),
            bias=False,
        )
        self.norm: nn.Module = nn.BatchNorm3d(outputs) if norm == "batch" else InstanceNorm(outputs, outputs)

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        return self.of_rows(lambda first, last: x[:, :, first:last], x, check)

    def of_rows(self, rows: Rows, like: Tensor, check: Check | None) -> Tensor:
        """:meth:`forward` of what ``rows`` gives, on the extents of ``like``."""
        whole = isinstance(self.norm, InstanceNorm)  # its statistics are those of the whole map
        then = _copy if whole else self._finish
        x = convolve_rows(self.conv, rows, like, None if self.training else check, then)
        if whole:
            x = self._finish(x, None)
        stop_if_asked(check)
        return x

    def _finish(self, y: Tensor, out: Tensor | None) -> Tensor:
        y = self.norm(y)
        return F.relu(y, inplace=True) if out is None else torch.clamp_min(y, 0, out=out)

    def fold(self) -> None:
        """Work the norm's running statistics into the convolution. For inference only; the norm is gone."""
        if isinstance(self.norm, nn.BatchNorm3d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class DoubleConv(nn.Module):
    """Two :class:`ConvNorm` one after the other; ``residual``: the input, mixed to as many channels, is added."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        norm: Norm = "batch",
        residual: bool = False,
        flat: bool = False,
    ) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, norm=norm, flat=flat)
        self.second = ConvNorm(outputs, outputs, norm=norm, flat=flat)
        self.shortcut = nn.Conv3d(inputs, outputs, 1, bias=False) if residual else None

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        return self.of_rows(lambda first, last: x[:, :, first:last], x, check)

    def of_rows(self, rows: Rows, like: Tensor, check: Check | None) -> Tensor:
        """:meth:`forward` of what ``rows`` gives, on the extents of ``like``."""
        y = self.second(self.first.of_rows(rows, like, check), check)
        result: Tensor = y if self.shortcut is None else y + self.shortcut(rows(0, like.shape[2]))
        return result


class Pyramid(nn.Module):
    """Atrous spatial pyramid (ASPP) on the deepest map: one 3³ branch per dilation rate and a global average.

    (B, C, I, P, L) -> same shape. A rate that is not smaller than the map's extent sees only padding beside
    its centre tap, so the rates should fit the map. The global branch has no norm: it is a single voxel per
    sample, on which a batch of one has no statistics.
    """

    def __init__(
        self, channels: int, rates: Sequence[int], *, norm: Norm = "batch", flat: bool = False
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            ConvNorm(channels, channels, rate=rate, norm=norm, flat=flat) for rate in rates
        )
        self.whole = nn.Conv3d(channels, channels, 1)
        self.project = ConvNorm((len(rates) + 1) * channels, channels, kernel=1, norm=norm)

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        parts = [branch(x, check) for branch in self.branches]
        mean = F.relu(self.whole(x.mean((2, 3, 4), keepdim=True)))  # (B, C, 1, 1, 1)
        parts.append(mean.expand_as(x))
        result: Tensor = self.project(torch.cat(parts, 1), check)
        return result


class Up(nn.Module):
    """One decoder step: trilinear ×2 where ``scale`` is 2, join the skip, double convolution."""

    def __init__(
        self,
        inputs: int,
        skip: int,
        outputs: int,
        *,
        scale: int,
        norm: Norm = "batch",
        residual: bool = False,
        flat: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.flat = scale, flat
        self.convs = DoubleConv(inputs + skip, outputs, norm=norm, residual=residual, flat=flat)

    def forward(self, x: Tensor, skip: Tensor, check: Check | None = None) -> Tensor:
        def joined(first: int, last: int) -> Tensor:
            return torch.cat((self._enlarged(x, first, last), skip[:, :, first:last]), 1)

        return self.convs.of_rows(joined, skip, check)

    def _enlarged(self, x: Tensor, first: int, last: int) -> Tensor:
        """Rows ``first`` to ``last`` of ``x`` enlarged: each follows from its own row of ``x`` and one beside it."""
        if self.scale == 1:
            return x[:, :, first:last]
        k = self.scale
        if self.flat:
            factors = (1.0, float(k), float(k))
            return F.interpolate(
                x[:, :, first:last], scale_factor=factors, mode="trilinear", align_corners=False
            )
        low, high = max((first - k // 2) // k, 0), min((last - 1 + k // 2) // k + 1, x.shape[2])
        # align_corners=False puts each coarse voxel on the centre of the 2³ it was pooled from.
        part = F.interpolate(x[:, :, low:high], scale_factor=float(k), mode="trilinear", align_corners=False)
        return part[:, :, first - low * k : last - low * k]


class Finest(nn.Module):
    """From a map of ``scale`` times the spacing back to the input's voxels: light, and with the input beside it.

    (B, C, I/k, P/k, L/k) and the input (B, M, I, P, L) -> (B, width, I, P, L). ``seen``: M, or 0 to do
    without the input.
    """

    def __init__(
        self, inputs: int, seen: int, width: int, scale: int, *, norm: Norm = "batch", flat: bool = False
    ) -> None:
        super().__init__()
        self.scale, self.seen, self.flat = scale, seen, flat
        self.spread = nn.Conv3d(inputs, width * math.prod(cube(scale, flat)), 1)
        self.join = ConvNorm(width + seen, width, norm=norm, flat=flat)

    def forward(self, x: Tensor, seen: Tensor, check: Check | None = None) -> Tensor:
        fine = from_patches(self.spread(x), self.scale, flat=self.flat)
        stop_if_asked(check)
        return self.join.of_rows(
            lambda first, last: torch.cat((fine[:, :, first:last], seen[:, : self.seen, first:last]), 1),
            seen,
            check,
        )
