"""The tasks there are: our own, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from napari_mrseg.errors import InputError
from napari_mrseg.tasks.brats import BRATS
from napari_mrseg.tasks.head import BRAIN
from napari_mrseg.tasks.scenes import RGBD_SOD, RGBT_SOD, SUNRGBD
from napari_mrseg.tasks.schema import Task

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "napari_mrseg.tasks"
"""Entry points by which another package gives a task, e.g. ``mytask = "mypackage:MYTASK"`` in its pyproject.toml."""


class _Tasks(Mapping[str, Task]):
    """Our own tasks by name, then those of other packages, read when they are asked for."""

    def __init__(self, *own: Task) -> None:
        self._read = {task.name: task for task in own}
        self._own = tuple(self._read)

    def __getitem__(self, name: str) -> Task:
        if name not in self._read:
            self._read[name] = _loaded(self._others()[name])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._own, *self._others())))

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
    return found


TASKS: Mapping[str, Task] = _Tasks(BRATS, RGBD_SOD, RGBT_SOD, SUNRGBD, BRAIN)
DEFAULT = BRATS
"""The task where nothing says which one is meant."""


def get_task(name: str) -> Task:
    """The task of that name. Raises InputError that lists the known ones."""
    try:
        return TASKS[name]
    except KeyError:
        raise InputError(f"Unknown task “{name}”; known: {', '.join(TASKS)}.") from None
