"""Files that come with the package: the bundled models, the networks that find the brain and imagine, the samples."""

from __future__ import annotations

from pathlib import Path

from napari_mrseg.errors import InputError
from napari_mrseg.tasks import BRATS, DEFAULT, RGBD_SOD, Task

HERE = Path(__file__).parent
BRAIN_MODEL = HERE / "brain"
IMAGINING_MODEL = HERE / "imagining"
SAMPLES = {BRATS.name: HERE / "sample", RGBD_SOD.name: HERE / "sample-scene"}


def sample_study(task: Task = DEFAULT) -> Path:
    """Folder of the bundled study for ``task``. It is made up. Raises InputError if there is none."""
    if task.name not in SAMPLES:
        raise InputError(
            f"No sample comes with the task {task.name}, only with {', '.join(SAMPLES)}; open files of your own."
        )
    return SAMPLES[task.name]
