"""A form for a MONAI bundle that is to become a model."""

# No postponed annotations here: magicgui reads those of the form.
from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui import magicgui
from magicgui.widgets import Container
from qtpy.QtWidgets import QDialog, QLabel, QVBoxLayout, QWidget

from napari_mrseg.tasks import Task

HELP = (
    "A folder with configs/ and models/. What is left empty is taken from its metadata.json. "
    "Nothing in the bundle is run."
)


class ImportDialog(QDialog):
    """Asks for the bundle and what its metadata may leave open; :attr:`form` is the magicgui form."""

    def __init__(
        self, task: Task, take: Callable[[Callable[[], str]], None], parent: QWidget | None = None
    ) -> None:
        """``take`` gets the work, which returns the new model's name; it may be done on any thread."""
        super().__init__(parent)
        self.setWindowTitle("Import a MONAI bundle")
        self.form: Any = _form(task, self._asked)
        self._task, self._take = task, take
        about = QLabel(HELP)
        about.setWordWrap(True)
        column = QVBoxLayout(self)
        column.addWidget(about)
        column.addWidget(self.form.native)

    def _asked(self, **values: Any) -> None:
        task = self._task

        def work() -> str:
            from napari_mrseg.models.bundle import read_bundle
            from napari_mrseg.models.store import install_model

            network, card = read_bundle(task=task, **values)
            install_model(network, card)
            return card.name

        self.accept()
        self._take(work)


def _form(task: Task, asked: Callable[..., None]) -> Container[Any]:
    modalities, regions = ",".join(task.names), ",".join(region.name for region in task.regions)

    @magicgui(
        call_button="Import",
        folder={"mode": "d", "label": "Bundle"},
        model_name={"label": "Name", "tooltip": "Of the model; empty: the folder's name"},
        inputs={
            "label": "Inputs",
            "tooltip": f"Modalities of its channels in its order, some of {modalities}",
        },
        outputs={"label": "Outputs", "tooltip": f"Regions of its outputs in its order: {regions}"},
        axes={"label": "Axes", "tooltip": "Where the axes of its arrays point; BraTS files have LPS"},
        spacing={"label": "Voxels, mm", "min": 0.2, "max": 10.0, "step": 0.1},
    )
    def form(
        folder: Path = Path(),
        model_name: str = "",
        inputs: str = "",
        outputs: str = "",
        axes: str = "LPS",
        spacing: float = 1.0,
    ) -> None:
        asked(
            folder=folder,
            name=model_name.strip() or None,
            inputs=_words(inputs),
            outputs=_words(outputs),
            axes=axes.strip().upper(),
            spacing=spacing,
        )

    return form


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
