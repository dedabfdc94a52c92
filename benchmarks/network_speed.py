"""Seconds of one pass of the network as the viewer runs it: norms folded, channels last, bf16.

python benchmarks/network_speed.py                  the compact size, whole brain at 1 mm and 2 mm
python benchmarks/network_speed.py --widths 12 14 16 --repeats 5 --json
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from typing import Any

import torch

from napari_mrseg.models.unimrseg import SIZES, Settings, UniMRSeg

EXTENTS = ((144, 176, 144), (72, 88, 72))


def measure(
    settings: Settings, extents: tuple[int, ...], dtype: torch.dtype, *, incomplete: bool, repeats: int
) -> dict[str, Any]:
    """Over ``repeats`` passes the least seconds and the least longest time between two calls of ``check``."""
    torch.manual_seed(0)
    network = UniMRSeg(settings).for_inference(dtype)
    x = torch.randn(1, settings.in_channels, *extents, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    available = torch.ones(1, settings.in_channels, dtype=torch.bool)
    available[:, -1] = not incomplete
    seconds, gaps = [], []
    with torch.inference_mode():
        for _ in range(repeats):
            ticks = [time.perf_counter()]
            network(x, available, check=lambda ticks=ticks: ticks.append(time.perf_counter()))
            ticks.append(time.perf_counter())
            seconds.append(ticks[-1] - ticks[0])
            gaps.append(max(b - a for a, b in pairwise(ticks)))
    return {
        "width": settings.width,
        "million_parameters": round(sum(p.numel() for p in UniMRSeg(settings).parameters()) / 1e6, 2),
        "extents": list(extents),
        "adapters": incomplete,
        "seconds": round(min(seconds), 3),
        "longest_gap": round(min(gaps), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--widths", type=int, nargs="+", default=[SIZES["compact"].width])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dtype = torch.bfloat16 if args.precision == "bf16" else torch.float32
    rows = []
    for width in args.widths:
        settings = SIZES["compact"].model_copy(update={"width": width})
        for extents in EXTENTS:
            for incomplete in (False, True):
                row = measure(settings, extents, dtype, incomplete=incomplete, repeats=args.repeats)
                rows.append(row)
                if not args.json:
                    print("  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    if args.json:
        print(json.dumps({"threads": args.threads, "precision": args.precision, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
