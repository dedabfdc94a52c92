"""From settings to prepared subjects: find, split, prepare, open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mrseg_training.data.growing_pool import GrowingPool
from mrseg_training.data.prepared import Cached, Volumes, fill_cache
from mrseg_training.data.splits import Split, draw_fold, draw_split, read_split, write_split
from mrseg_training.data.subjects import Files, Source, find_folders, open_source
from mrseg_training.log import Count, Log
from mrseg_training.perturb import mix
from mrseg_training.settings import Config
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import get_task


@dataclass
class Data:
    """The subjects of a run, prepared."""

    train: Volumes
    validation: Volumes | None
    split: Split
    unlabelled: Volumes | None = None


def find_data(config: Config) -> tuple[Source, Split]:
    """The subjects and who trains. Reads names alone and writes nothing. Raises InputError."""
    source = open_source(config.data, get_task(config.task))
    if config.data.split is not None:
        split: Split = read_split(config.data.split.expanduser(), source.ids)
    elif config.data.folds is not None:
        part = config.data
        split = draw_fold(source.ids, config.data.folds, part.fold, part.proportions, config.seed)
    elif source.split is not None:
        split = source.split
    else:
        split = draw_split(source.ids, config.data.proportions, config.seed)
    if not split["train"]:
        raise InputError("The split leaves no subject for training; change data.proportions or data.split.")
    return source, split


def prepare_data(config: Config, source: Source, split: Split, out: Path, log: Log, fabric: Any) -> Data:
    """Prepare and open the subjects. The first process prepares, the others wait."""
    folder = (config.data.cache or out / "cache").expanduser()

    def show_progress(what: Count | str) -> None:
        if isinstance(what, str):
            log("data", message=what)
        elif log.report is not None:
            log.report({"kind": "prepare", "step": what.done, "steps": what.total})

    if fabric.global_rank == 0:
        write_split(split, out / "split")
    everyone = [subject for group in ("train", "validation") for subject in split[group]]
    with fabric.rank_zero_first():
        cached = fill_cache(
            source,
            everyone,
            folder,
            skip_bad=config.data.skip_bad,
            workers=config.data.workers,
            say=show_progress,
        )
    by_subject = {c.subject: c for c in cached}

    def volumes(group: str) -> Volumes | None:
        there = [by_subject[s] for s in split[group] if s in by_subject]
        return Volumes(there, config.data.in_memory, fabric.world_size) if there else None

    train = [by_subject[s] for s in split["train"] if s in by_subject]
    if not train:
        raise InputError(f"None of the training subjects can be used; see {folder / 'problems.txt'}.")
    chosen = labelled([c.subject for c in train], config.data.labelled_share, config.seed)
    others = [c for c in train if c.subject not in chosen] + _unlabelled(
        config, folder / "unlabelled", fabric
    )
    hidden = Volumes(others, config.data.in_memory, fabric.world_size, labelled=False) if others else None
    known: Volumes
    grow = config.data.simulate.grow
    if config.data.source == "simulated" and grow:
        draws = fabric.global_rank == 0
        known = GrowingPool(
            train, source, folder, grow, config.data.in_memory, fabric.world_size, draws=draws
        )
    else:
        known = Volumes([c for c in train if c.subject in chosen], config.data.in_memory, fabric.world_size)
    return Data(known, volumes("validation"), split, hidden)


def labelled(subjects: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """Which subjects keep their segmentation: at least one, more of them with a larger share of the same seed."""
    draw = torch.Generator().manual_seed(mix(seed, len(subjects)))
    order = torch.randperm(len(subjects), generator=draw).tolist()
    return frozenset(subjects[i] for i in order[: max(1, round(share * len(subjects)))])


def _unlabelled(config: Config, folder: Path, fabric: Any) -> list[Cached]:
    part, data = config.data.unlabelled, config.data
    if part is None:
        return []
    task = get_task(config.task)
    source = Files(
        find_folders(part.path.expanduser(), part.pattern, task), task, data.spacing, labelled=False
    )
    with fabric.rank_zero_first():
        return fill_cache(source, source.ids, folder, skip_bad=data.skip_bad, workers=data.workers)
