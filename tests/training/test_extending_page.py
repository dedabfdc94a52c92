"""The code that docs/extending.md shows, run as it stands."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from extending_page import shown
from small import small_config
from test_stages import batch, step

from napari_mrseg.tasks import BRATS


def test_the_network_shown_fits_the_task() -> None:
    """Made for a task: logits of the input's extents for each region; refused for another number of channels."""
    kind = shown("MyNet")
    network = kind.for_task(BRATS, {"width": 16}, outputs=None, adapters=False)
    assert network(torch.zeros(1, 4, 5, 6, 7)).shape == (1, 3, 5, 6, 7)
    assert network.settings.width == network.widest == 16
    assert kind.refuse(network.settings, 4, 3) is None
    assert "made for 4 channels" in kind.refuse(network.settings, 2, 3)


def test_the_stage_shown_learns() -> None:
    """One step of the focal loss: below plain cross-entropy, with a gradient for every weight of the decoder."""
    focal = shown("Focal")(small_config(), SimpleNamespace(gamma=2.0))
    plain = shown("Focal")(small_config(), SimpleNamespace(gamma=0.0))
    plain.load_state_dict(focal.state_dict())
    assert 0 < step(focal, batch())["focal"] < step(plain, batch())["focal"]
    assert all(p.grad is not None for n, p in focal.network.named_parameters() if n.startswith("decoder."))
