"""What the user sets on napari's Preferences page (``configurations`` in napari.yaml)."""

from __future__ import annotations

from collections.abc import Callable

from napari.settings import get_plugin_settings

from napari_mrseg.session.state import Session
from napari_mrseg.tasks import PALETTES

_PLUGIN = "napari-mrseg"


def modifier() -> str:
    """What is held with the letter of one of our keys, as napari binds it."""
    try:
        return str(get_plugin_settings(_PLUGIN).keys.modifier).replace("Ctrl", "Control").replace("+", "-")
    except (KeyError, AttributeError):  # switched off, or a viewer without plugins
        return "Alt"


def colours() -> str:
    """One of :data:`~napari_mrseg.tasks.PALETTES`."""
    try:
        return str(get_plugin_settings(_PLUGIN).look.colours)
    except (KeyError, AttributeError):
        return PALETTES[0]


class Preferences:
    """Keeps a session's memory budget and device as they are set, now and when they change.

    A session whose cache was given its budget keeps that, and one that was given a device starts on it.
    ``choose_device`` takes "auto", "cpu" or "cuda", ``choose_engine`` an address, and they say what went wrong.
    Nothing happens where napari does not know the plugin.
    """

    def __init__(
        self,
        session: Session,
        choose_device: Callable[[str], None],
        choose_engine: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._session, self._choose_device, self._choose_engine = session, choose_device, choose_engine
        try:
            settings = get_plugin_settings(_PLUGIN)
            self._memory, self._engine = settings.memory, settings.engine
        except KeyError:  # switched off, or a viewer without plugins
            return
        self._memory.events.results_gb.connect(self._budget)  # held weakly: ends with this object
        self._engine.events.device.connect(self._device)
        self._engine.events.address.connect(self._address)
        self._budget()
        if session.device == "auto" and self._engine.device != "auto":
            self._device()
        if self._engine.address and not session.elsewhere:
            self._address()

    def _device(self, event: object = None) -> None:
        self._choose_device(str(self._engine.device))

    def _address(self, event: object = None) -> None:
        self._choose_engine(str(self._engine.address).strip())

    def _budget(self, event: object = None) -> None:
        cache = self._session.cache
        if not cache.chosen:
            cache.limit(round(self._memory.results_gb * 10**9))
