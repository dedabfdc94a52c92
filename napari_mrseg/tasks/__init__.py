"""What can be asked of a model: modalities, regions, labels. A task is data; nothing else names a modality."""

from napari_mrseg.tasks.brats import BRATS
from napari_mrseg.tasks.head import BRAIN
from napari_mrseg.tasks.palette import PALETTES, use_palette
from napari_mrseg.tasks.registry import DEFAULT, GROUP, TASKS, get_task
from napari_mrseg.tasks.scenes import RGBD_SOD, RGBT_SOD, SUNRGBD
from napari_mrseg.tasks.schema import Combination, Label, Modality, Output, Region, Task, key, sized
from napari_mrseg.tasks.task_file import document_of, task_of_document

__all__ = [
    "BRAIN",
    "BRATS",
    "DEFAULT",
    "GROUP",
    "PALETTES",
    "RGBD_SOD",
    "RGBT_SOD",
    "SUNRGBD",
    "TASKS",
    "Combination",
    "Label",
    "Modality",
    "Output",
    "Region",
    "Task",
    "document_of",
    "get_task",
    "key",
    "sized",
    "task_of_document",
    "use_palette",
]
