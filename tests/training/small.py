"""Small synthetic data sets and settings for the training tests. Nothing here comes from a patient."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from synthetic import save_nifti

from mrseg_training.config import changed, check
from mrseg_training.settings import Config, StagePart

MODALITIES = ("flair", "t1", "t1ce", "t2")
NAMES_2023 = {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w"}


def write_subject(
    folder: Path,
    *,
    seed: int = 0,
    modalities: Iterable[str] = MODALITIES,
    enhancing: int = 4,
    separator: str = "_",
    names: dict[str, str] | None = None,
    suffix: str = ".nii.gz",
    tumour: bool = True,
) -> Path:
    """One subject as BraTS writes it: 24³ voxels of 1 mm, a textured head with a ball of three labels."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, 24)] * 3, indexing="ij")
    head = sum(a**2 for a in axes) < 0.9
    centre = rng.uniform(-0.3, 0.3, 3)
    ball = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))
    labels = np.select([ball < 0.02, ball < 0.06, ball < 0.15], [1, enhancing, 2], 0) if tumour else 0 * ball
    for name in modalities:
        k = MODALITIES.index(name)
        data = (300 + 30 * rng.standard_normal(head.shape) + 60 * k * (ball < 0.15)) * head
        called = (names or {}).get(name, name)
        save_nifti(folder / f"{folder.name}{separator}{called}{suffix}", data.astype(np.int16))
    save_nifti(folder / f"{folder.name}{separator}seg{suffix}", labels.astype(np.uint8))
    return folder


def write_subjects(root: Path, count: int = 4) -> Path:
    """A BraTS 2021 tree."""
    for k in range(count):
        write_subject(root / f"BraTS2021_{k:05d}", seed=k)
    return root


MODAL: dict[str, dict[str, Any]] = {
    "mmformer": {"levels": 3, "width": 4, "tokens": 16, "heads": 2, "feed_forward": 32, "patch": 2},
    "smml": {"levels": 3, "width": 4, "tokens": 16, "heads": 2, "feed_forward": 32, "patch": 2, "refine": 4},
    "cmc": {"levels": 3, "width": 4, "pair": ["flair", "t1ce"]},
}


def modal_config(network: str, stage: str, root: Path | None = None, **changes: Any) -> Config:
    """:func:`small_config` with one of the networks that have an encoder for each modality, and one stage."""
    values = small_config(root).model_dump(mode="json")
    values["model"] = {"name": "small", "network": network, "arguments": MODAL[network]}
    common = {k: v for k, v in values["stages"]["supervised"].items() if k in StagePart.model_fields}
    values["recipe"], values["stages"] = [stage], {stage: common}
    return changed(check(Config, values, "modal"), changes)


def small_config(root: Path | None = None, **changes: Any) -> Config:
    """Two steps of each stage, width 2, crops of 16³, on the CPU in fp32."""
    common = {"steps": 2, "batch": 2, "extents": [[16, 16, 16]], "learning_rate": 1e-3}
    values = {
        "model": {
            "name": "small",
            "width": 2,
            "aspp_rates": [1],
            "heads": [1, 1, 1, 1, 1],
            "attention_window": 2,
            "attention_pooling": [4, 2, 1, 1, 1],
            # As the paper's, so that the tests of the stages see its norms.
            **{"growth": [1, 2, 4, 8], "stem": 1, "residual": False, "deep": 0, "norm": "batch"},
        },
        "data": {"source": "brats", "path": str(root or "nowhere"), "proportions": [3, 1, 0], "prefetch": 1},
        "stages": {
            "reconstruct": {**common, "perturb": {"mask_size": 4}},
            "contrast": common,
            "adapt": {**common, "batch": 1, "combinations_per_step": 2},
            "supervised": common,
            "joint": {**common, "perturb": {"mask_size": 4}},
        },
        "run": {"device": "cpu", "precision": "fp32", "checkpoint_every": 1, "log_every": 1},
    }
    return changed(check(Config, values, "small"), changes)
