"""The running mean of a network's weights, which segments better than the weights of any one step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """Of each step's weights ``1 - keep`` is taken in; at first more, so that the start is soon forgotten.

    Not ``torch.optim.swa_utils.AveragedModel``: that takes the first step's weights whole, where this mixes them with
    the start's 9 to 1, so the kept weights would differ.

    ``values``: float32 and other tensors by name, as in the network's ``state_dict``; ``steps``: steps taken in.
    """

    def __init__(self, network: nn.Module, keep: float) -> None:
        self.keep, self.steps = keep, 0
        self.values: dict[str, Tensor] = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after a step; what is no floating-point number is taken over."""
        keep = min(self.keep, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, value in network.state_dict().items():
            mine = self.values[name]
            if value.is_floating_point():
                mine.lerp_(value.to(mine), 1 - keep)
            else:
                mine.copy_(value)
