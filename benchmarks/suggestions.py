"""What real scans look like by their contrast when their names are hidden: how many are suggested rightly.

python benchmarks/suggestions.py ../shared/data
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_mrseg.errors import InputError
from napari_mrseg.inference.suggest import suggest
from napari_mrseg.io import open_study


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    right = wrong = unsaid = 0
    for folder in sorted(path for path in args.data.iterdir() if path.is_dir()):
        try:
            study = open_study(folder, reference=False)
        except InputError as error:
            print(f"{folder.name}: left out ({error})")
            continue
        names = list(study.images)
        found = suggest([study.images[name] for name in names], study.task)
        for name, statistics in zip(names, found, strict=True):
            right, wrong, unsaid = (
                right + (statistics == name),
                wrong + (statistics not in (name, None)),
                unsaid + (statistics is None),
            )
            if statistics not in (name, None):
                print(f"{folder.name}: {name} looks like {statistics}")
    print(f"{right} rightly, {wrong} wrongly, {unsaid} not at all, of {right + wrong + unsaid}")


if __name__ == "__main__":
    main()
