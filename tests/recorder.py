"""Looks at all that the window shows, frame by frame, for what is of another study than the one asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication
from quick import NAMES

from napari_mrseg._qt.about import about_of, belongs
from napari_mrseg._qt.compare.workbench import workbench_of
from napari_mrseg._qt.dock import MrsegDock
from napari_mrseg.tasks import sized


def said_of(sizes: Mapping[str, float]) -> set[str]:
    """Sizes in mL as the legend writes them."""
    return {sized(size, "mL") for size in sizes.values()}


def sizes_on_screen(dock: MrsegDock) -> set[str]:
    """What stands in the legend; nothing while it is blank."""
    texts = [label.text().strip("()") for label in dock.legend.sizes.values()]  # in parentheses: doubted
    return {text.removesuffix(" *").removesuffix(" mL") for text in texts} - {"–"}


class Recorder(QObject):
    """``allowed``: names that may stand in the title; tests set it. ``wrong``: what was seen and should not have been.

    ``shapes``: whose arrays have which shape.
    """

    def __init__(self, dock: MrsegDock, shapes: dict[tuple[int, ...], str]) -> None:
        super().__init__(dock)
        self.dock, self.shapes = dock, shapes
        self.allowed = set[str]()
        self.frames = self.opening_frames = 0
        self.wrong: list[str] = []
        self.sizes: dict[str, set[str]] = defaultdict(set)
        dock.session.shown_changed.connect(self._note)
        app = QApplication.instance()
        assert app is not None
        app.installEventFilter(self)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(2)
        window = getattr(dock.viewer, "window", None)
        if window is not None:
            window._qt_viewer.canvas._scene_canvas.events.draw.connect(lambda _: self.look())

    def close(self) -> None:
        app = QApplication.instance()
        assert app is not None
        app.removeEventFilter(self)
        self._timer.stop()

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Paint and not self.dock.closed:
            self.look()
        return False

    def measured(self, labels: Any, sizes: Mapping[str, float]) -> None:
        """Sizes of ``labels`` were computed: they are its study's."""
        name = self.shapes[labels.shape]
        self.sizes[name] |= said_of(sizes)

    def _note(self) -> None:
        shown = self.dock.session.shown
        if shown is not None:
            self.sizes[shown.case] |= said_of(shown.sizes)

    def look(self) -> None:
        """Check one frame."""
        dock = self.dock
        self.frames += 1
        title = dock.case.text()
        name = title.removeprefix("Opening ").removesuffix(" …")
        opening = title.startswith("Opening ")
        self.opening_frames += opening
        if title == "Open or drop a subject's folder":
            name = ""
        elif name not in self.allowed:
            self._wrong(f"the title says {title}")
        others = set(NAMES) - {name}
        for label, text in self._texts():
            found = [other for other in others if other in text]
            if found:
                self._wrong(f"{label} says {text!r} under {title!r}")
        numbers = sizes_on_screen(dock)
        dices = {dice.text() for dice in dock.legend.dices.values()} - {""}
        known = set() if opening else self.sizes[name]
        if numbers - known:
            self._wrong(f"sizes {numbers - known} under {title!r}")
        if dices and (opening or not name):
            self._wrong(f"Dice {dices} under {title!r}")
        if opening and "computed" in dock.runbar.stage.text():
            self._wrong(f"the run bar says {dock.runbar.stage.text()!r} under {title!r}")
        if dock.banner.property("state") == "final" and not numbers and dock.layers.copy is None:
            self._wrong(f"final without a size under {title!r}")
        if opening and (dock.watermark.text or not dock.panel.imagining.isHidden()):
            self._wrong(f"something is imagined under {title!r}")
        for layer in dock.viewer.layers:
            case = about_of(layer).get("case")
            if belongs(layer) and (opening or case not in (None, name)):
                self._wrong(f"layer {layer.name} of {case} under {title!r}")
            shape = getattr(layer.data, "shape", None)
            if self.shapes.get(shape, name) != name or (opening and shape in self.shapes):
                self._wrong(f"an array of {self.shapes[shape]} under {title!r}: {layer.name}")

    def _texts(self) -> list[tuple[str, str]]:
        dock = self.dock
        found = [
            ("banner", dock.banner.text()),
            ("notes", dock.panel.notes.text() if not dock.panel.notes.isHidden() else ""),
            ("saved", dock.panel.saved.text()),
            ("canvas", " ".join(str(dock.viewer.canvas.overlays.text.text).split())),
            ("status", str(dock.viewer.status)),
            *(("layer", str(layer.name)) for layer in dock.viewer.layers),
        ]
        bench = workbench_of(dock.viewer)
        if bench is not None:
            found.append(("comparison", bench.coverage.text()))
        return found

    def _wrong(self, what: str) -> None:
        if what not in self.wrong:
            self.wrong.append(what)
