"""What napari.yaml names: reader, writer, sample data, dock. Qt is imported only when the dock is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer

    from napari_mrseg._qt.dock import MrsegDock
    from napari_mrseg.study import Study
    from napari_mrseg.tasks import Task

LayerData = tuple[Any, ...]
Reader = Callable[[str | Sequence[str]], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader for one subject's folder, archive or files; None for what is none."""
    from napari_mrseg.errors import MrsegError
    from napari_mrseg.io import recognise
    from napari_mrseg.io.dicom.archive import ARCHIVE
    from napari_mrseg.io.formats import is_readable
    from napari_mrseg.tasks import DEFAULT

    paths = [path] if isinstance(path, str) else list(path)
    if not any(Path(p).is_dir() or p.lower().endswith(ARCHIVE) for p in paths):
        return read if all(is_readable(Path(p), DEFAULT) for p in paths) else None
    try:
        found = recognise(paths)
    except (MrsegError, OSError):
        return None
    return read if found.refusal or any(f.role or f.doubt for f in found.files) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Layers of a study. With our dock open in the window, the study opens there instead.

    What cannot be opened so goes to the dock, which says why and asks; without a window it raises MrsegError.
    """
    from napari_mrseg.errors import MrsegError

    paths = [path] if isinstance(path, str) else list(path)
    viewer, dock = _viewer(), _dock()
    if dock is None:
        try:
            study = _open(paths)
        except MrsegError:
            if viewer is None:
                raise
            from napari_mrseg._qt.dock_windows import open_dock

            dock = open_dock(viewer)
        else:
            if viewer is not None:
                from napari_mrseg._qt.reader_hints import accompany

                accompany(viewer)
            return _layers(study, paths)
    for one in paths:
        dock.opener.offer(one)
    return [(None,)]  # npe2's word for "read, but no layer to add"


def read_sample() -> list[LayerData]:
    """The simulated study that comes with the plugin."""
    from napari_mrseg.tasks import DEFAULT

    return _read_sample(DEFAULT)


def read_scene_sample() -> list[LayerData]:
    """The made-up scenes that come with the plugin; in a window they open in the dock for colour and depth."""
    from napari_mrseg.tasks import RGBD_SOD

    return _read_sample(RGBD_SOD)


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer of ours as NIfTI on the grid of its scan. Raises InputError for other layers."""
    import numpy as np

    from napari_mrseg.errors import InputError
    from napari_mrseg.io import write_labels as write

    about = (meta.get("metadata") or {}).get("mrseg")
    if not isinstance(about, Mapping) or about.get("source") is None:
        raise InputError(
            f"{meta.get('name', 'This layer')} was not made by MRSeg, so there is no scan on whose grid it "
            "could be saved; save it in another format."
        )
    write(np.asarray(data), about["source"], path)
    return [path]


def _read_sample(task: Task) -> list[LayerData]:
    """The sample of ``task``, as layers, which napari insists on; the study in the dock then takes their place.

    A dock for another task, which could not show it, makes room. The scenes need the dock: napari alone draws them
    without saying what they are.
    """
    from napari_mrseg.resources import sample_study
    from napari_mrseg.tasks import DEFAULT

    path = str(sample_study(task))
    viewer, dock = _viewer(), _dock()
    if viewer is not None and (dock is not None or task != DEFAULT):
        from napari_mrseg._qt.dock_windows import open_dock

        open_dock(viewer, task=task).opener.offer(path)
    elif viewer is not None:
        from napari_mrseg._qt.reader_hints import accompany

        accompany(viewer)
    return _layers(_open([path], task=task), [path])


def _open(paths: Sequence[str], **options: Any) -> Study:
    from napari_mrseg.io import open_study

    return open_study(paths, **options)


def _layers(study: Study, paths: Sequence[str]) -> list[LayerData]:
    from napari_mrseg.display import contrast_limits, image_title

    layers: list[LayerData] = []
    for number, (name, image) in enumerate(reversed(list(study.images.items())), start=1):
        about = {"modality": name, "case": study.case, "source": image.source, "paths": tuple(paths)}
        about["axes"] = study.grid.axis_codes
        options = {
            "name": image_title(study, name),
            "scale": study.grid.spacing,
            "units": study.task.world_unit,
            "colormap": study.task.modality(name).colormap,
            "contrast_limits": contrast_limits(image.data),
            "visible": number == len(study.images),
            "metadata": {"mrseg": about},
        }
        layers.append((image.data, options, "image"))
    if study.reference is not None:
        about = {"source": study.reference.source, "case": study.case, "paths": tuple(paths)}
        options = {
            "name": "Reference", "scale": study.grid.spacing, "units": study.task.world_unit, "visible": False,
            "metadata": {"mrseg": about},
        }  # fmt: skip
        layers.append((study.reference.labels, options, "labels"))
    return layers


def _viewer() -> Viewer | None:
    """The viewer whose window is on the screen, or about to be; None in a script without one."""
    import sys

    if "napari._qt.qt_main_window" not in sys.modules:
        return None
    import napari

    return napari.current_viewer()


def _dock() -> MrsegDock | None:
    import sys

    if "napari_mrseg._qt.dock" not in sys.modules:
        return None
    from napari_mrseg._qt.dock import dock_of

    return dock_of(_viewer())
