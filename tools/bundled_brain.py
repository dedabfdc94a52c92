"""Make the bundled network that finds the brain from a training run: its card, and its weights in 16 bits.

    python -m tools.bundled_brain runs/brain/model brain.json --version 1.0.0

``brain.json``: the rows of ``benchmarks/brain.py``, each head measured by a network that had not seen it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_mrseg.models.store import WEIGHTS, load_model, save_model
from napari_mrseg.resources import BRAIN_MODEL

TRAINED_ON = (
    "How: mrseg train brain, on one CPU core: 70 minutes, then 5 for the judge of presence (docs/scanner.md); heads "
    "turned, stretched, cut, their faces taken off, and given contrasts that no scanner has, as SynthStrip does "
    "(Hoopes 2022, doi 10.1016/j.neuroimage.2022.119474).",
    "24 heads with low-grade gliomas, FLAIR, T1 and T1ce (TCGA-LGG, TCIA, CC BY 3.0; Pedano 2016). Truth: the mask of "
    "one of HD-BET's networks (Isensee 2019, doi 10.1002/hbm.24750). No tumour mask was used.",
    "49 brains without their skull, put into those heads: BraTS 2021 and 2023 (CC BY 4.0; Baid 2021, Menze 2015, Bakas "
    "2017), BraTS-Africa (CC BY 4.0; Adewole 2023), UPENN-GBM (CC BY 4.0; Bakas 2022), TCGA-LGG (CC BY 3.0; Pedano "
    "2016), ms-cross-07 and -19 (CC BY; Lesjak 2017).",
    "Drawn phantoms, limbs, spines, trunks and shells, noise, pictures, and heads without a brain: nothing is found in "
    "them.",
)
LIMITATIONS = (
    "Learnt from adults, tumours and multiple sclerosis, most with thick axial slices; children, open skulls and "
    "scanners unlike those were not measured. Its masks follow HD-BET's, with their faults. Look at the border."
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--version", required=True)
    args = parser.parse_args()
    model = load_model(args.model)
    measured = [
        {
            "case": f"{row['head']} {row['contrast']}",
            "combination": ["head"],
            "dice": {"brain": round(row["dice"], 4)},
        }
        for row in json.loads(args.rows.read_text())
        if row["contrast"] != "all"
    ]
    update = {
        "name": "brain",
        "version": args.version,
        "licence": "BSD-3-Clause",
        "trained_on": TRAINED_ON,
        "measured": tuple(measured),
        "measured_on": "12 heads of TCGA-LGG that it had not seen, each contrast alone, against HD-BET's mask.",
        "limitations": LIMITATIONS,
    }
    save_model(BRAIN_MODEL, model.network, model.card.model_copy(update=update | {"stored": "float16"}))
    load_model(BRAIN_MODEL)
    print(f"{BRAIN_MODEL}: {(BRAIN_MODEL / WEIGHTS).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
