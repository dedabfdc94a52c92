"""A cohort folder that goes on: whatever happened to the studies between two runs, the table is that of a fresh run."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_dicom import write_series
from test_cohort import order_of, subject

from napari_mrseg.cohort import run, sources, summary
from napari_mrseg.cohort import work as working
from napari_mrseg.cohort.find import Listed, find_studies
from napari_mrseg.cohort.run import run_cohort
from napari_mrseg.cohort.sources import Sources, is_current
from napari_mrseg.cohort.summary import gather, same_scans, write_tables
from napari_mrseg.cohort.work import Order, state_of, work
from napari_mrseg.errors import InputError
from napari_mrseg.io.lock import acquire, release
from napari_mrseg.io.recognise import Recognition, recognise
from napari_mrseg.models.store import Model
from napari_mrseg.tasks import BRATS, Task

ORDER = Order(model="m", sha256="0" * 64, task="brats")


KNOWN: dict[tuple[object, ...], tuple[Recognition, tuple[str, ...]]] = {}


def recognised(sources: list[str], task: Task) -> tuple[Recognition, tuple[str, ...]]:
    """What :func:`recognise` says, and its problems; of a folder with the same names as before, what it said then."""
    (folder,) = sources
    key = (folder, *sorted(os.listdir(folder)))
    if key not in KNOWN:
        found = recognise(sources, task)
        KNOWN[key] = found, found.problems(task)
    return KNOWN[key]


def counted(listed: Listed, order: Order, folder: Path) -> dict[str, Any]:
    """In place of the engine: sizes that are what the files hold, so that a table shows whose they are."""
    found, problems = recognised(list(listed.sources), BRATS)
    if problems:
        raise InputError(problems[0])
    held = {f.role: f.path.read_bytes() for f in found.files if f.role}
    for file in held.values():
        if not file.isdigit():
            raise InputError(f"{found.case} is damaged.")
    (folder / "labels").write_bytes(b"".join(held.values()))
    rows = [
        {
            "combination": role, "region": "WT", "size": float(content), "dice": None, "to_full": None,
            "estimated": False, "in_reference": None,
        }
        for role, content in sorted(held.items())
    ]  # fmt: skip
    return {
        "name": listed.name, "status": "done", "reason": "", "present": sorted(held), "reference": False,
        "scans": {role: content.decode() for role, content in held.items()}, "rows": rows, "attribution": {},
    }  # fmt: skip


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without a cluster and without an engine."""

    def here(client: object, todo: list[Listed], order: Order, out: Path, report: object) -> None:
        for one in todo:
            work(one.__dict__, order.__dict__, str(out))

    monkeypatch.setattr(run, "_cluster", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(run, "_give_out", here)
    monkeypatch.setattr(working, "_segment", counted)
    monkeypatch.setattr(sources, "recognise", lambda given, task: recognised(given, task)[0])
    monkeypatch.setattr(working, "release_freed_memory", lambda: None)
    monkeypatch.setattr(summary, "_parquet", lambda rows: b"")


def table(source: Path, out: Path, order: Order = ORDER) -> tuple[str, list[str]]:
    """The table after a run, and what was said."""
    said: list[str] = []
    studies = find_studies(source, BRATS, say=said.append)
    run_cohort(studies, order, out, notice=said.append)
    write_tables(gather(studies, out, BRATS), out)
    return (out / "cohort.csv").read_text(), said


@dataclass
class History:
    """Studies on disk and in a list, and what happens to them by chance."""

    root: Path
    draws: random.Random
    listed: bool
    names: list[tuple[str, str]] = field(default_factory=list)  # (name in the list, folder)
    number: int = 0

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def source(self) -> Path:
        if not self.listed:
            return self.data
        lines = ["study,path", *(f"{name},data/{folder}" for name, folder in self.names)]
        (self.root / "list.csv").write_text("\n".join(lines))
        return self.root / "list.csv"

    def add(self) -> None:
        self.number += 1
        folder = f"f{self.draws.randrange(100)}-{self.number}"
        (self.data / folder).mkdir(parents=True)
        for name in self.draws.sample(("flair", "t1", "t2"), self.draws.randrange(1, 4)):
            self.write(self.data / folder / f"{name}.nii.gz")
        name = self.draws.choice((folder, "a", "a", "A", "a--2", "b"))
        self.names.insert(self.draws.randrange(len(self.names) + 1), (name, folder))

    def write(self, path: Path) -> None:
        path.write_text(f"{self.draws.randrange(1000):03d}")

    def some(self) -> tuple[int, Path]:
        at = self.draws.randrange(len(self.names))
        return at, self.data / self.names[at][1]

    def file(self) -> Path:
        return self.draws.choice(sorted(self.some()[1].iterdir()))

    def remove(self) -> None:
        at, folder = self.some()
        if len(self.names) > 1:
            shutil.rmtree(folder)
            del self.names[at]

    def rename(self) -> None:
        at, folder = self.some()
        self.number += 1
        new = f"{self.draws.choice('abx')}{self.number}"
        folder.rename(self.data / new)
        self.names[at] = (self.draws.choice((self.names[at][0], new)), new)

    def replace(self) -> None:
        """Other content of the same length, half of the time with the old times."""
        path = self.file()
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        self.write(path)
        if self.draws.random() < 0.5:
            os.utime(path, ns=times)

    def swap(self) -> None:
        """Two studies change places, their files as they were."""
        (i, a), (j, b) = self.some(), self.some()
        if i != j:
            a.rename(self.data / "away")
            b.rename(a)
            (self.data / "away").rename(b)

    def damage(self) -> None:
        self.file().write_text("xxx")

    def repair(self) -> None:
        for path in self.data.glob("*/*"):
            if not path.read_bytes().isdigit():
                self.write(path)

    def more(self) -> None:
        """Another scan of a study, or one less."""
        _, folder = self.some()
        path = folder / f"{self.draws.choice(('t1ce', 'flair', 't1'))}.nii.gz"
        if path.exists() and len(list(folder.iterdir())) > 1:
            path.unlink()
        else:
            self.write(path)

    def sort(self) -> None:
        self.draws.shuffle(self.names)

    def touch(self) -> None:
        self.file().touch()

    def step(self) -> None:
        acts: list[Callable[[], None]] = [
            self.add,
            self.remove,
            self.rename,
            self.replace,
            self.replace,
            self.swap,
        ]
        acts += [self.damage, self.repair, self.more, self.sort, self.touch]
        self.draws.choice(acts)()


def interrupted(history: History, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed at a moment by chance."""
    where = history.draws.choice(
        ((working, "_segment"), (working, "write_bytes"), (os, "replace"), (run, "discard"))
    )
    own, left = getattr(*where), history.draws.randrange(4)

    def killed(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return own(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(*where, killed)
        with contextlib.suppress(KeyboardInterrupt, InputError):
            table(history.source, out)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("part", range(5 if os.environ.get("MRSEG_FULL") else 2))
def test_a_run_that_goes_on_equals_a_fresh_one(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Histories of adding, removing, renaming, replacing, sorting, killing and another model: the same table.

    ``make test-full`` runs 500.
    """
    for number in range(100):
        draws = random.Random(1000 * part + number)
        history = History(tmp_path / str(number), draws, listed=number % 2 == 0)
        out = history.root / "out"
        history.add()
        for _ in range(draws.randrange(2, 4)):
            for _ in range(draws.randrange(1, 5)):
                history.step()
            if draws.random() < 0.3:
                interrupted(history, out, monkeypatch)
            if draws.random() < 0.2 and (out / "cohort.json").is_file():
                with pytest.raises(InputError, match="another model"):
                    table(history.source, out, Order(model="m", sha256="1" * 64, task="brats"))
            fresh = history.root / "fresh"
            expected, _ = table(history.source, fresh)
            assert table(history.source, out)[0] == expected, (part, number)
            assert not list((out / "studies").glob(".*"))
            shutil.rmtree(fresh)
        shutil.rmtree(history.root)


@pytest.mark.usefixtures("quick")
def test_what_changed_is_done_again_and_said(tmp_path: Path) -> None:
    """A file replaced under its path and a damaged one repaired are done again; the others are not touched."""
    for name in "abc":
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "t1.nii.gz").write_text("111" if name != "c" else "xxx")
    out = tmp_path / "out"
    assert "is damaged" in table(tmp_path / "data", out)[0]
    before = (out / "studies" / "a" / "study.json").stat().st_mtime_ns
    (tmp_path / "data" / "b" / "t1.nii.gz").write_text("222")
    (tmp_path / "data" / "c" / "t1.nii.gz").write_text("333")
    text, said = table(tmp_path / "data", out)
    assert [row["size"] for row in csv.DictReader(text.splitlines())] == ["111", "222", "333"]
    assert len(said) == 1
    assert said[0].startswith("Done again")
    assert said[0].endswith("b, c.")
    assert (out / "studies" / "a" / "study.json").stat().st_mtime_ns == before
    assert table(tmp_path / "data", out)[1] == []


def test_files_that_did_not_change_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes, times and numbers of the files do, once these are settled; until then their content is compared."""
    one = Listed("one", (str(subject(tmp_path / "one")),))
    fresh = Sources.of(one, BRATS)
    assert fresh.stamps == ""  # written just now: a change might not show in the times
    monkeypatch.setattr("napari_mrseg.cohort.sources.SETTLED", -1.0)
    known = {"sources": Sources.of(one, BRATS).record()}
    monkeypatch.setattr("napari_mrseg.cohort.sources.digest_of", lambda *_: pytest.fail("read again"))
    assert is_current(known, one, BRATS)


def test_files_that_change_while_they_are_read_are_no_result(
    tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that is still being copied: the study has failed, and the next run does it."""
    one = Listed("one", (str(subject(tmp_path / "one")),))
    own = working._segment

    def copied(*arguments: Any) -> Any:
        found = own(*arguments)
        subject(tmp_path / "one", seed=5)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(working, "_segment", copied)
        assert work(one.__dict__, order_of(tiny).__dict__, str(tmp_path / "out")) == "failed"
    assert "changed while" in str(state_of(tmp_path / "out", "one"))
    assert work(one.__dict__, order_of(tiny).__dict__, str(tmp_path / "out")) == "done"


def dicom_study(folder: Path, uid: str, day: str, seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 900, (16, 16, 6))
    for number, words in ((7, "AX FLAIR"), (8, "AX T1")):
        write_series(
            folder / f"{uid}-{number}",
            data,
            np.diag([-1.0, -1, 3, 1]),
            number=number,
            description=words,
            study=f"1.2.3.{uid}",
            StudyDate=day,
        )


def test_an_older_study_added_to_an_export_shifts_nothing(tmp_path: Path) -> None:
    """Studies of an export are called after their own UID: the names of those that were there stay."""
    dicom_study(tmp_path / "data" / "export", "20", "20200101", 0)
    dicom_study(tmp_path / "data" / "export", "21", "20210101", 1)
    before = {one.name: one for one in find_studies(tmp_path / "data", BRATS)}
    known = {name: {"sources": Sources.of(one, BRATS).record()} for name, one in before.items()}
    dicom_study(tmp_path / "data" / "export", "5", "20050101", 2)
    after = {one.name: one for one in find_studies(tmp_path / "data", BRATS)}
    assert len(before) == 2
    assert len(after) == 3
    assert set(before) < set(after)
    assert all(name.startswith("export__case-") for name in after)
    for name, document in known.items():  # the path says another number by now, the study is the same
        assert is_current(document, after[name], BRATS)
    new = after[(set(after) - set(before)).pop()]
    assert not any(is_current(document, new, BRATS) for document in known.values())


def names_of(found: list[Listed]) -> list[str]:
    return [one.name for one in found]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["a", "a", "a--2"], ["a", "a--3", "a--2"]),
        (["a--2", "a", "a"], ["a--2", "a", "a--3"]),
        (["a", "A", "a", "a--2", "a--3"], ["a", "A--4", "a--5", "a--2", "a--3"]),
        (["é", "e\u0301"], ["é", "é--2"]),
        (["p 1", "p_1", "p/1"], ["p_1", "p_1--2", "p__1"]),
    ],
)
def test_equal_names_are_made_distinct_and_said(given: list[str], made: list[str], tmp_path: Path) -> None:
    """By a number that no other study has, on any file system; with both lines."""
    lines = [f"{name},x{number}" for number, name in enumerate(given)]
    (tmp_path / "list.csv").write_text("\n".join(["study,path", *lines]), encoding="utf-8")
    said: list[str] = []
    found = find_studies(tmp_path / "list.csv", BRATS, say=said.append)
    folded = [name.casefold() for name in names_of(found)]
    assert len(set(folded)) == len(folded)
    assert names_of(found) == made
    assert len(said) == 1
    assert "line " in said[0]


@pytest.mark.parametrize("alias", ["t1c", "t1gd", "T1ce", "t1-post", "reference"])
def test_columns_have_the_names_of_the_command_line(alias: str, tmp_path: Path) -> None:
    """Any name of a modality heads its column."""
    (tmp_path / "list.csv").write_text(f"study,flair,{alias}\np1,f.nii.gz,x.nii.gz\n")
    (one,) = find_studies(tmp_path / "list.csv", BRATS)
    role = "reference" if alias == "reference" else "t1ce"
    assert f"{role}={tmp_path / 'x.nii.gz'}" in one.sources


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("study,flair,tlc\np,f,x\n", "column “tlc”"),
        ("study,path,age\np,f,61\n", "column “age”"),
        ("study,t1ce,t1c\np,f,x\n", "two columns of t1ce"),
        ("study,path,path\np,f,x\n", "two columns of path"),
        ("study,path\np,a,b.nii.gz\n", "line 2, has a cell without a column"),
        ("study,path,\np,a,b\n", "line 2, has a cell without a column"),
        ('sep=;\nstudy;path\n"p;q";\n', "line 3, names no file"),
    ],
)
def test_what_a_list_says_and_nobody_understands_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """An unknown or doubled column and a cell too many: a sentence, never a study without that scan."""
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        find_studies(tmp_path / "list.csv", BRATS)


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nstudy;path\np,1;a\n",
        '"sep=;"\r\nstudy;path\r\np,1;a\r\n',
        "\ufeffSEP=;\nstudy;path\np,1;a\n",
        "sep=\t\nstudy\tpath\np,1\ta\n",
        "\n\nstudy;path\np,1;a\n",
        'study,path,\n"p,1",a,\n',
    ],
)
def test_lists_of_spreadsheets(text: str, tmp_path: Path) -> None:
    """A first line that states the separator, empty lines, an empty last column."""
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    (one,) = find_studies(tmp_path / "list.csv", BRATS)
    assert one.name == "p_1"
    assert one.sources == (str(tmp_path / "a"),)


@pytest.mark.parametrize("left", ["derivatives", "sourcedata", "rawdata", "code", "__MACOSX", "Derivatives"])
@pytest.mark.parametrize("described", [True, False])
def test_copies_beside_the_subjects_are_left_out_and_said(left: str, described: bool, tmp_path: Path) -> None:
    """What lies beside the subjects of a BIDS data set, with or without a description of it, counts nobody twice."""
    for where in ("sub-01/anat", f"{left}/sub-01/anat", f"{left}/prep/sub-01/ses-1/anat"):
        subject(tmp_path / where)
    if described:
        (tmp_path / "dataset_description.json").write_text("{}")
    said: list[str] = []
    found = find_studies(tmp_path, BRATS, say=said.append)
    assert names_of(found) == ["sub-01" if described else "sub-01__anat"]
    assert any(f"{left}/" in sentence for sentence in said)


def test_the_subjects_of_a_study_wide_data_set_are_found(tmp_path: Path) -> None:
    """Subjects below rawdata, with copies beside it: those of rawdata; a folder of that name elsewhere is a study."""
    for where in ("rawdata/sub-01/anat", "rawdata/sub-01/func", "derivatives/x/sub-01/anat"):
        subject(tmp_path / "one" / where)
    (tmp_path / "one" / "rawdata" / "dataset_description.json").write_text("{}")
    subject(tmp_path / "other" / "code")
    assert names_of(find_studies(tmp_path, BRATS)) == ["one__rawdata__sub-01", "other__code"]


def test_links_lead_nowhere_without_a_word(tmp_path: Path) -> None:
    """A link to a folder above is not followed; one to elsewhere is, and said; one within counts nothing twice."""
    root = tmp_path / "all" / "set"
    subject(root / "s1")
    subject(tmp_path / "all" / "another")
    subject(tmp_path / "far" / "s9")
    for name, target in {
        "up": "..", "top": "../..", "self": ".", "latest": "s1", "far": "../../far",
    }.items():  # fmt: skip
        (root / name).symlink_to(target, target_is_directory=True)
    (tmp_path / "far" / "s9" / "back").symlink_to(tmp_path / "far")
    (root / "s2").mkdir()
    (root / "s2" / "t1.nii.gz").symlink_to(tmp_path / "far" / "s9" / "s9_t1.nii.gz")
    said: list[str] = []
    assert names_of(find_studies(root, BRATS, say=said.append)) == ["far__s9", "s1", "s2"]
    for name in ("up", "top", "self", "far/s9/back"):
        assert any(s.startswith(f"{name} is a link to a folder that it lies in") for s in said), name
    assert any(s.startswith("far is a link out of set") for s in said)
    assert any(s.startswith("Links to scans outside set") and "s2/t1.nii.gz" in s for s in said)


def test_results_that_are_left_out_are_said(tmp_path: Path) -> None:
    """A folder with a result of this program in it is no study, and not passed over in silence."""
    subject(tmp_path / "s1")
    (subject(tmp_path / "s2") / "result.json").write_text("{}")
    said: list[str] = []
    assert names_of(find_studies(tmp_path, BRATS, say=said.append)) == ["s1"]
    assert "s2 (result.json)" in said[0]


def test_a_damaged_archive_is_one_row(tmp_path: Path) -> None:
    """It does not end the search for the others."""
    subject(tmp_path / "s1")
    (tmp_path / "bad.zip").write_bytes(b"PK and nothing else")
    assert names_of(find_studies(tmp_path, BRATS)) == ["bad.zip", "s1"]


@pytest.mark.usefixtures("quick")
def test_one_study_under_two_names_is_said(tmp_path: Path) -> None:
    """The same scans, or one scan in two studies: in the facts, the report and a sentence."""
    from napari_mrseg.cohort.cohort_report import report_html

    for name, flair, t1 in (("a", "1", "2"), ("b", "1", "2"), ("c", "3", "2"), ("d", "4", "5")):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "flair.nii.gz").write_text(flair)
        (tmp_path / "data" / name / "t1.nii.gz").write_text(t1)
    out = tmp_path / "out"
    table(tmp_path / "data", out)
    found = same_scans(gather(find_studies(tmp_path / "data", BRATS), out, BRATS))
    assert [(one.studies, one.scans, one.whole) for one in found] == [
        (("a", "b"), ("flair",), False),
        (("a", "b", "c"), ("t1",), False),
    ]
    shutil.rmtree(tmp_path / "data" / "c")
    cohort = gather(find_studies(tmp_path / "data", BRATS), out, BRATS)
    (whole,) = same_scans(cohort)
    assert whole.whole
    assert "one study under several names" in whole.sentence
    assert "one study under several names" in report_html(cohort, out, model="m", date="d")
    assert summary.facts(cohort)["same_scans"] == [
        {"studies": ["a", "b"], "scans": ["flair", "t1"], "whole": True}
    ]


@pytest.mark.usefixtures("quick")
def test_two_runs_at_once_with_other_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of two runs with one folder and one name is refused while the first goes on, and not afterwards."""
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder, value in ((first, "111"), (second, "222")):
        (folder / "p1").mkdir(parents=True)
        (folder / "p1" / "t1.nii.gz").write_text(value)
    out, begun, goes_on = tmp_path / "out", threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert goes_on.wait(60)
        return counted(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(working, "_segment", slow)
        tables: list[str] = []
        thread = threading.Thread(target=lambda: tables.append(table(first, out)[0]))
        thread.start()
        assert begun.wait(60)
        with pytest.raises(InputError, match="makes p1 from other files"):
            table(second, out)
        (tmp_path / "third" / "p2").mkdir(parents=True)
        (tmp_path / "third" / "p2" / "t1.nii.gz").write_text("333")
        patch.setattr(working, "_segment", counted)
        assert (
            "333" in table(tmp_path / "third", out)[0]
        )  # as in a job array: other studies of the same folder
        goes_on.set()
        thread.join(60)
    assert "111" in tables[0]
    assert "222" in table(second, out)[0]
    assert not (out / ".runs").exists()


@pytest.mark.usefixtures("quick")
def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    """What a run that was killed (-9) left of its hold does not refuse the next one."""
    (tmp_path / "data" / "p1").mkdir(parents=True)
    (tmp_path / "data" / "p1" / "t1.nii.gz").write_text("111")
    out = tmp_path / "out"
    table(tmp_path / "data", out)
    (out / ".runs").mkdir()
    (out / ".runs" / "0123.json").write_text(json.dumps({"p1": ["elsewhere"]}))
    (out / ".runs" / "0123.lock").touch()
    held = (
        "import sys, time; from pathlib import Path; from napari_mrseg.io.lock import acquire;"
        "lock = acquire(Path(sys.argv[1]), 'out'); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", held, str(out / ".runs" / "0123.lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="makes p1 from other files"):
        table(tmp_path / "data", out)
    process.kill()
    process.wait()
    assert "111" in table(tmp_path / "data", out)[0]
    assert not (out / ".runs").exists()


def test_a_lock_is_one_runs_and_leaves_nothing(tmp_path: Path) -> None:
    """The second has none while the first has it; afterwards it may, and no file stays."""
    first = acquire(tmp_path / "x.lock", "x")
    assert first is not None
    assert acquire(tmp_path / "x.lock", "x") is None
    release(first)
    second = acquire(tmp_path / "x.lock", "x")
    assert second is not None
    release(second)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """Words that a spreadsheet would compute are quoted; numbers are not."""
    (tmp_path / "data" / "-2+3").mkdir(parents=True)
    (tmp_path / "data" / "-2+3" / "t1.nii.gz").write_text("111")
    (tmp_path / "data" / "=x").mkdir()
    (tmp_path / "data" / "=x" / "@t1.nii.gz").write_text("xxx")
    rows = list(csv.reader(table(tmp_path / "data", tmp_path / "out")[0].splitlines()))
    assert rows[1][0] == "'-2+3"
    assert rows[1][5] == "111"
    assert not any(cell[:1] in ("+", "-", "=", "@") for row in rows for cell in row)
