"""The tasks there are: our own, those of other packages, those of YAML files and of model folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_mrseg.errors import InputError
from napari_mrseg.tasks.brats import BRATS
from napari_mrseg.tasks.head import BRAIN
from napari_mrseg.tasks.scenes import RGBD_SOD, RGBT_SOD, SUNRGBD
from napari_mrseg.tasks.schema import Task
from napari_mrseg.tasks.task_file import fault_of, read_task

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "napari_mrseg.tasks"
"""Entry points by which another package gives a task, e.g. ``mytask = "mypackage:MYTASK"`` in its pyproject.toml."""
FILES = "MRSEG_TASKS"
"""Environment variable with YAML files of tasks that are known by their names, as in PATH. Child processes get it."""
ENDINGS = (".yaml", ".yml")


class _Tasks(Mapping[str, Task]):
    """Our own tasks by name, then those of other packages and of files, read when they are asked for."""

    def __init__(self, *own: Task) -> None:
        self._read = {task.name: task for task in own}
        self._own = tuple(self._read)
        self._files: set[str] = set()

    def __getitem__(self, name: str) -> Task:
        if name not in self._read:
            others = self._others()
            if name not in others:
                self._read_files()
            self._read[name] = self._read[name] if name in self._read else _loaded(others[name])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        self._read_files()
        return iter(dict.fromkeys((*self._own, *self._others(), *self._read)))

    @property
    def built_in(self) -> tuple[str, ...]:
        """Names of our own, which no other task can take."""
        return self._own

    def learn(self, task: Task, where: str) -> Task:
        """Make ``task`` known; the one of its name, if that is known already and serves the same networks.

        Raises InputError if the two differ in what a network depends on.
        """
        if task.name not in self:
            self._read[task.name] = task
            return task
        known = self[task.name]
        for what, own, theirs in zip(_DECISIVE, _decisive(task), _decisive(known), strict=True):
            if own != theirs:
                raise InputError(
                    f"{where}: another task is called “{task.name}” here, with other {what}; give this one another "
                    "name."
                )
        return known

    def _read_files(self) -> None:
        """The files that the environment names."""
        for name in filter(None, os.environ.get(FILES, "").split(os.pathsep)):
            if name not in self._files:
                self._files.add(name)
                task = read_task(name)
                self._read.setdefault(task.name, task)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _others(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points  # slow, and most runs ask for a task of our own

        return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in self._own}


def _loaded(entry: EntryPoint) -> Task:
    """Raises InputError that names the package, if it gives no task of that name."""
    where = f"The task “{entry.name}” comes from {entry.value}"
    try:
        found = entry.load()
    except Exception as error:
        raise InputError(f"{where}, which cannot be loaded ({error}); fix or remove that package.") from error
    if not isinstance(found, Task):
        raise InputError(f"{where}, which is no Task; fix or remove that package.")
    if found.name != entry.name:
        raise InputError(f"{where}, whose own name is “{found.name}”; give both the same name.")
    wrong = fault_of(found)
    if wrong is not None:
        raise InputError(f"{where}, which cannot be used ({wrong}); fix or remove that package.")
    return found


_DECISIVE = ("modalities", "regions", "nested", "output", "ndim", "fill")


def _decisive(task: Task) -> tuple[object, ...]:
    """What a network depends on, by :data:`_DECISIVE`: not words, titles and colours."""
    modalities = tuple((m.name, m.channels) for m in task.modalities)
    regions = tuple((r.name, r.codes, r.paints) for r in task.regions)
    return modalities, regions, task.nested, task.output, task.ndim, task.fill


TASKS = _Tasks(BRATS, RGBD_SOD, RGBT_SOD, SUNRGBD, BRAIN)
DEFAULT = BRATS
"""The task where nothing says which one is meant."""


def get_task(name: str | Path) -> Task:
    """The task of that name, or in that YAML file, whose name is known from then on, in child processes too.

    Raises InputError that lists the known names, or says what is wrong with the file.
    """
    if str(name).lower().endswith(ENDINGS):
        path = Path(name).expanduser()
        task = TASKS.learn(read_task(path), path.name)
        listed = [one for one in os.environ.get(FILES, "").split(os.pathsep) if one]
        if task.name not in TASKS.built_in and str(path.absolute()) not in listed:
            os.environ[FILES] = os.pathsep.join([*listed, str(path.absolute())])
        return task
    try:
        return TASKS[str(name)]
    except KeyError:
        raise InputError(
            f"Unknown task “{name}”; known: {', '.join(TASKS)}, or give a task's YAML file."
        ) from None
