"""Which subject is for training, validation and test: text files of ids, given or drawn once from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from mrseg_training.perturb import mix
from napari_mrseg.errors import InputError

GROUPS = ("train", "validation", "test")
_FILES = {"train": ("train.txt",), "validation": ("validation.txt", "val.txt"), "test": ("test.txt",)}
Split = Mapping[str, Sequence[str]]


def draw_split(ids: Sequence[str], proportions: Sequence[float], seed: int) -> dict[str, list[str]]:
    """A split of sorted ``ids`` drawn from ``seed``.

    ``proportions`` are numbers of subjects if they sum to the number of ids, as (219, 50, 100) of BraTS 2020, else
    shares; rounding goes to training.
    """
    total = sum(proportions)
    sizes = [int(len(ids) * share / total) for share in proportions]
    sizes[0] = len(ids) - sizes[1] - sizes[2]
    generator = torch.Generator().manual_seed(mix(seed, 0x5B117))
    order = [sorted(ids)[i] for i in torch.randperm(len(ids), generator=generator).tolist()]
    split, start = {}, 0
    for group, size in zip(GROUPS, sizes, strict=True):
        split[group] = sorted(order[start : start + size])
        start += size
    return split


def draw_fold(
    ids: Sequence[str], folds: int, fold: int, proportions: Sequence[float], seed: int
) -> dict[str, list[str]]:
    """The split of one of so many ``folds`` (``fold`` from 0): each id is in the test list of exactly one of them.

    The first two ``proportions`` divide the others into training and validation. All folds of one ``seed`` go together.
    Raises InputError for more folds than ids.
    """
    if folds > len(ids):
        raise InputError(f"{folds} folds need as many subjects, and there are {len(ids)}; lower data.folds.")
    generator = torch.Generator().manual_seed(mix(seed, 0xF01D))
    order = [sorted(ids)[i] for i in torch.randperm(len(ids), generator=generator).tolist()]
    test = order[fold::folds]
    others = [subject for subject in order if subject not in set(test)]
    share = proportions[1] / (proportions[0] + proportions[1])
    held = int(len(others) * share)
    return {"train": sorted(others[held:]), "validation": sorted(others[:held]), "test": sorted(test)}


def read_split(folder: Path, ids: Sequence[str]) -> dict[str, list[str]]:
    """The split in ``folder``: train.txt, validation.txt (or val.txt), test.txt, one id a line, # begins a comment.

    validation and test may be missing. Raises InputError for an id that is unknown or in two groups.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; a split is a folder with train.txt and test.txt.")
    split: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    known = set(ids)
    for group in GROUPS:
        names = [name for name in _FILES[group] if (folder / name).is_file()]
        path = folder / (names or _FILES[group])[0]
        split[group] = []
        if not path.is_file():
            if group == "train":
                raise InputError(f"{folder} has no train.txt; write one id a line.")
            continue
        for subject in read_ids(path):
            if subject not in known:
                raise InputError(
                    f"{path.name} names {subject}, which the data set does not have; take it out."
                )
            if subject in seen:
                raise InputError(f"{subject} is in {seen[subject]}.txt and in {path.name}; keep one.")
            seen[subject] = group
            split[group].append(subject)
    return split


def read_ids(path: Path) -> list[str]:
    """The ids of a text file, one a line, # begins a comment. Raises InputError if it is no such list."""
    lines = (line.split("#")[0].strip() for line in _text(path).splitlines())
    return [line for line in lines if line]


def _text(path: Path) -> str:
    """The list's text, whatever editor wrote it. Raises InputError if it is none."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}); check it.") from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not text in UTF-8; save it so.") from None
    if "\0" in text:
        raise InputError(f"{path.name} is not a list of ids; write one id a line, in UTF-8.")
    return text


def write_split(split: Split, folder: Path) -> None:
    """Write ``split`` as :func:`read_split` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for group in GROUPS:
        text = "".join(f"{subject}\n" for subject in split.get(group, ()))
        (folder / f"{group}.txt").write_text(text, encoding="utf-8")
