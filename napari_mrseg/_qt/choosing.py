"""Which model answers, and where it is computed: what the dock's drop-downs and the preferences ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari_mrseg._qt.dropdowns import device_choices, model_choices
from napari_mrseg._qt.importing import ImportDialog
from napari_mrseg.session.state import Session

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host


class Choosing:
    """Takes another model, device or computer on a thread; if that fails, the drop-downs show what is in use."""

    def __init__(self, dock: Host) -> None:
        self._dock, self._session = dock, dock.session

    def list_models(self) -> None:
        """Those for the task, named once they are read."""
        self._dock.later(lambda: model_choices(self._session.task), done=self._models)

    def list_devices(self) -> None:
        self._dock.later(device_choices, done=self._devices)

    def model(self, name: str) -> None:
        self._choose(self._session.load_model, name)

    def device(self, name: str) -> None:
        self._choose(self._session.set_device, name, self._session.precision)

    def engine(self, address: str) -> None:
        """Another computer's engine, by its address; "" brings the computation back here."""
        if address:
            self._choose(lambda there: _connect(self._session, there), address)
        elif self._session.elsewhere:
            self.device(self._session.device)

    def import_model(self) -> ImportDialog:
        """Ask for a MONAI bundle, make a model of it on a thread, and take it."""
        dialog = ImportDialog(self._session.task, self._import, self._dock.panel)
        dialog.show()
        return dialog

    def _import(self, work: Callable[[], str]) -> None:
        self._choose(lambda: self._session.load_model(work()))

    def _models(self, names: Sequence[str]) -> None:
        model = self._session.model
        self._dock.runbar.show_models(names, None if model is None else model.info["name"])

    def _devices(self, found: Sequence[tuple[str, str]]) -> None:
        self._dock.runbar.show_devices(found, self._session.device, self._session.elsewhere)

    def _choose(self, choose: Callable[..., None], *choice: str) -> None:
        def work() -> None:
            try:
                choose(*choice)
            finally:
                self._session.model_changed.emit()

        self._dock.hush()
        self._dock.later(work)


def _connect(session: Session, address: str) -> None:
    """Ask the engine at ``address`` from now on. Raises MrsegError; then the old one stays."""
    from napari_mrseg.remote.client import RemoteEngine
    from napari_mrseg.remote.token import given_token

    session.set_predictor(RemoteEngine(address, given_token()))
