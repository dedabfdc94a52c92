"""The words on the first model's card: what it learnt from, what it is for, where it fails."""

from __future__ import annotations

from napari_mrseg.models.card import ModelCard, Validated
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
