"""Writing a session's predictions as label files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mrseg.errors import InputError
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.study import Study

if TYPE_CHECKING:
    from napari_mrseg.models.store import About


def save_results(
    study: Study, model: About, predictions: Sequence[Prediction], out: Path, **options: Any
) -> dict[str, Any]:
    """Write label files and result.json into ``out``, with Dice, diameters and trust, and return the document.

    ``options`` are :func:`~napari_mrseg.io.export.write_results`'s. Raises InputError for a prediction that is not of
    ``study`` and ``model``.
    """
    from napari_mrseg.compare import dice_to_reference
    from napari_mrseg.compare.comparison import trust_in
    from napari_mrseg.compare.diameters import diameters_of
    from napari_mrseg.io.export import write_results

    for p in predictions:  # the folder was chosen in a dialog; much may have happened meanwhile
        if p.model["sha256"] != model.sha256 or p.digest != study.only(p.combination).digest:
            raise InputError(
                f"{p.key} of {p.case} is not of the study and model that are open now; save again."
            )
    return write_results(
        study,
        predictions,
        out,
        model=model.info,
        dice=dice_to_reference(study),
        diameters=diameters_of,
        trust=trust_in(study),
        **options,
    )
