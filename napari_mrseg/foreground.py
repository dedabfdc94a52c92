"""What of a scan is head, and from when on it is more than a brain. Facts that files and networks share; no torch."""

from __future__ import annotations

FLOOR = 0.01  # of the 99th percentile of |intensity|: below it a voxel is background
SKULL_ML = 2100.0  # more than this above the background is not a brain alone
