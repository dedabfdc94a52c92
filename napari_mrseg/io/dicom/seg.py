"""A segmentation as DICOM SEG: a segment for each region, on the frames of the series it belongs to.

As the standard asks, the file carries the patient's name and number of that series: it is filed with them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io.dicom.archive import quiet
from napari_mrseg.io.dicom.index import BROKEN, look_up
from napari_mrseg.io.dicom.read import LPS, whole_frames
from napari_mrseg.study import Source
from napari_mrseg.tasks import Region, Task

ENDING = ".dcm"
SERIES_NUMBER = 9000  # above those of scanners


def check_writable() -> None:
    """Raises InputError if the package that writes DICOM SEG is not installed; asked before anything is computed."""
    if find_spec("highdicom") is None:
        raise InputError(
            'Writing DICOM SEG needs highdicom, which is not installed; pip install "napari-mrseg[dicom]", '
            "or save as NIfTI."
        )


def encode_seg(
    labels_ipl: npt.NDArray[np.integer[Any]],
    source: Source,
    task: Task,
    combination: Sequence[str],
    model: Mapping[str, Any],
    *,
    edited: bool = False,
) -> bytes:
    """The file's content. ``labels_ipl``: (I, P, L) codes on the grid of ``source``, a series.

    ``edited``: they were changed by hand, and the file says so.

    Raises InputError if ``source`` is none, its files are no longer there, or highdicom is not installed.
    """
    check_writable()
    import pydicom
    from highdicom import UID, AlgorithmIdentificationSequence, Volume
    from highdicom.seg import Segmentation, SegmentDescription

    with quiet():
        series = look_up(source.path)
        frames = whole_frames(series)
        labels = source.from_ipl(labels_ipl)  # column, row, slice
        planes = np.moveaxis(labels, (0, 1, 2), (2, 1, 0))
        masks = np.stack([np.isin(planes, region.codes) for region in task.regions], axis=-1).astype(np.uint8)
        datasets = []
        for member in dict.fromkeys(frame.member for frame in frames):
            try:
                header = pydicom.dcmread(io.BytesIO(member.read()), stop_before_pixels=True, force=True)
                datasets.append(_shared(header))
            except BROKEN:
                raise InputError(
                    f"{source.path.name}: one of its files cannot be read any more; check the drive."
                ) from None
        who = f"{model['name']} {model['version']}"
        algorithm = AlgorithmIdentificationSequence(
            name=f"{who} with {'+'.join(combination)}",
            family=_code(("123110", "DCM", "Artificial Intelligence")),
            version=str(model["version"]),
        )
        descriptions = [
            SegmentDescription(
                segment_number=number,
                segment_label=f"{region.name}: {region.title}",
                segmented_property_category=_code(("49755003", "SCT", "Morphologically Abnormal Structure")),
                segmented_property_type=_code(region.code or ("52988006", "SCT", "Lesion")),
                algorithm_type="SEMIAUTOMATIC" if edited else "AUTOMATIC",
                algorithm_identification=algorithm,
                display_color=_colour(region, task),
            )
            for number, region in enumerate(task.regions, start=1)
        ]
        # highdicom's axes: slice, row, column; its world is DICOM's.
        affine = (LPS @ source.grid.matrix)[:, [2, 1, 0, 3]]
        try:
            volume = Volume(
                masks, affine, "PATIENT", channels={"SegmentNumber": range(1, masks.shape[-1] + 1)}
            )
            segmentation = Segmentation(
                source_images=datasets,
                pixel_array=volume,
                segmentation_type="BINARY",
                segment_descriptions=descriptions,
                series_instance_uid=UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=UID(),
                instance_number=1,
                manufacturer="napari-mrseg",
                manufacturer_model_name=str(model["name"]),
                software_versions=version("napari-mrseg"),
                device_serial_number="0",
                content_label="RESEARCH_ONLY",
                content_description=f"{'edited, ' if edited else ''}{who}, {'+'.join(combination)}"[:64],
                series_description="MRSeg, research use only",
                omit_empty_frames=bool(masks.any()),
            )
        except BROKEN as error:
            raise InputError(
                f"{source.path.name}: its headers do not allow a DICOM SEG ({_one_line(error)}); write NIfTI instead."
            ) from None
        content = io.BytesIO()
        segmentation.save_as(content, enforce_file_format=True)
        return content.getvalue()


def _shared(header: Any) -> Any:
    """With what all frames of an enhanced file have in common where highdicom looks for it."""
    own = header.get("PerFrameFunctionalGroupsSequence")
    if own and header.get("SharedFunctionalGroupsSequence"):
        for name in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
            if name not in header.SharedFunctionalGroupsSequence[0] and name in own[0]:
                setattr(header.SharedFunctionalGroupsSequence[0], name, own[0][name].value)
    return header


def _code(of: tuple[str, str, str]) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(*of)


def _colour(region: Region, task: Task) -> Any:
    from highdicom.color import CIELabColor

    code = next(label.colour for label in task.labels if label.code == region.paints)
    return CIELabColor.from_rgb(*(int(code[i : i + 2], 16) for i in (1, 3, 5)))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
