"""What the window remembers from one start to the next: folders, recent studies, how it draws.

Of a study it keeps the paths that were opened, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QSettings

from napari_mrseg._qt.overlay_style import OverlayStyle

STUDIES, SAVED = "folder", "saved"
"""Where studies lie, and where results were written: the next Open starts at the first, the next Save at the second."""
MOST = 12  # recent studies


def _settings() -> QSettings:
    return QSettings("napari-mrseg", "dock")


def last_folder(of: str = STUDIES) -> str:
    """Where the user last opened a study, or saved something (``SAVED``): at first beside the studies."""
    stored = _settings()
    return str(stored.value(of, "") or stored.value(STUDIES, ""))


def remember_folder(folder: str, of: str = STUDIES) -> None:
    _settings().setValue(of, folder)


# -- recent studies ---------------------------------------------------------------------------------------


def recent_studies(task: str) -> list[tuple[str, ...]]:
    """The paths of studies of this task that were opened, the newest first."""
    return [paths for name, paths in _recent() if name == task]


def remember_study(task: str, paths: Sequence[str]) -> None:
    """Put a study at the head of the recent ones."""
    entry = task, tuple(paths)
    stored = [entry, *(one for one in _recent() if one != entry)]
    _keep(stored[:MOST])


def forget_studies(task: str) -> None:
    """Empty the list of this task."""
    _keep([one for one in _recent() if one[0] != task])


def _recent() -> list[tuple[str, tuple[str, ...]]]:
    try:
        stored = json.loads(str(_settings().value("recent", "") or "[]"))
        return [(str(task), tuple(map(str, paths))) for task, paths in stored]
    except (ValueError, TypeError):  # of another version, or damaged: nothing is worth an error here
        return []


def _keep(recent: Sequence[tuple[str, Sequence[str]]]) -> None:
    _settings().setValue("recent", json.dumps(list(recent)))


# -- how the window draws ---------------------------------------------------------------------------------


def remembered(name: str, default: Any) -> Any:
    """What was kept under ``name``, if it is of the type of ``default``; else that."""
    try:
        stored = json.loads(str(_settings().value(f"look/{name}", "") or "null"))
    except ValueError:
        return default
    return stored if type(stored) is type(default) else default


def remember(name: str, value: Any) -> None:
    """At once, so that it outlasts whatever ends the program."""
    stored = _settings()
    stored.setValue(f"look/{name}", json.dumps(value))
    stored.sync()


def remembered_style() -> OverlayStyle:
    """Outline and opacity as they were last."""
    opacity = remembered("opacity", OverlayStyle.opacity)
    return OverlayStyle(
        opacity=min(1.0, max(0.0, opacity)), outline=remembered("outline", OverlayStyle.outline)
    )


def follow_style(overlay_style: OverlayStyle) -> None:
    """Remember the outline and the opacity of ``overlay_style`` whenever they change."""
    overlay_style.events.outline.connect(lambda on: remember("outline", on))
    overlay_style.events.opacity.connect(lambda value: remember("opacity", float(value)))
