"""How the segmentation is drawn: one set of choices that the legend shows and every overlay follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from psygnal import SignalGroupDescriptor

OUTLINE = 2  # voxels


@dataclass
class OverlayStyle:
    """``events`` tells of every change. ``hidden``: label codes that are not drawn; ``visible``: drawn at all."""

    opacity: float = 0.6
    outline: bool = False
    hidden: frozenset[int] = frozenset()
    visible: bool = True
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    @property
    def contour(self) -> int:
        """Width of the outline for napari, 0 for a filled region."""
        return OUTLINE if self.outline else 0
