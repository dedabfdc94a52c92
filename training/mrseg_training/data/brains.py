"""Everything a simulator needs, read from the shared scans and the template once and kept in one file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mrseg_training.data.anatomy import Anatomy, from_study
from mrseg_training.data.simulate import Simulator
from mrseg_training.data.simulated import template
from napari_mrseg.io.open import open_study

SPLITS = Path(__file__).parent.parent / "splits"


def read_split(name: str) -> dict[str, Any]:
    """A split shipped in ``splits/``: which scans are learnt from, and which are never touched.

    Raises ValueError if a held-out scan is also named for training.
    """
    split: dict[str, Any] = json.loads((SPLITS / f"{name}.json").read_text(encoding="utf-8"))
    used = {*split["labelled"], *split["anatomy"]}
    held_out = {case for group in split["held_out"].values() for case in group}
    if used & held_out:
        raise ValueError(
            f"splits/{name}.json: {', '.join(sorted(used & held_out))} is both used and held out."
        )
    return split


def prepare(data: Path, split: dict[str, Any], kept: Path) -> Simulator:
    """The simulator of a split; ``kept`` is where the prepared brains are stored, and read from next time."""
    cases: Sequence[str] = split["anatomy"]
    if kept.exists():
        stored = torch.load(kept, weights_only=True)
        pairs = [tuple(Anatomy(**fields) for fields in pair) for pair in stored["pairs"]]
        maps = stored["maps"]
    else:
        pairs = [from_study(open_study(data / case)) for case in cases]
        maps = template()
        fields = [[_fields(anatomy) for anatomy in pair] for pair in pairs]
        torch.save({"pairs": fields, "maps": maps}, kept)
    real = [real for _, real in pairs if real.name in split["labelled"]]
    return Simulator([brain for brain, _ in pairs], real, maps, template_share=split["template_share"])


def _fields(anatomy: Anatomy) -> dict[str, Any]:
    return {f.name: getattr(anatomy, f.name) for f in dataclasses.fields(anatomy)}
