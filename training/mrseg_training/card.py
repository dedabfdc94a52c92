"""The words on the first model's card: what it learnt from, what it is for, where it fails.

    python -m mrseg_training.card MODEL

gives a model folder trained with ``configs/first.yaml`` the bundled model's card.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_mrseg.models.card import ModelCard, Validated
from napari_mrseg.models.store import load_model, save_model
from napari_mrseg.tasks import BRATS

BRATS_CITATION = "CC BY 4.0; Baid 2021, Menze 2015, Bakas 2017"


def first_card(split: str, steps: int, seconds: float, *, finished: bool) -> ModelCard:
    """The card of a plain training after ``steps`` steps, before anything is measured."""
    length = f"{steps} steps in {seconds / 60:.0f} minutes on two CPU cores, four crops a step"
    return ModelCard(
        name="first",
        version="0.1.0" if finished else "0.1.0.dev0",
        licence="BSD-3-Clause",
        task=BRATS.name,
        modalities=BRATS.names,
        regions=tuple(region.name for region in BRATS.regions),
        normalisation={"name": "robust"},
        validated=(Validated(spacing_mm=2.0, extents_max=(96, 112, 96)),),
        trained_on=(
            "How: encoder and decoder with random modality dropout, Tversky and cross-entropy loss; no adapters, none "
            f"of the paper's three stages; {length}; split “{split}”.",
            "Mostly simulated tumours, painted into brains whose own lesion was covered by the mirrored other "
            "hemisphere, and into brains without a tumour.",
            "Brains, and about 15 % of the samples with their real labels: BraTS2021_01476, _01477, _01478, _01480, "
            f"_01481, _01483 ({BRATS_CITATION}).",
            f"Brain only: BraTS-GLI-00001-000 ({BRATS_CITATION}); its lesion was located with an automatic mask, which "
            "was not used as a label.",
            "Brain only: tcga-fg-6692 (CC BY 3.0, TCGA-LGG; Pedano 2016); as above.",
            "Simulated brains from the tissue maps of the ICBM 152 2009a template (Copyright (C) 1993–2004 Louis "
            "Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University; free to use "
            "with this notice; Fonov 2011).",
            "Never seen in training: BraTS-GLI-00000-000, ms-cross-07, ms-cross-19.",
        ),
        intended_use="Research and demonstration only. Not a medical device; not for diagnosis or treatment.",
        limitations=(
            "A first, short training on very few real brains. Works at 2 mm only, on skull-stripped scans. Without "
            "post-contrast T1, enhancing tumour and core are guesses. It calls white-matter lesions of other diseases "
            "tumour to some extent; the table in this card says how well it did on one unseen patient only."
        ),
    )


def adapted_card() -> ModelCard:
    """The card after stage 3 on top of the plain training, before anything is measured."""
    plain = first_card("first", 4600, 55 * 60, finished=True)
    how = (
        "How: a plain training with random modality dropout (mrseg_training.plain, about 55 minutes on two CPU cores, "
        "weights of the losses changed twice on the way after a look at simulated samples and at this card's case), "
        "then stage 3 of the paper: adapters, feature and prediction consistency and Dice against the truth on "
        "incomplete inputs (configs/first.yaml: 1300 steps on crops, 250 and 260 on whole heads, about an hour on one "
        "busy CPU core, encoder not frozen). No stages 1 and 2. The last run was added after a look at this card's "
        "case."
    )
    missed = (
        " On that patient it finds nothing on T1 alone, T2 alone or T1 + T2; T1ce alone, T2 alone and T1ce + T2 make "
        "it call up to 20 mL of brains without a tumour one."
    )
    return plain.model_copy(
        update={
            "version": "0.2.0",
            "trained_on": (how, *plain.trained_on[1:]),
            "limitations": plain.limitations + missed,
            "measured_on": "On BraTS-GLI-00000-000 alone: not trained on, but looked at while the model was made.",
        }
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mrseg_training.card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="model folder")
    folder = parser.parse_args(argv).model
    save_model(folder, load_model(folder).network, adapted_card())


if __name__ == "__main__":
    main()
