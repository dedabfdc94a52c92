"""``python -m napari_mrseg.cli`` is ``mrseg``."""

from napari_mrseg.cli import run

run()
