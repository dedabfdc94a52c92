"""From settings to prepared subjects: find, split, prepare, open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrseg_training.data.cache import Volumes, fill_cache
from mrseg_training.data.splits import Split, draw_split, read_split, write_split
from mrseg_training.data.subjects import open_source
from mrseg_training.log import Count, Log
from mrseg_training.settings import Config
from napari_mrseg.errors import InputError
from napari_mrseg.tasks import get_task


@dataclass
class Data:
    """The subjects of a run, prepared."""

    train: Volumes
    validation: Volumes | None
    split: Split


def prepare_data(config: Config, out: Path, log: Log, fabric: Any) -> Data:
    """Find, split, prepare and open the subjects. The first process prepares, the others wait."""
    task = get_task(config.task)
    source = open_source(config.data, task)
    folder = (config.data.cache or out / "cache").expanduser()
    if config.data.split is not None:
        split: Split = read_split(config.data.split.expanduser(), source.ids)
    elif source.split is not None:
        split = source.split
    else:
        split = draw_split(source.ids, config.data.proportions, config.seed)
    if not split["train"]:
        raise InputError("The split leaves no subject for training; change data.proportions or data.split.")

    def said(count: Count) -> None:
        if log.report is not None:
            log.report({"kind": "prepare", "step": count.done, "steps": count.total})

    if fabric.global_rank == 0:
        write_split(split, out / "split")
    everyone = [subject for group in ("train", "validation") for subject in split[group]]
    with fabric.rank_zero_first():
        cached = fill_cache(
            source, everyone, folder, skip_bad=config.data.skip_bad, workers=config.data.workers, say=said
        )
    by_subject = {c.subject: c for c in cached}

    def volumes(group: str) -> Volumes | None:
        there = [by_subject[s] for s in split[group] if s in by_subject]
        return Volumes(there, config.data.in_memory, fabric.world_size) if there else None

    first = volumes("train")
    if first is None:
        raise InputError(f"None of the training subjects can be used; see {folder / 'problems.txt'}.")
    return Data(first, volumes("validation"), split)
