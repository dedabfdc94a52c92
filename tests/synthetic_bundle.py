"""A MONAI bundle with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch


def bundle(folder: Path, change: Callable[[dict, dict], None] = lambda metadata, config: None) -> Path:
    """A bundle as MONAI's own for BraTS is laid out, with random weights."""
    metadata = {
        "version": "0.5.3",
        "network_data_format": {
            "inputs": {"image": {"channel_def": {"0": "T1c", "1": "T1", "2": "T2", "3": "FLAIR"}}},
            "outputs": {
                "pred": {"channel_def": {"0": "Tumor core", "1": "Whole tumor", "2": "Enhancing tumor"}}
            },
        },
    }
    config = {
        "channels": 4,
        "network_def": {
            "_target_": "SegResNet", "blocks_down": [1, 2, 2], "blocks_up": [1, 1], "init_filters": 8,
            "in_channels": "@channels", "out_channels": 3, "dropout_prob": 0.2,
        },
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [64, 48, 40]},
    }  # fmt: skip
    change(metadata, config)
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    from monai.networks.nets import SegResNet

    torch.manual_seed(3)
    network = SegResNet(
        blocks_down=(1, 2, 2), blocks_up=(1, 1), init_filters=8, in_channels=4, out_channels=3
    )
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder
