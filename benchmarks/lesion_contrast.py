"""How much each labelled tumour differs from the tissue around it, as the network sees it.

python benchmarks/lesion_contrast.py --data ../shared/data

The mean of each label's voxels in every modality, in robust standard deviations from the brain's median (at 2 mm).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mrseg_training.data.subjects import prepare
from mrseg_training.markdown import number, table
from napari_mrseg.io import open_study
from tools.bundled import read_folds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    rows, heads = [], ["subject"]
    for subject in (s for test in read_folds()["test"].values() for s in test):
        study = open_study(args.data / subject)
        task, prepared = study.task, prepare(study, 2.0)
        heads = ["subject", *(f"{m.title}, {label.name}" for m in task.modalities for label in task.labels)]
        marked = [prepared.labels == label.code for label in task.labels]
        means = [
            float(image[where & (image != 0)].mean()) if where.any() else None
            for image in prepared.images
            for where in marked
        ]
        rows.append([subject, *(number(mean, 2) for mean in means)])
    print("\n".join(table(heads, rows)))


if __name__ == "__main__":
    main()
