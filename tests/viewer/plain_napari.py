"""A napari started as users start it, in a process of its own, and what they then do with mouse and keys.

    python tests/viewer/plain_napari.py SCENARIO[+SCENARIO ...] [napari's own arguments]

Prints one line of JSON: what was seen, by scenario. Exits with 1 if something did not come in time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from napari._qt.qt_event_loop import get_qapp
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QMenu, QPushButton, QRadioButton

sys.modules.setdefault("transformers", None)  # type: ignore[arg-type]  # as users have it; MONAI imports it for seconds
LEFT = Qt.MouseButton.LeftButton
Steps = Generator[Callable[[], Any], None, dict[str, Any]]
_PATIENCE = 90.0  # seconds


def viewer() -> Any:
    import napari

    return napari.current_viewer()


def window() -> Any:
    return viewer().window._qt_window


def dock() -> Any:
    from napari_mrseg._qt.dock import dock_of

    return dock_of(viewer())


def seen() -> dict[str, Any]:
    """What a user finds in the window."""
    from napari_mrseg._qt.compare.workbench import workbench_of
    from napari_mrseg._qt.dock import MrsegDock

    made, bench = dock(), workbench_of(viewer())
    overlays = viewer().canvas.overlays
    docks = [w for w in QApplication.allWidgets() if isinstance(w, MrsegDock) and not w.closed]
    return {
        "visible": window().isVisible(),
        "docks": len(docks),
        "dock": made is not None and made.isVisible(),
        "dock_size": None if made is None else [made.width(), made.height()],
        "dock_room": None if made is None else made.parentWidget().height(),
        "bench": bench is not None and bench.isVisible(),
        "bench_beside": bench is not None
        and bench.mapTo(window(), QPoint(0, 0)).x() >= 0.45 * window().width(),
        "same_session": bench is None or bench.session is made.session,
        "said": "" if made is None else made.error.text(),
        "layers": [la.name for la in viewer().layers],
        "text": overlays.text.text if overlays.text.visible else "",
        "letters": {n[6:]: o.text for n, o in overlays.items() if n.startswith("mrseg_") and o.visible},
    }


def choose(*path: str) -> None:
    """Walk through the menus by mouse."""
    bar = window().menuBar()
    action = next(a for a in bar.actions() if a.text().replace("&", "") == path[0])
    QTest.mouseClick(bar, LEFT, pos=bar.actionGeometry(action).center())
    menu: QMenu = action.menu()
    for title in path[1:]:
        QTest.qWait(150)
        action = next(a for a in menu.actions() if a.text().replace("&", "").startswith(title))
        QTest.mouseMove(menu, menu.actionGeometry(action).center())
        QTest.mouseClick(menu, LEFT, pos=menu.actionGeometry(action).center())
        menu = action.menu()


def refused() -> Steps:
    """The arguments name a folder that cannot be opened."""
    yield lambda: window().isVisible() and bool(seen()["said"])
    QTest.qWait(800)
    return seen()


def ready() -> Steps:
    """Wait for the dock that the arguments ask for."""
    yield lambda: dock() is not None and dock().isVisible()
    QTest.qWait(800)
    return seen()


def menu() -> Steps:
    """Plugins → MRSeg → MRSeg by mouse, three times: open, hide, show; then the comparison."""
    yield lambda: window().isVisible()
    first = []
    for _ in range(3):
        choose("Plugins", "MRSeg", "MRSeg")
        QTest.qWait(1200)
        first.append(dock() is not None and dock().isVisible())
    choose("Plugins", "MRSeg", "MRSeg comparison")
    yield lambda: seen()["bench"]
    QTest.qWait(500)
    return {**seen(), "toggled": first}


def cross() -> None:
    """Close the dock by its own cross."""
    from napari_mrseg._qt.dock_widget import dock_widget_of

    holder, _ = dock_widget_of(dock())
    QTest.mouseClick(holder.title.close_button, LEFT)


def keys() -> Steps:
    """The same by the keyboard alone: Alt+P opens the menu, its letters and arrows lead on."""
    yield lambda: window().isVisible()
    if dock() is not None:
        cross()
        yield lambda: dock() is None
    plugins = next(a for a in window().menuBar().actions() if a.text().replace("&", "") == "Plugins").menu()

    def opened() -> bool:
        """A busy machine may give the window the keyboard late: ask again."""
        if not plugins.isVisible():
            window().activateWindow()
            QTest.keyClick(window().windowHandle(), Qt.Key.Key_P, Qt.KeyboardModifier.AltModifier)
        return bool(plugins.isVisible())

    yield opened
    down(plugins, "MRSeg")
    QTest.keyClick(plugins, Qt.Key.Key_Right)
    inner = plugins.activeAction().menu()
    yield inner.isVisible
    down(inner, "MRSeg")
    QTest.keyClick(inner, Qt.Key.Key_Return)
    yield lambda: dock() is not None and dock().isVisible()
    return seen()


def down(menu: QMenu, title: str) -> None:
    for _ in range(len(menu.actions()) + 1):
        active = menu.activeAction()
        if active is not None and active.text().replace("&", "") == title:
            return
        QTest.keyClick(menu, Qt.Key.Key_Down)
    raise SystemExit(f"no {title} in the menu")


def again() -> Steps:
    """A dock opened by -w, then asked for in the menu, which knows it by another name."""
    yield lambda: dock() is not None and dock().isVisible()
    before = id(dock().session)
    choose("Plugins", "MRSeg", "MRSeg")
    QTest.qWait(1200)
    return {**seen(), "same": id(dock().session) == before}


def shut() -> Steps:
    """The dock closed by its own cross: its work ends, and the menu gives a new one."""
    yield lambda: dock() is not None and dock().isVisible()
    old = dock().session
    cross()
    yield lambda: dock() is None
    choose("Plugins", "MRSeg", "MRSeg")
    yield lambda: dock() is not None and dock().isVisible()
    return {**seen(), "ended": old._closed, "new": dock().session is not old}


def sample() -> Steps:
    """File → Open Sample, without the dock; then the dock, which takes the study over."""
    yield lambda: window().isVisible()
    choose("File", "Open Sample", "MRSeg", "Simulated")
    yield lambda: len(viewer().layers) >= 4
    QTest.qWait(500)
    plain = seen()
    choose("Plugins", "MRSeg", "MRSeg")
    yield lambda: dock() is not None and dock().session.study is not None and dock().settled
    yield lambda: any(name.startswith("Segmentation") for name in seen()["layers"])
    return {"plain": plain, **seen()}


def scenes() -> Steps:
    """File → Open Sample, again and again, at first without a dock: each opens in a dock of its own kind."""
    yield lambda: window().isVisible()
    if dock() is not None:
        cross()
        yield lambda: dock() is None
        viewer().layers.clear()
    found = []
    for title, overlay in (("Made-up", "Colour+Depth"), ("Simulated", "FLAIR"), ("Simulated", "FLAIR")):
        before = dock() and dock().session.study
        choose("File", "Open Sample", "MRSeg", title)
        wanted = f"Segmentation: {overlay}"
        yield lambda before=before: dock() is not None and dock().session.study not in (None, before)
        yield lambda wanted=wanted: any(n.startswith(wanted) for n in seen()["layers"]) and dock().settled
        QTest.qWait(300)
        found.append({**seen(), "task": dock().session.task.name})
    return {"found": found}


def adopt() -> Steps:
    """A folder on the command line, then the dock from the menu."""
    yield lambda: window().isVisible()
    QTest.qWait(500)
    plain = seen()
    choose("Plugins", "MRSeg", "MRSeg")
    yield lambda: any(name.startswith("Segmentation") for name in seen()["layers"])
    return {"plain": plain, **seen()}


def write() -> Steps:
    """File → Save Selected Layers of the reference that the reader opened."""
    out = os.environ["MRSEG_OUT"]
    yield lambda: window().isVisible()
    viewer().layers.selection = {viewer().layers["Reference"]}
    QFileDialog.getSaveFileName = lambda *args, **options: (out, "NIfTI on the scan's grid (*.nii.gz *.nii)")  # type: ignore[method-assign,assignment]
    choose("File", "Save Selected Layers")
    yield lambda: Path(out).exists()
    return seen()


def light() -> Steps:
    """The light theme, chosen while the window is open: the best contrast among each text's own pixels."""
    yield lambda: any(name.startswith("Segmentation") for name in seen()["layers"])
    viewer().theme = "light"
    window().resize(1366, 768)
    QTest.qWait(1500)
    panel = dock().panel
    panel.saved.setText("Saved flair.nii.gz in results")
    QTest.qWait(200)
    texts = {
        "case": panel.case,
        "note": panel.saved,
        "size": dock().legend.sizes["WT"],
        "modality": dock().modalities.checks["flair"],
        "button": panel.folder_button,
        "banner": dock().banner,
        "model": dock().runbar.models,
        "stage": dock().runbar.stage,
    }
    found = {name: contrast(w.grab().toImage()) for name, w in texts.items() if w.isVisible()}
    picture = viewer().window._qt_viewer.canvas.native.grabFramebuffer()
    strip = picture.copy(picture.width() // 2 - 30, 0, 60, 45)  # the letter at the top
    return {**seen(), "contrast": found, "letter": contrast(strip)}


def contrast(image: Any) -> float:
    """The highest ratio (WCAG 2) between two pixels of a picture."""

    def light_of(x: int, y: int) -> float:
        colour = image.pixelColor(x, y)
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                 for c in (colour.redF(), colour.greenF(), colour.blueF())]  # fmt: skip
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    values = [light_of(x, y) for x in range(image.width()) for y in range(image.height())]
    return (max(values) + 0.05) / (min(values) + 0.05)


def reader_dialog() -> None:
    """Answer napari's question which plugin is to read the folder."""
    for dialog in QApplication.topLevelWidgets():
        if isinstance(dialog, QDialog) and dialog.objectName() == "Choose reader" and dialog.isVisible():
            button = next(b for b in dialog.findChildren(QRadioButton) if "MRSeg" in b.text())
            QTest.mouseClick(button, LEFT, pos=QPoint(8, button.height() // 2))
            ok = next(b for b in dialog.findChildren(QPushButton) if "OK" in b.text().upper())
            QTest.mouseClick(ok, LEFT)


class Runner:
    """Turns the scenario's crank from within napari's own event loop."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.ready = steps, lambda: viewer() is not None
        self.end = time.monotonic() + _PATIENCE
        self.result: dict[str, Any] | None = None
        self.busy = False
        self.timer = QTimer()
        self.timer.timeout.connect(self.turn)
        self.timer.start(50)

    def turn(self) -> None:
        if self.busy:  # within a nested event loop
            return
        self.busy = True
        try:
            reader_dialog()
            if self.ready():
                self.ready = next(self.steps)
            elif time.monotonic() > self.end:
                print(f"did not come: {self.ready}; {seen()}", file=sys.stderr)
                self.stop()
        except StopIteration as done:
            self.result = done.value
            picture = os.environ.get("MRSEG_PICTURE")
            if picture:
                viewer().window.screenshot(picture, canvas_only=False, flash=False)
            self.stop()
        finally:
            self.busy = False

    def stop(self) -> None:
        self.timer.stop()
        viewer().close()
        QApplication.instance().quit()


SCENARIOS: dict[str, Callable[[], Steps]] = {
    f.__name__: f for f in (refused, ready, menu, keys, again, shut, sample, scenes, adopt, write, light)
}


def one_after_the_other(names: list[str]) -> Steps:
    """In one napari, which takes seconds to start."""
    found = {}
    for name in names:
        found[name] = yield from SCENARIOS[name]()
    return found


def main() -> int:
    scenarios, sys.argv = sys.argv[1].split("+"), ["napari", *sys.argv[2:]]
    get_qapp()
    runner = Runner(one_after_the_other(scenarios))
    from napari.__main__ import main as napari_main

    napari_main()
    if runner.result is None:
        return 1
    print(json.dumps(runner.result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
