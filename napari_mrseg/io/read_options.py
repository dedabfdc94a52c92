"""How the files of a study are read: the options that the command line, cohorts and session files share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from napari_mrseg.io.brain import How


@dataclass(frozen=True)
class ReadOptions:
    """Options of :func:`~napari_mrseg.io.open_study`, under its names and with its defaults."""

    reference: bool | str | os.PathLike[str] = True
    labels: str | None = None
    assume_ras: bool = False
    onto: str = ""
    brain: How = "auto"
    depth: str = "auto"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``open_study``."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


DEFAULTS = ReadOptions()
SAVED: Mapping[str, type] = {"assume_ras": bool, "labels": str, "onto": str, "brain": str, "depth": str}
"""What a session file keeps of them, with its types; what is not there has its default."""
