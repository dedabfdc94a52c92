"""What a type checker must know of the public names. `make lint` has mypy check this file; nothing runs it.

A wrong call that mypy no longer reports makes its ``type: ignore`` unused, which is an error too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_type

import napari_mrseg
from napari_mrseg import Model, Prediction, Session, Study, Task, get_task, load_model, open_study, predict
from napari_mrseg.extend import Format, Modality, Network, Step


def results() -> None:
    """Each function's result has its type, and not Any."""
    assert_type(open_study("folder"), Study)
    assert_type(napari_mrseg.open_study({"flair": "a.nii.gz"}), Study)
    assert_type(predict(open_study("folder"), "flair+t1", model="compact"), Prediction)
    assert_type(load_model("compact"), Model)
    assert_type(get_task("brats"), Task)
    assert_type(Session().shown, Prediction | None)
    assert_type(predict(open_study("folder")).sizes["WT"], float)


def extensions(step: Step, kind: Format, network: Network, modality: Modality) -> None:
    """What is built on has types as well."""
    assert_type(step.name, str)
    assert_type(kind.endings, tuple[str, ...])
    assert_type(network.stride, tuple[int, int, int])
    assert_type(modality.names, tuple[str, ...])


def wrong_calls(forget: Callable[[], None]) -> None:
    """Each of these is reported."""
    predict("folder")  # type: ignore[arg-type]
    open_study(3)  # type: ignore[arg-type]
    napari_mrseg.no_such_name()  # type: ignore[attr-defined]
    Step(forget)  # type: ignore[abstract, call-arg]
