"""Operations and bytes of a network, counted without computing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop

from napari_mrseg.models.network import Network

_FREE = (torch.ops.aten._unsafe_view, torch.ops.aten.detach, torch.ops.aten.empty)
# One kernel each, though PyTorch can also take them to pieces.
_WHOLE = (torch.ops.aten.scaled_dot_product_attention, torch.ops.aten.upsample_trilinear3d)


class Counter(TorchDispatchMode):
    """Counts every operation run under it, by block; works on meta tensors.

    ``rows``: per block, a list of (operations, bytes read and written) of each kernel. Views are free;
    attention is one kernel that keeps its scores to itself.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch gives it no type
        self.block = ""
        self.rows: dict[str, list[tuple[int, int]]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        fused = packet is torch.ops.aten.scaled_dot_product_attention
        if packet not in _WHOLE and packet not in flop_registry:
            with self:  # what a composite operation is made of is counted instead of it
                made_of = func.decompose(*args, **kwargs)
            if made_of is not NotImplemented:
                return made_of
        out = func(*args, **kwargs)
        if not func.is_view and packet not in _FREE:
            formula = sdpa_flop if fused else flop_registry.get(packet)
            flops = int(formula(*args, **kwargs, out_val=out)) if formula else 0
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            moved = sum(t.numel() * t.element_size() for t in tensors)
            self.rows.setdefault(self.block, []).append((flops, moved))
        return out

    @property
    def flops(self) -> int:
        return sum(f for row in self.rows.values() for f, _ in row)

    @property
    def bytes(self) -> int:
        return sum(b for row in self.rows.values() for _, b in row)


def count(
    kind: type[Network],
    settings: BaseModel,
    extents: Sequence[int],
    *,
    channels: int,
    modalities: int | None = None,
    incomplete: bool,
    dtype: torch.dtype = torch.bfloat16,
) -> Counter:
    """One window of ``extents`` through a network as the engine runs it, with all modalities or without the last.

    ``modalities``: how many there are, if not one a channel.
    """
    with torch.device("meta"):
        network = kind(settings).for_inference(dtype)
        x = torch.empty((1, channels, *extents), dtype=dtype)
    x = x.to(memory_format=torch.channels_last_3d)
    available = torch.ones((1, modalities or channels), dtype=torch.bool)
    available[0, -1] = not incomplete
    with torch.inference_mode(), Counter() as counter, _blocks(network, counter):
        network(x, available)
    result: Counter = counter
    return result


@contextmanager
def _blocks(network: nn.Module, counter: Counter) -> Iterator[None]:
    """Book what runs inside a block (``encoder.0``, ``adapters.2``, ``head``) under its name."""

    def entering(name: str) -> Callable[..., None]:
        def enter(*_: Any) -> None:
            counter.block = name

        return enter

    hooks = []
    for name, child in network.named_children():
        parts = child.named_children() if isinstance(child, nn.ModuleList) else [("", child)]
        for number, block in parts:
            hooks.append(block.register_forward_pre_hook(entering(f"{name}.{number}".rstrip("."))))
            hooks.append(block.register_forward_hook(entering("between blocks")))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
