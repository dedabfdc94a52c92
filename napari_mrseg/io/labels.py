"""Codes of a segmentation file -> the task's, and whether they are the task's at all.

Data sets number the same tissues differently. A scheme says how; it is stated by its name (``--labels msd``), never
guessed, but noticed: a task knows which of its codes lies outermost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_mrseg.errors import InputError, LabelCodesError
from napari_mrseg.study import Note, Reference
from napari_mrseg.tasks import Task

SCHEME = "label_scheme"
"""Code of the note about a file whose codes look like another scheme's."""
STATED = "reference_scheme"
"""Code of the note that says by which other scheme a reference was read."""
CODES_OPTION = "labels"
"""The option of ``open_study`` by which a reference's codes are stated."""
MOST_BETWEEN = 0.5  # of a label map's voxels beside 0 that resampling may put between two codes
MOST_CODES = 30  # of a label map of a finding; a scan or a probability map has more
MOST = 0.5  # of the finding's surface: the outermost code has more of it (0.64 or more in eleven gliomas)


def task_codes(
    path: Path, data: npt.NDArray[np.float32], task: Task, scheme: str | None = None
) -> npt.NDArray[np.uint8]:
    """The file's values as codes of ``task``.

    Raises LabelCodesError for values that are no codes of it or of ``scheme``, InputError for what are no codes at all.
    """
    whole = np.rint(data)
    between = np.abs(data - whole) > 0.01
    share = float(between.sum()) / max(1, int((data != 0).sum()))
    if share > MOST_BETWEEN:
        raise InputError(
            f"{path.name} is no label map: it holds values between the label codes ({data.min():.3g} to "
            f"{data.max():.3g}, {share:.0%} of those beside 0), as a probability map or a scan does; give the "
            "segmentation itself."
        )
    if between.any():
        raise InputError(
            f"{path.name} holds values between the label codes; resample masks with nearest neighbours."
        )
    codes = {int(code) for code in np.unique(whole)} - {0}
    if len(codes) > MOST_CODES:
        raise InputError(
            f"{path.name} is no label map of {task.finding}: it holds {len(codes)} different values ({min(codes)} to "
            f"{max(codes)}), as a probability map, a scan or a map of organs does; give the segmentation itself."
        )
    renamed = _renamed(path, codes, task) if scheme is None else _scheme(path, codes, task, scheme)
    labels = np.zeros(whole.shape, dtype=np.uint8)
    for old, new in renamed.items():
        if new:
            labels[whole == old] = new
    return labels


def codes_in_words(task: Task, scheme: str | None = None) -> str:
    """What the codes of ``scheme`` (default: the task's own) stand for."""
    if scheme in (None, task.name):
        return ", ".join(f"{label.code} {label.name}" for label in task.labels)
    return ", ".join(f"{old} → {_name(task, new)}" for old, new in dict(task.schemes)[scheme])


def codes_in(data: npt.NDArray[np.float32]) -> frozenset[int]:
    """The codes that a file holds, 0 left out."""
    return frozenset(int(code) for code in np.unique(np.rint(data))) - {0}


def scheme_note(path: Path, reference: Reference, task: Task, scheme: str | None = None) -> Note | None:
    """By which ``scheme`` it was read; of one read by the task's own without a word, what speaks against that."""
    if scheme is not None:
        if scheme == task.name:
            return None
        message = f"{path.name} is read in the codes of {scheme} ({codes_in_words(task, scheme)})."
        return Note(STATED, message, file=path.name)
    outermost = task.outermost
    labels = reference.labels
    if outermost is None or not labels.any() or not task.schemes:
        return None
    names = ", ".join(name for name, _ in task.schemes)
    if len(reference.codes) == 1:
        (code,) = reference.codes
        return Note(
            SCHEME,
            f"{path.name} holds the code {code} alone, which is {_name(task, int(labels.max()))} here: if it is a mask "
            f"of {task.finding} as a whole, say so (--labels whole; in the window, a button).",
            mend=CODES_OPTION,
        )
    inside = labels > 0
    surface = ndimage.binary_dilation(~inside) & inside
    share = np.bincount(labels[surface], minlength=256) / surface.sum()
    found = int(share.argmax())
    if found == outermost or share[found] <= MOST:
        return None
    return Note(
        SCHEME,
        f"{path.name}: what is read as {_name(task, found)} lies outermost, where {_name(task, outermost)} should: its "
        f"codes may be in another order; say which (--labels, one of {names}; in the window, a button).",
        mend=CODES_OPTION,
    )


def mixed_note(codes: Mapping[str, Iterable[int]], task: Task) -> Note | None:
    """What a data set says by its subjects' codes together: an old code and the one that it stands for, mixed."""
    for old, new in task.aliases:
        olds = [subject for subject, found in codes.items() if old in found]
        news = [subject for subject, found in codes.items() if new in found]
        if olds and news:
            return Note(
                "label_codes_mixed",
                f"{len(olds)} subjects ({olds[0]}, …) have the code {old} and {len(news)} ({news[0]}, …) the code "
                f"{new}; both are read as {_name(task, new)}.",
            )
    return None


def _renamed(path: Path, codes: set[int], task: Task) -> dict[int, int]:
    """The task's own codes, aliases applied."""
    allowed = {label.code for label in task.labels}
    for old, new in task.aliases:
        if old in codes and new in codes:
            # BraTS 2024's resection cavity, or BraTS 2015's four classes: the alias would be wrong there.
            hint = (
                f" or say which (--labels, one of {', '.join(n for n, _ in task.schemes)}; in the window, a button)"
                if task.schemes
                else ""
            )
            raise LabelCodesError(
                f"{path.name} holds code {old} as well as {new}, so {old} means something else; relabel it{hint}."
            )
    renamed = {code: dict(task.aliases).get(code, code) for code in codes}
    _refuse(path, [code for code, new in renamed.items() if new not in allowed], task)
    return renamed


def _scheme(path: Path, codes: set[int], task: Task, scheme: str) -> dict[int, int]:
    known = dict(task.schemes)
    if scheme == task.name:
        return _renamed(path, codes, task)
    if scheme not in known:
        raise InputError(
            f"“{scheme}” is no scheme of labels for {task.name}; known: {', '.join([task.name, *known])}."
        )
    renamed = dict(known[scheme])
    _refuse(path, [code for code in codes if code not in renamed], task, scheme)
    return {code: renamed[code] for code in codes}


def _refuse(path: Path, unknown: Iterable[int], task: Task, scheme: str | None = None) -> None:
    wrong = sorted(unknown)
    if not wrong:
        return
    shown = ", ".join(map(str, wrong[:5])) + (", …" if len(wrong) > 5 else "")
    known = codes_in_words(task, scheme)
    raise LabelCodesError(
        f"{path.name} holds the code {shown}, which {scheme or task.name} does not have ({known}); relabel it."
    )


def _name(task: Task, code: int) -> str:
    return next((label.name for label in task.labels if label.code == code), "nothing")
