"""What the user sets on napari's Preferences page (``configurations`` in napari.yaml)."""

from __future__ import annotations

from napari.settings import get_plugin_settings

from napari_mrseg.session import Session

_PLUGIN = "napari-mrseg"


class Preferences:
    """Keeps a session's memory budget as it is set, now and when it changes.

    A session whose cache was given its budget keeps that. Nothing happens where napari does not know the plugin.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        try:
            self._memory = get_plugin_settings(_PLUGIN).memory
        except KeyError:  # switched off, or a viewer without plugins
            return
        self._memory.events.results_gb.connect(self._apply)  # held weakly: ends with this object
        self._apply()

    def _apply(self, event: object = None) -> None:
        cache = self._session.cache
        if not cache.chosen:
            cache.limit(round(self._memory.results_gb * 10**9))
