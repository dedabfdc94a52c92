"""Make the bundled network that imagines from a training run: its intervals, its card, its weights in 16 bits.

    python -m tools.bundled_imagining runs/imagine/model --seen SCANS --unseen imagining.json --version 1.0.0

The intervals of each modality are widened or narrowed by one factor, so that over the subjects in ``--seen`` and every
combination they hold the share they should. ``--unseen``: rows of ``benchmarks/imagining.py`` for the card; without
them nothing is said to be measured.
"""

from __future__ import annotations

import argparse
import json
from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from napari_mrseg.inference.imagining import INTERVAL, Imaginer
from napari_mrseg.io import open_study
from napari_mrseg.models.imagining_network import ImaginingNet, outputs_each
from napari_mrseg.models.store import WEIGHTS, Model, load_model, save_model
from napari_mrseg.resources import IMAGINING_MODEL
from napari_mrseg.tasks import BRATS

TRAINED_ON = (
    "How: mrseg train imagine, 72 minutes of one CPU core in two parts: stage 1 of UniMRSeg (arXiv 2509.16170), every "
    "number of missing modalities alike often. No segmentation was learnt from; it says where some of the crops lie.",
    "34 subjects of four modalities: BraTS 2021 and 2023 (CC BY 4.0; Baid 2021, Menze 2015, Bakas 2017), BraTS-Africa "
    "(CC BY 4.0; Adewole 2023), UPENN-GBM (CC BY 4.0; Bakas 2022), TCGA-LGG (CC BY 3.0; Pedano 2016), ms-cross-19 "
    "(CC BY; Lesjak 2017).",
    "24 native studies of TCGA-LGG (CC BY 3.0; Pedano 2016), FLAIR, T1 and T1ce, thick slices, cut to the brain.",
)
LIMITATIONS = (
    "What it shows is a guess, no scan: enhancement, small lesions and whatever the given scans do not show cannot be "
    "in it, and what it shows need not be there. Adults only; learnt from few subjects."
)
INTENDED = (
    "Research only: to see what a network takes for granted. Never an input of a segmentation, never a finding. Not a "
    "medical device; not for diagnosis or treatment."
)


def factors(model: Model, folders: list[Path]) -> dict[str, float]:
    """By modality: how many times as wide the intervals must be to hold the share they should in these subjects."""
    imaginer = Imaginer(model, device="cpu")
    ratios: dict[str, list[np.ndarray]] = {name: [] for name in BRATS.names}
    for folder in folders:
        study = open_study([folder], reference=False)
        for target in study.present:
            others = [name for name in study.present if name != target]
            real, inside = imaginer.real(study, target), imaginer.shown(study, target)
            for number in range(1, len(others) + 1):
                for given in combinations(others, number):
                    made = imaginer.imagine(study, target, given)
                    mask = made.inside & inside
                    off = (real - made.middle)[mask]
                    room = np.where(off < 0, (made.middle - made.low)[mask], (made.high - made.middle)[mask])
                    ratios[target].append(np.abs(off[::50]) / room[::50])
    return {name: float(np.quantile(np.concatenate(each), INTERVAL)) for name, each in ratios.items() if each}


def widened(network: ImaginingNet, by: dict[str, float]) -> None:
    """Multiply the widths of each modality's intervals, whose logarithms the network gives."""
    each = outputs_each(len(BRATS.names))
    with torch.no_grad():
        assert network.head.bias is not None
        for number, name in enumerate(BRATS.names):
            network.head.bias[number * each + each - 2 : number * each + each] += float(
                np.log(by.get(name, 1.0))
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--seen", type=Path, required=True, help="folder of subjects to set the intervals by")
    parser.add_argument("--every", type=int, default=4, help="use every N-th of them")
    parser.add_argument("--unseen", type=Path, help="rows of benchmarks/imagining.py")
    parser.add_argument("--version", required=True)
    args = parser.parse_args()
    model = load_model(args.model, segments=False)
    assert isinstance(model.network, ImaginingNet)
    found = factors(model, sorted(f for f in args.seen.iterdir() if f.is_dir())[:: args.every])
    print(found)
    widened(model.network, found)
    measured_on = ""
    if args.unseen is not None:
        rows = [r for r in json.loads(args.unseen.read_text()) if r["way"] == "ours" and r["part"] == "brain"]
        psnr = {t: fmean(r["psnr"] for r in rows if r["target"] == t) for t in BRATS.names}
        measured_on = (
            f"{len({r['case'] for r in rows})} subjects it has learnt nothing from, every combination: mean PSNR over "
            f"the brain {', '.join(f'{t} {v:.1f}' for t, v in psnr.items())} dB."
        )
    update = {
        "name": "imagining",
        "version": args.version,
        "licence": "BSD-3-Clause",
        "trained_on": TRAINED_ON,
        "measured_on": measured_on,
        "intended_use": INTENDED,
        "limitations": LIMITATIONS,
        "stored": "float16",
    }
    save_model(IMAGINING_MODEL, model.network, model.card.model_copy(update=update))
    load_model(IMAGINING_MODEL, segments=False)
    print(f"{IMAGINING_MODEL}: {(IMAGINING_MODEL / WEIGHTS).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
