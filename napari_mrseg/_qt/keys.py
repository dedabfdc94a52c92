"""Keys, bound in code on the viewer: napari ignores a manifest's. None of them is one of napari's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtWidgets import QAbstractButton

from napari_mrseg._qt.key_names import key, label_key

if TYPE_CHECKING:
    from napari_mrseg._qt.host import Host
    from napari_mrseg._qt.overlay_style import OverlayStyle

OPACITY_STEP = 0.1


class Shortcut(NamedTuple):
    """``key`` as napari binds it, what it does in words, and doing it."""

    key: str
    words: str
    act: Callable[[], Any]


def shortcuts(dock: Host) -> tuple[Shortcut, ...]:
    """All keys of the dock, in the order in which they are listed."""
    style, panel = dock.overlay_style, dock.panel
    switches = [
        Shortcut(key(str(number)), f"{modality.title} on or off", partial(dock.toggle, modality.name))
        for number, modality in enumerate(dock.session.task.modalities, start=1)
    ]
    labels = [
        Shortcut(key(number), f"{label.title} shown or hidden", dock.panel.legend.labels[label.code].click)
        for label in dock.session.task.labels
        if (number := label_key(dock.session.task, label))
    ]
    return (
        *switches,
        *labels,
        Shortcut(
            key("overlay"),
            "Segmentation shown or hidden",
            lambda: setattr(style, "visible", not style.visible),
        ),
        Shortcut(
            key("outline"),
            "Outline or fill",
            lambda: setattr(style, "outline", not style.outline),
        ),
        Shortcut(key("fainter"), "Segmentation fainter", partial(_fade, style, -OPACITY_STEP)),
        Shortcut(key("stronger"), "Segmentation stronger", partial(_fade, style, OPACITY_STEP)),
        Shortcut(key("jump"), "Jump to the largest finding", dock.jump),
        Shortcut(key("window"), "Next preset of window and level", dock.next_window),
        Shortcut(
            key("planes"),
            "Three planes, linked by a crosshair, and 3-D; or one",
            _if_there(panel.planes_button),
        ),
        Shortcut(
            key("reading"), "Reading layout: napari's lists folded away, or back", panel.reading_button.click
        ),
        Shortcut(
            key("beside"), "Another result or scan side by side with this one", panel.beside_button.click
        ),
        Shortcut(key("measure"), "Lesions and distances, in a table", panel.measure_button.click),
        Shortcut(key("compare"), "Compare all combinations", dock.compare_asked.emit),
        Shortcut(key("run"), "Run or cancel", dock.runbar.button.click),
        Shortcut(key("edit"), "Edit a copy of the segmentation", dock.edit),
        Shortcut(key("save"), "Save the segmentation", panel.save_button.click),
        Shortcut(key("folder"), "Open a folder", panel.folder_button.click),
        Shortcut(key("files"), "Open files", panel.files_button.click),
        Shortcut(
            key("recent"), "Studies that were opened before, and worklists", panel.recent_button.showMenu
        ),
        Shortcut(key("next_study"), "Next study of the worklist", partial(dock.worklist.step, 1)),
        Shortcut(key("previous_study"), "Previous study of the worklist", partial(dock.worklist.step, -1)),
        Shortcut(key("sample"), "Open the sample that comes with the plugin", panel.sample_button.click),
        Shortcut(key("next_view"), "Next scan behind the segmentation", dock.next_view),
        Shortcut(
            key("imagine"), "Next modality that is off or absent imagined, or none", dock.imagining.next
        ),
        Shortcut(key("info"), "About the model", dock.runbar.info.emit),
        Shortcut(key("model"), "Choose a model", dock.runbar.models.showPopup),
        Shortcut(key("device"), "Choose the device", dock.runbar.devices.showPopup),
        Shortcut(
            key("which"),
            "Say which file is which, or what a reference's codes mean, where it is asked",
            _if_there(panel.which_button, panel.codes_button),
        ),
        Shortcut(key("brain"), "Use mask as edited", _if_there(panel.brain_button)),
        Shortcut(key("keys"), "All keys", panel.keys_button.click),
    )


class Keys:
    """Binds :func:`shortcuts` on the dock's viewer until it is closed."""

    def __init__(self, dock: Host) -> None:
        self._viewer = dock.viewer
        self.rows = shortcuts(dock)
        for row in self.rows:
            self._viewer.bind_key(row.key, _pressed(row.act), overwrite=True)

    def close(self) -> None:
        for row in self.rows:
            self._viewer.bind_key(row.key, None)
        self.rows = ()


def _pressed(act: Callable[[], Any]) -> Callable[[Any], None]:
    def pressed(viewer: Any) -> None:
        act()

    return pressed


def _fade(style: OverlayStyle, by: float) -> None:
    style.opacity = min(1.0, max(0.0, style.opacity + by))


def _if_there(*buttons: QAbstractButton) -> Callable[[], None]:
    """A click on the first that is there of buttons that come and go."""

    def click() -> None:
        there = next((button for button in buttons if not button.isHidden()), None)
        if there is not None:
            there.click()

    return click
