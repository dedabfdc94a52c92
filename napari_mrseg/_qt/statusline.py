"""The status line: where the pointer is in the patient, what every scan holds there, and which region it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel

from napari_mrseg._qt.layers import StudyLayers
from napari_mrseg.display import image_title
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study


class StatusLine:
    """Says what lies under the pointer in place of napari's text about one layer, and of its key hints.

    What others write into the status line (a preset's name, a distance) stays. In 3-D napari's own text stays: only the
    drawing knows what a ray hits.
    """

    def __init__(self, viewer: ViewerModel, session: Session, layers: StudyLayers) -> None:
        self._viewer, self._session, self._layers = viewer, session, layers
        # After napari's own listeners, so that ours is the last word.
        viewer.events.status.connect(self._status, position="last")
        viewer.events.help.connect(self._help, position="last")
        self._help()

    def close(self) -> None:
        self._viewer.events.status.disconnect(self._status)
        self._viewer.events.help.disconnect(self._help)

    def _status(self, event: Any = None) -> None:
        if isinstance(self._viewer.status, dict) and self._viewer.dims.ndisplay == 2:
            self._viewer.status = self.words(self._viewer.cursor.position)

    def _help(self, event: Any = None) -> None:
        if self._viewer.help:
            self._viewer.help = ""

    def words(self, position: Sequence[float]) -> str:
        """What is at a place of the world, in the viewer's axes."""
        study, front = self._session.study, self._layers.front
        if study is None or front is None or front.data.shape != study.grid.shape:
            return "Ready"
        voxel = np.rint(np.asarray(position[-3:]) / np.asarray(study.grid.spacing)).astype(int)
        inside = ((voxel >= 0) & (voxel < study.grid.shape)).all()
        place = tuple(int(v) for v in voxel)
        parts = [_where(study, position[-3:], place)]
        if inside:
            parts += [
                f"{image_title(study, name)} {_value(image.data[place])}"
                for name, image in study.images.items()
            ]
            code = int(np.asarray(front.data)[place])
            parts += [f"{label.name}, {label.title}" for label in study.task.labels if label.code == code]
        return "   ".join(parts)


def _where(study: Study, world: Sequence[float], voxel: tuple[int, ...]) -> str:
    if study.task.ndim == 2:
        frame = f"frame {voxel[0] + 1} of {study.grid.shape[0]}, " if study.grid.shape[0] > 1 else ""
        return f"{frame}column {voxel[2]}, row {voxel[1]}"
    own = np.asarray(world, dtype=float) / np.asarray(study.grid.spacing)
    r, a, s = (float(v) for v in (study.grid.matrix @ [*own, 1.0])[:3])
    return f"R {r:.1f}  A {a:.1f}  S {s:.1f} mm   axial slice {voxel[0] + 1} of {study.grid.shape[0]}"


def _value(value: Any) -> str:
    """A voxel's intensity, of a colour image its three."""
    return " ".join(f"{v:.0f}" if abs(v) >= 100 or v == round(v) else f"{v:.3g}" for v in np.ravel(value))
