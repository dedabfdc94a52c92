"""The words on the bundled model's card: what it learnt from, what it is for, where it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrseg_training.settings import Config, StagePart
from napari_mrseg.models.card import ModelCard
from napari_mrseg.tasks import key

LICENCES = {  # by the beginning of a subject's name; the first that fits
    "BraTS-SSA": "BraTS-Africa, CC BY 4.0; Adewole 2023",
    "BraTS": "CC BY 4.0; Baid 2021, Menze 2015, Bakas 2017",
    "tcga": "CC BY 3.0, TCGA-LGG; Pedano 2016",
    "UPENN": "UPENN-GBM, CC BY 4.0; Bakas 2022",
}
SCLEROSIS = "CC BY; Lesjak 2017"
TEMPLATE = (
    "Simulated brains from the tissue maps of the ICBM 152 2009a template (Copyright (C) 1993–2004 Louis Collins, "
    "McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University; free to use with this notice; "
    "Fonov 2011)."
)
GOOD = 0.5  # mean whole-tumour Dice below which a combination is named as one that fails


def bundled_card(
    card: ModelCard,
    base: Config,
    fold: Config,
    unseen: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    means: Mapping[str, Mapping[str, Any]],
) -> ModelCard:
    """``card``, of a fold's model, with the words for shipping.

    ``base`` and ``fold``: settings of the two runs. ``unseen``: scans in no part of either. ``rows``: what was measured
    (see :class:`~napari_mrseg.models.card.ModelCard`), ``means``: mean and 95 % interval by region.
    """
    scores_text = ", ".join(
        f"{region} {m['mean']:.2f} [{m['low']:.2f}, {m['high']:.2f}] on {m['n']}"
        for region, m in means.items()
    )
    measured = card.model_copy(update={"measured": tuple(dict(row) for row in rows)})
    region, *_ = card.regions
    table = {c: dice[region] for c, dice in measured.measured_table() if region in dice}
    failing = [key(c) for c, value in table.items() if value < GOOD]
    false_volumes: dict[str, tuple[float, str]] = {}
    for row in rows:
        if "dice" not in row:
            found = row["false_ml"][region], key(row["combination"])
            false_volumes[row["case"]] = max(found, false_volumes.get(row["case"], (0.0, "")))
    limits = [
        "Trained on very few real brains and mostly on simulated tumours. "
        f"Works at {card.validated[0].spacing_mm:g} mm, on skull-stripped scans of adults. Without post-contrast T1, "
        "enhancing tumour and core are guesses.",
        f"Below a mean {region} Dice of {GOOD}: {', '.join(failing)}." if failing else "",
        *(
            f"In {case}, which has no tumour, it calls up to {ml:.1f} mL one ({combination})."
            for case, (ml, combination) in false_volumes.items()
            if ml
        ),
    ]
    return measured.model_copy(
        update={
            "name": base.model.name.removesuffix("-base"),
            "licence": "BSD-3-Clause",
            "trained_on": trained_on(base, fold, unseen),
            "measured_on": (
                "Mean over scans with true masks, each by the weights of the fold not trained on it (the shipped "
                f"ones: {', '.join(unseen)}). Mean over subjects and combinations [95 % interval]: {scores_text}. The "
                "generator's ranges were set beside some of these scans."
            ),
            "intended_use": "Research and demonstration only. Not a medical device; not for diagnosis or treatment.",
            "limitations": " ".join(part for part in limits if part),
        }
    )


def commit() -> str:
    """The commit of this repository, with a + where files were changed since; unknown outside of one."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git(
            "status", "--porcelain", "--untracked-files=no", "--", ".", "../napari_mrseg", "../training"
        )
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _length(part: StagePart) -> str:
    if part.minutes is not None:
        return f"{part.minutes:.1f} minutes"
    return f"{part.steps} steps" if part.steps is not None else f"{part.epochs} epochs"


def _by_licence(what: str, subjects: Sequence[str]) -> list[str]:
    """A line for each licence: ``what``, the subjects that have it, the licence. Raises KeyError without one."""
    found: dict[str, list[str]] = {}
    for subject in subjects:
        kind = next((kind for kind in LICENCES if subject.startswith(kind)), subject)
        found.setdefault(LICENCES[kind], []).append(subject)
    return [f"{what}: {', '.join(names)} ({licence})." for licence, names in found.items()]


def trained_on(base: Config, fold: Config, unseen: Sequence[str]) -> tuple[str, ...]:
    """How, and one line per source with its licence."""
    runs = {"base": base, "fold": fold}
    steps = [(name, part, _length(run.stage(part))) for name, run in runs.items() for part in run.recipe]
    drawn, early = fold.data.simulate, base.data.simulate
    true = [brain for brain in drawn.labelled if brain not in early.labelled]
    lines = [
        f"How: tools.bundled, commit {commit()} ("
        + ", ".join(f"{name}: {part}, {length}" for name, part, length in steps)
        + "), on tumours painted into brains whose own lesion was covered by the mirrored other hemisphere, and on "
        f"real lesions, in their own brain or moved into another ({early.real_share:.0%} of the base's samples, "
        f"{drawn.real_share:.0%} of the fold's).",
        *_by_licence("Brains and lesions with true masks", true),
        *_by_licence("Brains and lesions with automatic masks", early.labelled),
    ]
    if drawn.tumour_free:
        lines.append(
            f"Brains with multiple sclerosis and no tumour, as they are: {', '.join(drawn.tumour_free)} ({SCLEROSIS})."
        )
    return (*lines, TEMPLATE, f"Never seen in training: {', '.join(unseen)}.")
