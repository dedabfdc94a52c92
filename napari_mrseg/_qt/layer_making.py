"""The layers of a study, one by one, as :mod:`.layers` puts them into the window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_mrseg._qt.about import STUDYS
from napari_mrseg._qt.overlay_style import OUTLINE
from napari_mrseg.display import (
    checkerboard,
    contrast_limits,
    image_title,
    label_names,
    label_rgba,
    model_name,
    titles,
)
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.study import Study
from napari_mrseg.tasks import Task

BRAIN = "Brain mask"
NONE_YET = "Segmentation: none yet"


def _placed(study: Study) -> dict[str, Any]:
    return {"scale": study.grid.spacing, "units": study.task.world_unit}


def image_layer(study: Study, name: str, *, visible: bool) -> Image:
    """One scan."""
    image, task = study.images[name], study.task
    low, high = contrast_limits(image.data)
    layer = Image(
        image.data,
        name=image_title(study, name),
        colormap=task.modality(name).colormap,
        contrast_limits=(low, high),
        visible=visible,
        metadata={"mrseg": {"study": STUDYS, "modality": name, "case": study.case}},
        **_placed(study),
    )
    layer.contrast_limits_range = min(low, float(image.data.min())), max(high, float(image.data.max()))
    layer.colorbar.position = "bottom_left"  # the words are above
    layer.colorbar.visible = task.modality(name).colormap != "gray"
    return layer


def check_layers(study: Study) -> Iterator[Image]:
    """Hidden layers by which to check what was done to the scans: moved ones as a checkerboard, the head before."""
    common = {**_placed(study), "metadata": {"mrseg": {"study": STUDYS, "case": study.case}}}
    for name, image in study.images.items():
        title = study.task.modality(name).title
        board = checkerboard(study, name)
        if board is not None:
            below = study.task.modality(board[0]).title
            yield Image(board[1], name=f"Check: {title} on {below}", colormap="gray", visible=False, **common)
        if image.whole is not None and name == next(iter(study.images)):
            limits = contrast_limits(image.data)
            yield Image(
                image.whole,
                name=f"Check: {title} with skull",
                colormap="gray",
                contrast_limits=limits,
                visible=False,
                **common,
            )


def brain_layer(study: Study, mask: npt.NDArray[np.bool_], subject: str) -> Labels:
    """The mask by which a head lost its skull, (I, P, L), to paint in."""
    source = next(iter(study.images.values())).source
    about = {"study": STUDYS, "task": study.task.name, "case": study.case, "source": source}
    layer = Labels(
        mask.astype(np.uint8),
        name=BRAIN,
        visible=False,
        opacity=0.7,
        metadata={"mrseg": about | {"key": "brain_mask", "subject": subject}},
        **_placed(study),
    )
    layer.colormap = DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: (0, 0.62, 0.45, 1)})
    layer.contour = OUTLINE
    return layer


def fixed_labels(
    study: Study,
    labels: npt.NDArray[np.uint8],
    name: str,
    colours: DirectLabelColormap,
    about: Mapping[str, Any],
    *,
    visible: bool,
) -> Labels:
    """Labels that nobody paints in: the overlay, the reference."""
    layer = Labels(
        labels,
        name=name,
        colormap=colours,
        features=label_names(study.task),
        metadata={"mrseg": dict(about)},
        visible=visible,
        **_placed(study),
    )
    layer.editable = False
    return layer


def copy_layer(
    shown: Prediction, study: Study, colours: DirectLabelColormap, about: Mapping[str, Any]
) -> Labels:
    """A copy of ``shown`` to paint in."""
    return Labels(
        shown.labels.copy(),
        name=f"{shown.case}, {model_name(shown.model)}: {_short(shown)} edited",
        colormap=colours,
        features=label_names(shown.task),
        metadata={"mrseg": dict(about)},
        **_placed(study),
    )


def warm_up(task: Task) -> None:
    """Do now, while nobody waits, what napari's first layers take a second for (units, imports)."""
    nothing = np.zeros((2, 2, 2), np.uint8)
    Image(nothing, units="mm", scale=(1, 1, 1))
    Labels(nothing, units="mm", scale=(1, 1, 1), colormap=label_colours(task), features=label_names(task))


def label_colours(
    task: Task, hidden: Iterable[int] = (), estimated: Iterable[int] = ()
) -> DirectLabelColormap:
    """Colours by code: ``hidden`` transparent, ``estimated`` greyed."""
    return DirectLabelColormap(color_dict=label_rgba(task, hidden, estimated))


def overlay_name(shown: Prediction, *, stale: bool) -> str:
    """The overlay's name: combination, then what is special about it. In napari's list its end is always seen."""
    marks = (["STALE"] if stale else []) + (["preview"] if shown.preview else [])
    mark = f" ({', '.join(marks)})" if marks else ""
    return f"Segmentation: {_short(shown)}{mark}"


def _short(shown: Prediction) -> str:
    """The combination without spaces: napari's list has room for 25 letters."""
    return titles(shown.task, shown.combination).replace(" + ", "+")
