"""The rows of the paper's three ablation tables, and the rungs they are measured against, as switches.

Every row makes the same number of sample passes (forward and backward of one version of one sample): an update of
any stage has ``passes`` of them. A row without stage 1 may make its segmentation updates larger instead
(``wide``) or more (``long``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Budget = Literal["first", "second", "third", "second+third", "wide", "long"]


@dataclass(frozen=True)
class Segment:
    """One stage of a row: its name, which part of the updates it gets, and what is switched."""

    stage: str
    budget: Budget
    switches: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """``model``: switches of the network, which hold for all its segments."""

    title: str
    segments: tuple[Segment, ...]
    model: Mapping[str, Any] = field(default_factory=dict)


def _reconstruct(**perturb: Any) -> Segment:
    return Segment("reconstruct", "first", {"perturb": perturb} if perturb else {})


_NONE = {"shuffle": False, "mask": "none"}
_COMPLETE = Segment("supervised", "second+third")
_STAGE1 = _reconstruct()
_STAGE2 = Segment("contrast", "second")
_BOTH = (_STAGE1, _STAGE2)


def _adapt(**switches: Any) -> Segment:
    return Segment("adapt", "third", switches)


ROWS: Mapping[str, Row] = {
    "baseline": Row("(0) U-Net, complete inputs only", (Segment("supervised", "wide"),)),
    "dropout-unet": Row(
        "(0b) U-Net, modality dropout, truth Dice on incomplete inputs",
        (Segment("supervised", "long", {"dropout": 1.0, "dropout_by": "sample"}),),
    ),
    "dropout": Row("stage 1 with dropout only", (_reconstruct(**_NONE), _COMPLETE)),
    "shuffle": Row("stage 1 with dropout and shuffle", (_reconstruct(mask="none"), _COMPLETE)),
    "stage1": Row("stage 1 (dropout, shuffle, masking)", (_STAGE1, _COMPLETE)),
    "contrast": Row(
        "stages 1, 2 without segmentation",
        (_STAGE1, Segment("contrast", "second", {"segment": 0.0}), Segment("supervised", "third")),
    ),
    "stage12": Row("stages 1, 2", (*_BOTH, Segment("contrast", "third"))),
    "feature": Row("stages 1, 2, 3 with feature consistency only", (*_BOTH, _adapt(prediction=0.0))),
    "prediction": Row("stages 1, 2, 3 with prediction consistency only", (*_BOTH, _adapt(feature=0.0))),
    "full": Row("stages 1, 2, 3", (*_BOTH, _adapt())),
    "full-truth": Row("stages 1, 2, 3 with truth Dice on incomplete", (*_BOTH, _adapt(incomplete=1.0))),
    "unfrozen": Row("stages 1, 2, 3, encoder not frozen", (*_BOTH, _adapt(freeze_encoder=False))),
    "no-reverse": Row("without the reverse map", (*_BOTH, _adapt()), {"reverse": False}),
    "no-mutual": Row("without mutual attention", (*_BOTH, _adapt()), {"mutual": False}),
    "conv-mixer": Row("convolution instead of Swin", (*_BOTH, _adapt()), {"mixer": "conv"}),
    "joint": Row("one joint stage", (Segment("joint", "long"),)),
}

BENCHMARK = ("baseline", "dropout-unet", "stage1", "stage12", "full", "full-truth", "unfrozen")
"""The rungs of docs/ablation.md."""

PAIRS = (
    ("dropout-unet", "baseline"),
    ("stage1", "baseline"),
    ("stage12", "stage1"),
    ("full", "stage12"),
    ("full", "baseline"),
    ("full", "dropout-unet"),
    ("full-truth", "full"),
    ("full-truth", "dropout-unet"),
    ("unfrozen", "full"),
)
"""The differences that are tested: (row, against row)."""
