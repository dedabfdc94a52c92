"""The dock's wires: which request each control makes, and what ends with the dock.

``dock`` is a :class:`.dock.MrsegDock`, which this module cannot import: that one imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QTimer

from napari_mrseg._qt.model_info import show_card
from napari_mrseg._qt.recent import RecentMenu


def connect(dock: Any) -> None:
    """Give each control its request, and let the dock follow its parts."""
    panel = dock.panel
    panel.folder_button.clicked.connect(dock.opener.ask_folder)
    panel.files_button.clicked.connect(dock.opener.ask_files)
    panel.recent_button.setMenu(RecentMenu(dock, dock.worklist, panel))
    panel.sample_button.clicked.connect(dock.opener.open_sample)
    panel.which_button.clicked.connect(dock.opener.which)
    panel.codes_button.clicked.connect(dock.opener.codes)
    panel.brain_button.clicked.connect(dock.opener.recut)
    panel.brain_choice.chosen = dock.opener.cut_by
    panel.jump_button.clicked.connect(lambda: dock.jump())
    panel.edit_button.clicked.connect(dock.edit)
    panel.compare_button.clicked.connect(dock.compare_asked)
    panel.keys_button.clicked.connect(dock.show_keys)
    panel.planes_button.clicked.connect(dock.show_three_planes)
    panel.measure_button.toggled.connect(lambda _: dock.measuring.refresh())
    panel.reading_button.clicked.connect(dock.reading.toggle)
    panel.beside_button.clicked.connect(dock.show_beside)
    panel.save_button.clicked.connect(dock.saver.save_shown)
    panel.save_button.setMenu(dock.saver.menu())
    dock.modalities.toggled.connect(dock.toggle)
    dock.modalities.viewed.connect(dock.layers.show_only)
    dock.modalities.assigned.connect(dock.opener.assign)
    dock.runbar.run.connect(lambda: dock.attempt(dock.session.run))
    dock.runbar.cancel.connect(dock.cancel)
    dock.opening_banner.cancelled.connect(dock.opener.cancel)
    dock.runbar.model_chosen.connect(dock.choosing.model)
    dock.runbar.import_asked.connect(dock.choosing.import_model)
    dock.runbar.device_chosen.connect(dock.choosing.device)
    dock.runbar.info.connect(lambda: show_card(dock, dock.session.model))
    dock.overlay_style.events.connect(lambda _: dock._describe())
    dock.layers.on_visible = dock._seen
    dock.layers.on_deleted = lambda: QTimer.singleShot(0, dock._deleted)
    dock.result.changed.connect(dock._measured)
    dock.trusting.changed.connect(dock._measured)
    dock.viewer.dims.events.current_step.connect(dock._moved)


def ending(dock: Any, ended: list[bool]) -> Callable[[], None]:
    """What ends with the dock; holds no reference to the widget, which is gone by then."""
    session, bridge, unstyle, dims, moved = (
        dock.session,
        dock.bridge,
        dock._unstyle,
        dock.viewer.dims,
        dock._moved,
    )
    parts = (
        dock.updates,
        dock.keys,
        dock.letters,
        dock.scale_bar,
        dock.annotation,
        dock.three_planes,
        dock.beside,
        dock.reading,
        dock.layers,
        dock.planes,
        dock.fit,
        dock.window_level,
        dock.ruler,
        dock.measuring,
        dock.editing,
        dock.status_line,
        dock.imagining,
        dock.watermark,
    )
    banner = dock.opening_banner

    def end() -> None:
        if ended:
            return
        ended.append(True)
        bridge.close()
        unstyle()
        dims.events.current_step.disconnect(moved)
        for part in parts:
            with suppress(Exception):  # with the window, the canvas is gone before the dock is
                part.close()
        with suppress(Exception):
            banner.close_down()
        session.close()

    return end
