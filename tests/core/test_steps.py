"""Steps between reading and the network: applied in order, recorded, part of a study's identity and of results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from synthetic import save_nifti
from tiny import study

from napari_mrseg import cli
from napari_mrseg.degrade import Degrade, degrade_study
from napari_mrseg.errors import InputError
from napari_mrseg.io import open_study
from napari_mrseg.models.store import Model
from napari_mrseg.steps import Outcome, Step, take
from napari_mrseg.study import AppliedStep, Image, Note
from napari_mrseg.tasks import BRATS, Task


@dataclass(frozen=True)
class Scale(Step):
    """Multiply every image."""

    factor: float
    name = "scale"

    def apply(self, images: Mapping[str, Image], task: Task) -> Outcome:
        changed = {
            n: self.changed(i, i.data * np.float32(self.factor), voxels=i.data.size)
            for n, i in images.items()
        }
        return changed, (Note("scaled", f"Scaled by {self.factor:g}."),)


def test_steps_are_taken_in_order_and_recorded() -> None:
    """Voxels change, each image says what was done to it with which settings and findings, notes are kept."""
    before = study(["flair", "t1"])
    after = take(before, [Scale(2.0), Degrade("t1", "noise", 0.5), Scale(0.5)])
    assert np.array_equal(after.images["flair"].data, before.images["flair"].data)
    assert not np.array_equal(after.images["t1"].data, before.images["t1"].data)
    assert [step.name for step in after.images["flair"].steps] == ["scale", "scale"]
    assert [step.name for step in after.images["t1"].steps] == ["scale", "degrade", "scale"]
    size = before.images["t1"].data.size
    assert json.loads(after.images["t1"].steps[0].settings) == {"factor": 2.0, "voxels": size}
    assert [note.code for note in after.notes] == ["scaled", "degraded", "scaled"]
    assert [step.name for step in after.only(["flair"]).images["flair"].steps] == ["scale", "scale"]


def test_a_step_and_its_settings_are_part_of_the_identity() -> None:
    """Another step, setting or order gives another digest, the same ones the same, none the file's own."""
    plain = study(["flair"])
    chains: list[list[Step]] = [
        [],
        [Scale(2.0)],
        [Scale(3.0)],
        [Scale(2.0), Degrade("flair", "noise", 0.5)],
        [Degrade("flair", "noise", 0.5), Scale(2.0)],
    ]
    digests = [take(plain, chain).digest for chain in chains]
    assert len(set(digests)) == len(chains)
    assert digests == [take(plain, chain).digest for chain in chains]
    assert digests[0] == plain.digest
    assert Degrade("flair", "noise", 0.0).apply(plain.images, BRATS) == (
        {},
        (),
    )  # nothing done, nothing recorded


def test_a_degraded_study_is_a_step_away() -> None:
    """What the window does on purpose is the same step."""
    plain = study(["flair"])
    assert (
        degrade_study(plain, {"flair": ("blur", 0.3)}).digest
        == take(plain, [Degrade("flair", "blur", 0.3)]).digest
    )
    with pytest.raises(InputError, match="is no degradation"):
        take(plain, [Degrade("flair", "rust", 0.3)])


def test_a_file_can_be_opened_with_other_steps(make_study) -> None:
    """Steps are the caller's choice; none leaves voxels and record as they were read."""
    folder = make_study(["flair"])
    doubled = open_study(folder, steps=[Scale(2.0)])
    read = open_study(folder, steps=[])
    assert np.array_equal(doubled.images["flair"].data, 2 * read.images["flair"].data)
    assert read.images["flair"].steps == ()


def test_results_say_what_was_done(tiny: Model, tmp_path: Path) -> None:
    """A background that was not 0 is a step in result.json, of the modalities in use alone."""
    where = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (24, 28, 20)], indexing="ij"))
    brain = (where**2).sum(0) < 0.7
    rng = np.random.default_rng(0)
    for name, outside in (("flair", 0), ("t1", -1000), ("t2", -7)):
        data = np.where(brain, rng.normal(400, 40, brain.shape), outside).astype(np.int16)
        save_nifti(tmp_path / "case" / f"case_{name}.nii.gz", data)
    out = tmp_path / "out"
    code = cli.main(
        ["predict", str(tmp_path / "case"), "-o", str(out), "--use", "flair,t1", "--model", str(tiny.folder)]
    )
    assert code == 0
    steps = json.loads((out / "result.json").read_text())["steps"]
    assert [(s["modality"], s["step"], s["settings"]["level"]) for s in steps] == [
        ("t1", "background to 0", -1000)
    ]


def test_a_record_is_hashable_and_plain() -> None:
    """Equal settings give equal records whatever their order."""
    assert AppliedStep.of("a", {"x": 1, "y": 2}) == AppliedStep.of("a", {"y": 2, "x": 1})
    assert len({AppliedStep.of("a", {"x": 1}), AppliedStep.of("a", {"x": 1})}) == 1
