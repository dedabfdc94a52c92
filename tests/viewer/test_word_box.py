"""The ground behind the words on the canvas keeps its shader, and follows the words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari import Viewer
from qtpy.QtWidgets import QApplication
from vispy.visuals.shaders.program import ModularProgram

from napari_mrseg._qt.word_box import keep_shader

WORDS = "A few words", "Many more words than there were before, on a wider ground", "Few"


def pictures(viewer: Viewer) -> list[np.ndarray[Any, Any]]:
    """One for each of the words, on a ground of its own colour."""
    found = []
    overlay = viewer.canvas.overlays.text
    for number, words in enumerate(WORDS):
        overlay.text, overlay.box_color = words, ("red", "blue", "red")[number]
        QApplication.processEvents()
        found.append(viewer.screenshot(flash=False))
    return found


def test_other_words_build_no_shader_and_the_picture_stays(
    one_viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words of another width, on another ground, are drawn as napari draws them; no shader is built for them."""
    viewer = one_viewer
    overlay = viewer.canvas.overlays.text
    overlay.position, overlay.font_size, overlay.box, overlay.visible = "top_left", 12, True, True
    overlay.text = "Words"
    viewer.screenshot(flash=False)
    built: list[ModularProgram] = []
    build = ModularProgram._build
    monkeypatch.setattr(ModularProgram, "_build", lambda program: (built.append(program), build(program))[1])
    theirs = pictures(viewer)
    assert built  # else there is nothing to keep, and this module can go
    assert keep_shader(viewer, overlay)
    overlay.text = "Words"
    viewer.screenshot(flash=False)
    built.clear()
    ours = pictures(viewer)
    assert not built
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({picture.tobytes() for picture in ours}) == len(WORDS)
    overlay.visible = False
