"""The time counted operations and bytes need at least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_mrseg.models.counting import Counter, count
from napari_mrseg.models.unimrseg import Settings, UniMRSeg


@dataclass(frozen=True)
class Rates:
    """What a machine can do: operations and bytes per second. A multiplication and an addition are two."""

    name: str
    flops: float
    bytes: float


# A measured matrix product; the maker's bandwidth.
H200 = Rates("NVIDIA H200, bf16", flops=790e12, bytes=4.8e12)


def seconds(counter: Counter, rates: Rates, block: str | None = None) -> float:
    """Least time: each kernel waits for its operations or for its bytes, whichever takes longer."""
    rows = [row for name, row in counter.rows.items() if block in (None, name)]
    return sum(max(f / rates.flops, b / rates.bytes) for row in rows for f, b in row)


def estimate(settings: Settings, extents: Sequence[int], rates: Rates = H200) -> dict[str, Any]:
    """Expected seconds on a machine of these ``rates``, one incomplete combination and all, and what it rests on.

    JSON-able; ``blocks`` lists the incomplete combination's blocks. A roofline: no launch costs, nothing kept in
    a cache between kernels, every kernel at the machine's peak, so a real run takes longer.
    """
    channels = settings.in_channels
    adapts = settings.adapters != "none"
    incomplete = count(UniMRSeg, settings, extents, channels=channels, incomplete=adapts)
    complete = count(UniMRSeg, settings, extents, channels=channels, incomplete=False)
    everything = 2**settings.in_channels - 1
    return {
        "extents": list(extents),
        "one": {
            "tflop": incomplete.flops / 1e12,
            "gigabytes": incomplete.bytes / 1e9,
            "seconds": seconds(incomplete, rates),
            "seconds_operations_only": incomplete.flops / rates.flops,
        },
        "all": {
            "combinations": everything,
            "tflop": ((everything - 1) * incomplete.flops + complete.flops) / 1e12,
            "gigabytes": ((everything - 1) * incomplete.bytes + complete.bytes) / 1e9,
            "seconds": (everything - 1) * seconds(incomplete, rates) + seconds(complete, rates),
            "seconds_operations_only": ((everything - 1) * incomplete.flops + complete.flops) / rates.flops,
        },
        "blocks": [
            {
                "block": name,
                "tflop": sum(f for f, _ in row) / 1e12,
                "gigabytes": sum(b for _, b in row) / 1e9,
                "seconds": seconds(incomplete, rates, name),
            }
            for name, row in incomplete.rows.items()
        ],
    }
