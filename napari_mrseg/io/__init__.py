"""Files in and out: which file is what, reading behind a gate, writing on the source's own grid."""

from __future__ import annotations

from napari_mrseg.io.export import write_labels, write_results
from napari_mrseg.io.inspection import describe, inspect
from napari_mrseg.io.open import open_study
from napari_mrseg.io.recognise import Found, Recognition, recognise

__all__ = [
    "Found",
    "Recognition",
    "describe",
    "inspect",
    "open_study",
    "recognise",
    "write_labels",
    "write_results",
]
