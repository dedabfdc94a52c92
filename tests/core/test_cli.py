"""The command line: options, files, JSON, exit codes, and one sentence for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tiny import model

from napari_mrseg import cli
from napari_mrseg.inference.engine import Engine
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("models")).folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``run("predict", ...)`` → (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_predict_writes_every_combination_and_result_json(
    run, make_study, tiny: Path, tmp_path: Path
) -> None:
    """--all --json: fifteen label files on the source's grid, result.json as in the contract, JSON alone on stdout."""
    folder = make_study()
    out = tmp_path / "out"
    code, stdout, _ = run("predict", folder, "-o", out, "--all", "--json", "--model", tiny)
    assert code == 0
    document = json.loads(stdout)
    assert document == json.loads((out / "result.json").read_text())
    assert set(document) == {
        "task", "model", "case", "device", "precision", "versions", "steps", "predictions", "warnings",
    }  # fmt: skip
    assert len(document["predictions"]) == 15
    assert {p.name for p in out.iterdir()} == {e["file"] for e in document["predictions"]} | {"result.json"}
    scan = nib.load(folder / "case-1_flair.nii.gz")
    for entry in document["predictions"]:
        labels = nib.load(out / entry["file"])
        assert labels.shape == scan.shape
        assert np.allclose(labels.affine, scan.affine)
        assert labels.get_data_dtype() == np.uint8
        assert entry["sizes"]["WT"]["unit"] == "mL"
        assert entry["dice"] is not None
    assert str(tmp_path) not in stdout
    assert "Doe" not in stdout
    assert [w["code"] for w in document["warnings"]] == ["et_without_contrast"]


def test_report_and_lesions_lie_beside_the_labels_if_asked_for(
    run, make_study, tiny: Path, tmp_path: Path
) -> None:
    """--pdf: report.pdf and lesions.csv, listed; the next run without it takes both away; they are not overwritten."""
    folder, out = make_study(shape=(24, 32, 28)), tmp_path / "out"
    asked = ("predict", folder, "-o", out, "--use", "flair,t1ce", "--model", tiny)
    code, stdout, _ = run(*asked, "--pdf", "--json")
    assert code == 0
    assert json.loads(stdout)["reports"] == ["report.pdf", "lesions.csv"]
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF-1.4")
    assert (out / "lesions.csv").read_text().startswith("case,combination,region,lesion,")
    code, _, err = run(*asked, "--pdf")
    assert code == 2
    assert "--overwrite" in err
    assert run(*asked, "--pdf", "--overwrite")[0] == 0
    assert run(*asked, "--overwrite")[0] == 0
    assert {path.name for path in out.iterdir()} == {"flair+t1ce.nii.gz", "result.json"}


def test_switched_off_equals_never_there(run, make_study, tiny: Path, tmp_path: Path) -> None:
    """--use on four files writes the same bytes as a folder that has only those files."""
    assert run("predict", make_study(), "-o", tmp_path / "a", "--use", "t1ce,flair", "--model", tiny)[0] == 0
    alone = make_study(("flair", "t1ce"), case="case-2")
    for name in ("flair", "t1ce"):  # the same voxels as in the first folder
        (alone / f"case-2_{name}.nii.gz").write_bytes(
            (tmp_path / "case-1" / f"case-1_{name}.nii.gz").read_bytes()
        )
    assert run("predict", alone, "-o", tmp_path / "b", "--model", tiny)[0] == 0
    name = "flair+t1ce.nii.gz"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_command_line_and_library_agree(run, make_study, tiny: Path, tmp_path: Path) -> None:
    """The file holds the engine's labels, voxel for voxel."""
    folder = make_study()
    assert run("predict", folder, "-o", tmp_path / "a", "--use", "t2", "--model", tiny)[0] == 0
    study = open_study([folder])
    want = Engine(load_model(tiny)).predict(study, ["t2"]).labels
    got = np.asarray(nib.load(tmp_path / "a" / "t2.nii.gz").dataobj)
    assert np.array_equal(study.images["t2"].source.to_ipl(got), want)


def test_explicit_pairs(run, make_study, tiny: Path, tmp_path: Path) -> None:
    """modality=file pairs need no telling names."""
    folder = make_study(("flair", "t1"))
    for name in ("flair", "t1"):
        (folder / f"case-1_{name}.nii.gz").rename(tmp_path / f"{name[-1]}x.nii.gz")
    code, *_ = run(
        "predict",
        f"flair={tmp_path}/rx.nii.gz",
        f"t1={tmp_path}/1x.nii.gz",
        "-o",
        tmp_path / "o",
        "--model",
        tiny,
    )
    assert code == 0
    assert (tmp_path / "o" / "flair+t1.nii.gz").is_file()


def test_reference_options(run, make_study, tiny: Path, tmp_path: Path) -> None:
    """A segmentation in the folder is the reference unless --no-reference says otherwise."""
    folder = make_study(("flair",))
    _, out, _ = run("predict", folder, "-o", tmp_path / "a", "--no-reference", "--json", "--model", tiny)
    assert json.loads(out)["predictions"][0]["dice"] is None
    _, out, _ = run(
        "predict", folder / "case-1_flair.nii.gz", "-o", tmp_path / "b", "--json", "--model", tiny,
        "--reference", folder / "case-1_seg.nii.gz",
    )  # fmt: skip
    assert set(json.loads(out)["predictions"][0]["dice"]) == {"WT", "TC", "ET"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["predict"], 2, "Missing argument"),
        (["predict", "{case}"], 2, "output"),
        (["nonsense"], 2, "nonsense"),
        (["predict", "{case}", "-o", "{out}", "--bogus"], 2, "--bogus"),
        (["predict", "{case}", "-o", "{out}", "--use", "ct"], 2, "ct"),
        (["predict", "{case}", "-o", "{out}", "--use", ""], 2, "No modality"),
        (["predict", "{case}", "-o", "{out}", "--use", "flair", "--all"], 2, "--all"),
        (["predict", "{case}", "-o", "{out}", "--grid", "t9"], 2, "t9"),
        (["predict", "{case}", "-o", "{out}", "--device", "warp"], 2, "warp"),
        (["predict", "{case}", "-o", "{out}", "--device", "cuda:99"], 3, "cuda:99"),
        (["predict", "{case}", "-o", "{out}", "--precision", "int4"], 2, "int4"),
        (["predict", "{case}", "-o", "{out}", "--format", "dicom-seg"], 2, "dicom-seg"),
        (["predict", "{case}", "-o", "{out}", "--model", "nobody"], 2, "nobody"),
        (["predict", "{case}/nowhere", "-o", "{out}"], 2, "nowhere"),
        (["inspect", "{case}/nowhere"], 2, "nowhere"),
        (["view", "{case}/nowhere", "--screenshot", "{out}"], 2, "nowhere"),
        (["demo", "--task", "liver"], 2, "liver"),
        (["models", "verify", "nobody"], 2, "nobody"),
        (["models", "add", "{case}"], 2, "model.json"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_mistakes_end_in_one_sentence(
    run, make_study, tiny, tmp_path, monkeypatch, arguments, code, says
) -> None:
    """Usage and input errors: the contract's exit code, one line on stderr, no traceback, nothing written."""
    monkeypatch.setenv("DISPLAY", ":nowhere")  # the input is checked before any window opens
    case, out = make_study(("flair", "t1ce")), tmp_path / "out"
    filled = [a.format(case=case, out=out) for a in arguments]
    if "predict" in filled and "--model" not in filled:
        filled += ["--model", str(tiny)]
    got, stdout, stderr = run(*filled)
    assert got == code
    assert says in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert "Traceback" not in stderr
    assert stdout == ""
    assert not out.exists()


def test_corrupted_weights_are_exit_code_three(run, make_study, tmp_path: Path) -> None:
    """One flipped bit in the weights is noticed before anything is written."""
    folder = model(tmp_path / "m").folder
    weights = folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 0x40
    weights.write_bytes(data)
    code, _, stderr = run("predict", make_study(("flair",)), "-o", tmp_path / "out", "--model", folder)
    assert code == 3
    assert "weights.safetensors" in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_outputs_are_kept_without_overwrite(run, make_study, tiny: Path, tmp_path: Path) -> None:
    """A second run refuses before computing; --overwrite replaces; unrelated files stay."""
    arguments = ("predict", make_study(("flair",)), "-o", tmp_path / "out", "--model", tiny)
    assert run(*arguments)[0] == 0
    (tmp_path / "out" / "notes.txt").write_text("mine")
    before = (tmp_path / "out" / "result.json").read_bytes()
    code, _, stderr = run(*arguments)
    assert code == 2
    assert "--overwrite" in stderr
    assert (tmp_path / "out" / "result.json").read_bytes() == before
    assert run(*arguments, "--overwrite")[0] == 0
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_cancel_is_exit_code_130_and_writes_nothing(run, make_study, tiny, tmp_path, monkeypatch) -> None:
    """Ctrl-C during the second combination leaves no folder behind."""
    run_all = Engine.run_all

    def interrupted(self: Engine, *args: object, **kwargs: object) -> object:
        for count, prediction in enumerate(run_all(self, *args, **kwargs)):  # type: ignore[arg-type]
            if count == 1:
                raise KeyboardInterrupt
            yield prediction

    monkeypatch.setattr(Engine, "run_all", interrupted)
    code, _, stderr = run(
        "predict", make_study(("flair", "t1")), "-o", tmp_path / "out", "--all", "--model", tiny
    )
    assert code == 130
    assert "Cancelled" in stderr
    assert not (tmp_path / "out").exists()


def test_inspect_says_what_was_taken_for_what(run, make_study) -> None:
    """Each file with its role and the reason; JSON on request; no model needed."""
    folder = make_study(("flair", "t1ce"))
    code, out, _ = run("inspect", folder)
    assert code == 0
    assert "t1ce" in out
    assert "case-1_t1ce.nii.gz" in out
    code, out, _ = run("inspect", folder, "--json")
    roles = {f["name"]: f["role"] for f in json.loads(out)["files"]}
    assert roles == {
        "case-1_flair.nii.gz": "flair", "case-1_t1ce.nii.gz": "t1ce", "case-1_seg.nii.gz": "reference",
    }  # fmt: skip


def test_models_list_info_verify_add(run, tiny: Path, tmp_path: Path, monkeypatch) -> None:
    """A model folder is checked, added, listed under its name, and used by that name."""
    monkeypatch.setenv("MRSEG_MODELS", str(tmp_path / "installed"))
    assert run("models", "verify", tiny)[0] == 0
    assert run("models", "add", tiny)[0] == 0
    assert run("models", "add", tiny)[0] == 2
    assert run("models", "add", tiny, "--overwrite")[0] == 0
    rows = json.loads(run("models", "list", "--json")[1])
    assert {"name": "tiny", "bundled": False} in rows
    card = json.loads(run("models", "info", "tiny", "--json")[1])
    assert card["limitations"] == "finds nothing"
    words = run("models", "info", "compact")[1]
    assert words.startswith("compact ")
    assert "Limits: " in words
    assert "Licence: BSD-3-Clause" in words
    assert [line.split()[0] for line in words.splitlines() if line.startswith("  flair ")] == ["flair"]


def test_doctor_reports(run) -> None:
    """What is installed and usable, as JSON and as text."""
    code, out, _ = run("doctor", "--json")
    assert code == 0
    report = json.loads(out)
    assert report["devices"][:2] == ["auto", "cpu"]
    assert run("doctor")[1].startswith("python")


EVERY = {
    "demo": ["--screenshot", "{out}/a.png"],
    "view": ["{case}", "--screenshot", "{out}/a.png"],
    "inspect": ["{case}"],
    "predict": ["{case}", "-o", "{out}"],
    "compare": ["{case}", "-o", "{out}"],
    "simulate": ["tiny", "-o", "{out}"],
    "train": ["tiny", "-o", "{out}"],
    "evaluate": ["--data", "{case}", "-o", "{out}"],
    "ablate": ["ablation", "-o", "{out}"],
    "bench": ["--quick"],
}


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("liver", "Unknown task “liver”; known: brats"),
        ("rgbt-sod", r"rgbt-sod|no picture|holds a recognised modality"),
    ],
)
def test_every_command_takes_the_task_at_its_word(
    run, make_study, tmp_path, monkeypatch, command: str, task: str, says: str
) -> None:
    """An unknown task is one sentence everywhere; one that files and models do not fit is never dropped."""
    monkeypatch.setenv("DISPLAY", ":nowhere")
    if (
        command == "bench" and task == "rgbt-sod"
    ):  # it opens no files, and the bundled model of pictures answers it
        task, says = "sunrgbd", "No model for the task sunrgbd"
    case, out = make_study(("flair",)), tmp_path / "out"
    arguments = [a.format(case=case, out=out) for a in EVERY[command]]
    code, stdout, stderr = run(command, *arguments, "--task", task)
    assert code == 2
    said = stderr + stdout
    assert re.search(says, said)
    if command != "inspect" or task == "liver":
        assert len(stderr.strip().splitlines()) == 1
    # A training run notes its settings first.
    assert not out.exists() or [p.name for p in out.iterdir()] == ["config.json"]


def test_the_task_is_guessed_from_pairs(run, make_study) -> None:
    """depth=FILE is no MRI, flair=FILE is; a folder without a word is the default task's."""
    folder = make_study(("flair",))
    file = folder / "case-1_flair.nii.gz"
    for paths, task in (([folder], "brats"), ([f"flair={file}"], "brats"), ([f"depth={file}"], "rgbd-sod")):
        assert json.loads(run("inspect", *paths, "--json")[1])["task"] == task
    code, _, stderr = run("inspect", f"flair={file}", f"depth={file}")
    assert code == 2
    assert "“depth” is not a modality of the task brats" in stderr


def test_a_model_of_another_task_is_refused(run, make_study, tiny: Path, tmp_path: Path) -> None:
    """--task and --model that do not fit each other are one sentence, before any file is read."""
    code, _, stderr = run(
        "predict", make_study(), "-o", tmp_path / "out", "--model", tiny, "--task", "rgbd-sod"
    )
    assert code == 3
    assert "tiny is a model for the task brats, not rgbd-sod" in stderr


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "view",
        "inspect",
        "predict",
        "compare",
        "models list",
        "models info",
        "models verify",
        "models add",
        "simulate",
        "train",
        "evaluate",
        "ablate",
        "bench",
        "doctor",
    ],
)
def test_every_command_has_help_with_an_example(run, command: str) -> None:
    """--help ends with 0 and shows an example to copy."""
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert f"mrseg {command}" in out
    assert "Example" in out


def test_import_is_light() -> None:
    """``import napari_mrseg`` and the command line's help load neither torch, Qt nor napari."""
    code = (
        "import sys, napari_mrseg, napari_mrseg.cli\n"
        "assert 'open_study' in dir(napari_mrseg)\n"
        "heavy = {'torch', 'napari', 'qtpy', 'PyQt6', 'monai'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
