"""What a session asks for predictions. The engine answers in this process; another predictor may do so elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.models.store import About
from napari_mrseg.study import Study
from napari_mrseg.tasks import Combination


class Predictor(Protocol):
    """Answers about studies, on one thread at a time.

    Attributes
    ----------
    model
        Whose results they are; its card says which combinations it can do.
    device_name, precision
        What it computes with, as its predictions say. They may change from one prediction to the next.
    """

    @property
    def model(self) -> About: ...

    @property
    def device_name(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def run(
        self,
        study: Study,
        combination: Iterable[str],
        *,
        focus: tuple[int, ...] | None = None,
        check: Callable[[], None] = ...,
        progress: Callable[[float], None] = ...,
    ) -> Iterator[Prediction]:
        """Previews, if there are any, then the final.

        ``focus``: voxel of the study's grid that the user looks at, where to begin; the final does not depend on it.
        ``check`` is to be called often, and raises to stop. ``progress`` takes a fraction. Raises MrsegError.
        """

    def run_all(
        self,
        study: Study,
        combinations: Iterable[Iterable[str]],
        *,
        check: Callable[[], None] = ...,
        progress: Callable[[Combination, float], None] = ...,
    ) -> Iterator[Prediction]:
        """Finals, one after the other; ``progress`` says which one is under way."""

    def forget(self) -> None:
        """Let go what is kept of the studies seen."""
