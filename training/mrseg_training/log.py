"""What a run says: lines of JSON in one file, progress, a picture of its losses, and trackers if wanted."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mrseg_training.curves import write_curves
from mrseg_training.trackers import open_trackers
from napari_mrseg.errors import InputError

Event = Mapping[str, Any]
Report = Callable[[Event], None]


@dataclass(frozen=True)
class Count:
    """How many of the subjects are done, and how many ``seconds`` are left, if that is known.

    As text a line for people, e.g. "prepared 3 of 7 subjects".
    """

    verb: str
    done: int
    total: int
    seconds: float | None = None

    def __str__(self) -> str:
        left = f", {in_words(self.seconds)} left" if self.seconds else ""
        return f"{self.verb} {self.done} of {self.total} subjects{left}"


def in_words(seconds: float) -> str:
    """A time to wait, e.g. "about 3 min"."""
    if seconds < 60:
        return f"about {max(1, round(seconds))} s"
    if seconds < 3600:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


Say = Callable[[Count | str], None]


def silent(_: Count | str) -> None:
    """Say nothing."""


class Log:
    """``log.jsonl`` in ``folder``: one event a line, with its ``kind`` and the time. Events go to ``report`` too."""

    def __init__(
        self,
        folder: Path,
        report: Report | None = None,
        *,
        trackers: tuple[str, ...] = (),
        settings: Mapping[str, Any] | None = None,
        active: bool = True,
    ) -> None:
        """``trackers``: names of :data:`.trackers.TRACKERS`, which show ``settings``. Not ``active``: nothing kept."""
        self.path, self.report, self.active = folder / "log.jsonl", report, active
        self._trackers = open_trackers(trackers, folder, settings or {}) if active else []

    def __call__(self, kind: str, **values: Any) -> None:
        """Record an event. Numbers also go to the trackers, under the stage's name."""
        if not self.active:
            return
        event = {"kind": kind, "time": round(time.time(), 3), **values}
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
        except OSError as error:
            raise InputError(
                f"{self.path.name} cannot be written ({error.strerror}); make room and resume."
            ) from None
        if self._trackers and "step" in values:
            for name, value in values.items():
                if isinstance(value, (int, float)) and name not in ("step", "steps"):
                    for tracker in self._trackers:
                        tracker.scalar(f"{values.get('stage', '')}/{kind}/{name}", value, values["step"])
        if self.report is not None:
            self.report(event)

    def picture(self, name: str, picture: Callable[[], Tensor], step: int) -> None:
        """Give a (3, H, W) picture to the trackers; it is made only if there are any."""
        if self._trackers:
            made = picture()
            for tracker in self._trackers:
                tracker.picture(name, made, step)

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()
        if self.active:
            write_curves(self.path.parent)
        if isinstance(self.report, Progress):
            self.report.close()


def to_people() -> Report:
    """What shows a run's events on stderr: a line that moves in a terminal, else plain lines every so often."""
    return Progress() if sys.stderr.isatty() else Lines()


class Lines:
    """Plain lines for a file or a job's log: each stage's first and last step, and one every ``every`` seconds."""

    def __init__(self, every: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.every, self.clock = every, clock
        self._last_line = -math.inf
        self._began = (0.0, 0.0)  # the time and how much was done when the stage at hand began
        self._of = ""

    def __call__(self, event: Event) -> None:
        kind = event["kind"]
        if kind in ("step", "start", "prepare"):
            self._progress(event, event.get("stage", "data"))
        elif kind == "finished":
            self._say(f"{event['stage']}: finished after {event['steps']} steps, {event['seconds']:.0f} s")
        elif kind == "validation":
            self._say(
                f"{event['stage']}: step {event['step']}, score {event['score']:.4f}, best {event['best']:.4f}"
            )
        elif "message" in event:
            self._say(event["message"])

    def _progress(self, event: Event, name: str) -> None:
        now, step, steps = self.clock(), event["step"], event["steps"]
        done = event.get("done", step / steps if steps else 0.0)
        fresh = name != self._of
        if fresh:
            self._of, self._began = name, (now, done)
        if not fresh and now - self._last_line < self.every and done < 1:
            return
        self._last_line = now
        count = f"{step} of {steps}" if steps else f"step {step}"
        parts = [f"{name}: {count}"]
        if event["kind"] == "step":
            parts += [f"loss {event['loss']:.3f}", f"{event['rate']:.2f} steps/s"]
        began, before = self._began
        if 0 < done < 1 and done > before:
            parts.append(f"{in_words((now - began) / (done - before) * (1 - done))} left")
        self._say(", ".join(parts))

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Progress:
    """One line with stage, step, rate and time left; a :data:`Report`."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task: Any = None
        self._of: str = ""

    def __call__(self, event: Event) -> None:
        kind = event["kind"]
        if kind in ("step", "start", "prepare"):
            name = event.get("stage", "data")
            if self._of != name:
                self._bar.start()
                self._task = self._bar.add_task(name, total=1.0, count="", note="")
                self._of = name
            step, steps = event["step"], event["steps"]
            done = event.get("done", step / steps if steps else 0.0)  # minutes are given instead of steps
            note = f"loss {event['loss']:.3f}  {event['rate']:.2f} steps/s" if kind == "step" else ""
            count = f"{step}/{steps}" if steps else f"step {step}"
            self._bar.update(self._task, completed=done, count=count, note=note)
        elif "message" in event:
            self._bar.console.print(event["message"])

    def close(self) -> None:
        """Give the terminal its cursor back."""
        self._bar.stop()
