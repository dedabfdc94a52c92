"""What can be asked of a model: modalities, regions, labels. A task is data; nothing else names a modality."""

from napari_mrseg.tasks.brats import BRATS
from napari_mrseg.tasks.head import BRAIN
from napari_mrseg.tasks.palette import PALETTES, use_palette
from napari_mrseg.tasks.registry import DEFAULT, GROUP, TASKS, get_task
from napari_mrseg.tasks.scenes import RGBD_SOD, RGBT_SOD, SUNRGBD
from napari_mrseg.tasks.schema import Combination, Label, Modality, Output, Region, Task, key, sized

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
    "get_task",
    "key",
    "sized",
    "use_palette",
]
