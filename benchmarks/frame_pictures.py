"""The pictures of docs/rgbd.md: the bundled model on the bundled frames, in the real window.

xvfb-run -a -s "-screen 0 1600x1000x24" env QT_QPA_PLATFORM=xcb python benchmarks/frame_pictures.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from qtpy.QtTest import QTest

from napari_mrseg._qt.app import open_window
from napari_mrseg._qt.dock_windows import open_comparison
from napari_mrseg.resources import sample_study
from napari_mrseg.session.state import Session
from napari_mrseg.tasks import RGBD_SOD

OUT = Path("docs/images/rgbd")
CAMOUFLAGED, FLAT = 1, 2  # frames of the sample


def main() -> None:
    session = Session(task=RGBD_SOD)
    session.load_model(None)
    viewer, dock = open_window(session)
    viewer.window.resize(1200, 740)
    dock.open([str(sample_study(RGBD_SOD))])

    def ready() -> None:
        while not (len(session.predictions) == 3 and not session.stale and dock.settled):
            QTest.qWait(100)
        QTest.qWait(1500)

    def picture(name: str) -> None:
        ready()
        seen = viewer.window.screenshot(canvas_only=False, flash=False)[..., :3]
        image = Image.fromarray(np.ascontiguousarray(seen))
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        image.save(OUT / f"{name}.png", optimize=True)

    OUT.mkdir(parents=True, exist_ok=True)
    ready()
    dock.look.outline = True
    viewer.dims.set_point(0, CAMOUFLAGED)
    session.use(("rgb",))
    picture("colour-alone")
    session.use(("depth",))
    ready()
    dock.layers.show_only("depth")
    picture("depth-alone")
    viewer.dims.set_point(0, FLAT)
    picture("depth-misses")
    session.use(("rgb", "depth"))
    ready()
    dock.layers.show_only("rgb")
    open_comparison(viewer)
    QTest.qWait(2000)
    picture("compare")
    viewer.close()
    session.close()


if __name__ == "__main__":
    main()
