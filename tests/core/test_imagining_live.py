"""What is imagined of the open study: it follows the session, and changes nothing in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np
import pytest
import tiny as made
from quick import Dreamer, Quick

from napari_mrseg.errors import InputError, ModelError
from napari_mrseg.models.store import Model
from napari_mrseg.session.live_imagining import LIMITS, Imagining
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study
from napari_mrseg.tasks import RGBD_SOD

SHAPE = (10, 12, 11)


class Noting(Quick):
    """Keeps what it was given to segment."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.given: list[tuple[tuple[str, ...], tuple[int, ...]]] = []

    def run(self, study: Study, combination: Any, **options: Any) -> Any:
        self.given.append((tuple(combination), tuple(id(study.images[name].data) for name in combination)))
        return super().run(study, combination, **options)


@pytest.fixture
def predictor(tiny: Model) -> Noting:
    return Noting(tiny)


@pytest.fixture
def session(predictor: Noting) -> Iterator[Session]:
    one = Session(device="cpu", sweep=False)
    one.set_predictor(predictor)
    one.set_study(made.study(shape=SHAPE))
    one.wait(30)
    yield one
    one.close()


@pytest.fixture
def dreamer(tiny: Model) -> Dreamer:
    return Dreamer(tiny)


@pytest.fixture
def imagining(session: Session, dreamer: Dreamer) -> Iterator[Imagining]:
    one = Imagining(session, dreamer)
    yield one
    one.close()


def use(session: Session, *names: str) -> None:
    session.use(names)
    session.wait(30)


def test_what_is_off_is_imagined_from_what_is_on(session: Session, imagining: Imagining) -> None:
    """T1ce off: it can be chosen, and is imagined from the three in use; what is on or unknown cannot be chosen."""
    assert imagining.choices == ()
    with pytest.raises(InputError, match="T1ce cannot be imagined now"):
        imagining.choose("t1ce")
    use(session, "flair", "t1", "t2")
    assert imagining.choices == ("t1ce",)
    imagining.choose("t1ce")
    assert imagining.wait(30)
    pictures = imagining.shown
    assert pictures is not None
    assert (pictures.imagined.target, pictures.imagined.given) == ("t1ce", ("flair", "t1", "t2"))
    with pytest.raises(InputError, match="T1 cannot be imagined now"):
        imagining.choose("t1")


def test_it_follows_every_toggle(session: Session, imagining: Imagining, dreamer: Dreamer) -> None:
    """Another combination imagines anew, one that was there comes from memory; the modality switched on ends it, and
    with all off nothing is shown."""
    use(session, "flair", "t2")
    imagining.choose("t1ce")
    imagining.wait(30)
    use(session, "flair")
    imagining.wait(30)
    assert imagining.shown is not None
    assert imagining.shown.imagined.given == ("flair",)
    use(session, "flair", "t2")
    imagining.wait(30)
    assert imagining.shown.imagined.given == ("flair", "t2")
    assert dreamer.asked == [("t1ce", ("flair", "t2")), ("t1ce", ("flair",))]
    session.use(())
    assert imagining.shown is None
    with pytest.raises(InputError, match="All modalities are off"):
        imagining.choose("t1")
    use(session, "t1ce")
    assert (imagining.target, imagining.shown) == (None, None)


def test_the_network_runs_ahead_of_the_first_request(
    session: Session, imagining: Imagining, dreamer: Dreamer
) -> None:
    """Once for a study, as soon as there is something to imagine; after a request for each combination, and one run
    serves every target."""

    def ran(*expected: tuple[str, ...]) -> bool:
        deadline = time.monotonic() + 30
        while (imagining._ahead or len(dreamer.ran) < len(expected)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return tuple(dreamer.ran) == expected

    one, two = ("flair", "t2"), ("flair",)
    use(session, *one)
    assert ran(one)
    use(session, *two)
    time.sleep(0.1)
    assert ran(one)
    use(session, *one)
    for target in ("t1ce", "t1"):
        imagining.choose(target)
        assert imagining.wait(30)
    assert ran(one)
    imagining.choose(None)
    use(session, *two)
    assert ran(one, two)
    session.set_study(None)
    assert (imagining._curves, imagining._ahead) == (None, None)


def test_the_pictures_are_cut_out_around_the_brain(session: Session, imagining: Imagining) -> None:
    """All of one shape, within the study's, black outside, as certain as the interval, beside the real scan."""
    use(session, "flair", "t2")
    imagining.choose("t1ce")
    imagining.wait(30)
    one = imagining.shown
    assert one is not None
    assert one.real is not None
    assert one.difference is not None
    shapes = {a.shape for a in (one.middle, one.unsure, one.real, one.difference)}
    assert len(shapes) == 1
    here = tuple(slice(a, a + n) for a, n in zip(one.start, one.middle.shape, strict=True))
    inside = one.imagined.inside
    assert inside[here].sum() == inside.sum()
    assert (one.middle[~inside[here]] == LIMITS[0]).all()
    assert one.middle.min() >= LIMITS[0]
    brain, taken = inside[here], one.study.images["t1ce"].data[here]
    real = np.where(taken != 0, (taken - 300) / 40, 0)
    assert np.allclose(one.difference[brain], (one.imagined.middle[here] - real)[brain], atol=1e-4)
    assert one.unsure_share == pytest.approx(one.imagined.unsure[inside].mean())


def test_likeness_is_of_the_brain_and_of_the_tumour_that_was_found(
    session: Session, imagining: Imagining
) -> None:
    """With the real scan switched off there are PSNR and SSIM; another segmentation has another tumour; without the
    real scan there are none."""
    use(session, "flair", "t2")
    imagining.choose("t1ce")
    imagining.wait(30)
    assert imagining.shown is not None
    first = imagining.shown.likeness
    assert first is not None
    assert set(first) == {"brain", "tumour"}
    assert first["brain"] != first["tumour"]
    session.set_study(made.study(("flair", "t2"), shape=SHAPE))
    session.wait(30)
    assert imagining.choices == ("t1", "t1ce")
    imagining.choose("t1ce")
    imagining.wait(30)
    assert imagining.shown.real is None
    assert imagining.shown.likeness is None


def test_the_newest_request_wins(session: Session, tiny: Model) -> None:
    """While one is under way another target is asked for: the first never appears."""
    began, gate = Event(), Event()

    def held() -> None:
        began.set()
        gate.wait(30)

    imagining = Imagining(session, Dreamer(tiny, held))
    seen = []
    imagining.changed.connect(
        lambda: seen.append(None if imagining.shown is None else imagining.shown.imagined.target)
    )
    use(session, "flair", "t2")
    imagining.choose("t1ce")
    assert began.wait(30)
    imagining.choose("t1")
    gate.set()
    assert imagining.wait(30)
    assert imagining.shown is not None
    assert "t1ce" not in seen
    imagining.choose(None)
    assert imagining.shown is None
    imagining.close()


def test_nothing_of_another_study_is_ever_shown(session: Session, tiny: Model) -> None:
    """Another study is opened while one is imagined, or after: at once nothing is, and what comes late is dropped."""
    began, gate = Event(), Event()

    def held() -> None:
        began.set()
        gate.wait(30)

    dreamer = Dreamer(tiny, held)
    imagining = Imagining(session, dreamer)
    use(session, "flair", "t2")
    imagining.choose("t1ce")
    assert began.wait(30)
    session.set_study(made.study(shape=(8, 9, 10), case="other"), combination=("flair",))
    assert (imagining.target, imagining.shown) == (None, None)
    gate.set()
    session.wait(30)
    imagining.choose("t1")
    assert imagining.wait(30)
    assert imagining.shown is not None
    assert imagining.shown.study is session.study
    session.set_study(None)
    assert (imagining.target, imagining.shown, imagining.choices) == (None, None, ())
    imagining.close()
    assert not imagining._kept


def test_no_prediction_is_made_from_it(session: Session, imagining: Imagining, predictor: Noting) -> None:
    """The study, its images, what is switched on, and the arrays that the predictor is given, are the same before and
    after; all of them are read-only."""
    study = session.study
    assert study is not None
    arrays = {name: id(image.data) for name, image in study.images.items()}
    use(session, "flair", "t2")
    before = predictor.given[-1]
    shown = session.shown
    imagining.choose("t1ce")
    imagining.wait(30)
    assert session.study is study
    assert session.combination == ("flair", "t2")
    assert session.shown is shown
    assert {name: id(image.data) for name, image in study.images.items()} == arrays
    session.cache.clear()
    session.run()
    session.wait(30)
    assert predictor.given[-1] == before
    assert all(set(ids) <= set(arrays.values()) for _, ids in predictor.given)
    assert imagining.shown is not None
    assert not imagining.shown.imagined.middle.flags.writeable
    with pytest.raises(InputError):
        session.use(("flair", "t2", imagining.shown.imagined.title))


def test_an_error_is_a_sentence_and_ends_it(session: Session, tiny: Model) -> None:
    """A network that fails is said once, and nothing is imagined any more; the session goes on."""

    def broken() -> None:
        raise ModelError("The network is damaged; install it anew.")

    imagining = Imagining(session, Dreamer(tiny, broken))
    said: list[str] = []
    imagining.failed.connect(said.append)
    use(session, "flair")
    imagining.choose("t1")
    imagining.wait(30)
    assert said == ["The network is damaged; install it anew."]
    assert (imagining.target, imagining.shown, imagining.busy) == (None, None, False)
    use(session, "t2")
    imagining.close()


def test_the_next_goes_round(session: Session, imagining: Imagining) -> None:
    """From none to each that can be imagined, and back to none."""
    use(session, "flair", "t2")
    seen = []
    for _ in range(3):
        imagining.next()
        seen.append(imagining.target)
    assert seen == ["t1", "t1ce", None]


def test_only_the_networks_task_is_imagined() -> None:
    """Colour and depth have no choices."""
    session = Session(task=RGBD_SOD, device="cpu")
    imagining = Imagining(session)
    assert imagining.choices == ()
    imagining.close()
    session.close()
