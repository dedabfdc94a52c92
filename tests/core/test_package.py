"""The package as installed: napari finds the manifest from an editable install, the sdist and the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from npe2 import PluginManifest

from napari_mrseg.io.formats import formats_of, scan_endings
from napari_mrseg.tasks import DEFAULT
from tools.readme_hook import for_index

ROOT = Path(__file__).resolve().parents[2]
MUST_HAVE = (
    "napari_mrseg/napari.yaml",
    "napari_mrseg/resources/sample/simulated.json",
    "napari_mrseg/resources/models",
    "mrseg_training/loop.py",
    "napari_mrseg/resources/template/template.npz",
    "mrseg_training/configs/tiny.yaml",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and a wheel made from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_editable_install_names_the_manifest() -> None:
    """The installed distribution points napari to a manifest that is valid and ours."""
    manifest = PluginManifest.from_distribution("napari-mrseg")
    assert manifest.name == "napari-mrseg"
    assert manifest.contributions.widgets
    assert manifest.contributions.readers
    assert manifest.contributions.writers
    assert manifest.contributions.sample_data
    entries = metadata.entry_points(group="napari.manifest")
    assert [e.value for e in entries if e.name == "napari-mrseg"] == ["napari_mrseg:napari.yaml"]


def test_wheel_holds_manifest_models_and_sample(built: Path) -> None:
    """A wheel made from the sdist carries the manifest as a real file and everything the demo needs."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert b"contributions" in archive.read("napari_mrseg/napari.yaml")
        assert archive.read("napari_mrseg/napari.yaml") == (ROOT / "napari.yaml").read_bytes()
    for wanted in MUST_HAVE:
        assert any(name.startswith(wanted) for name in names), wanted
    assert not any(
        "/shared/" in name or name.startswith(("tests/", "tools/", "benchmarks/")) for name in names
    )
    assert not any("bundled" in name or name.endswith("folds.json") for name in names), (
        "for maintainers: tools/"
    )


def test_sdist_holds_the_top_level_manifest(built: Path) -> None:
    """The sdist has the manifest at its top level and what is needed to test it."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[-1] for name in archive.getnames()]
    for wanted in (
        "napari.yaml",
        "napari_mrseg/napari.yaml",
        "Makefile",
        "constraints.txt",
        "tests/core/test_package.py",
    ):
        assert wanted in names


def test_the_manifest_is_a_file_in_both_places() -> None:
    """A clone on Windows has no links: the copy that an editable install needs equals the top-level one."""
    top, inside = ROOT / "napari.yaml", ROOT / "napari_mrseg" / "napari.yaml"
    assert not top.is_symlink()
    assert not inside.is_symlink()
    assert inside.read_bytes() == top.read_bytes(), "cp napari.yaml napari_mrseg/napari.yaml"


def test_the_manifest_names_the_formats_there_are() -> None:
    """napari offers us the files that we read, and offers the formats that we write, no more and no less."""
    contributions = PluginManifest.from_file(ROOT / "napari.yaml").contributions
    (reader,) = contributions.readers or []
    (writer,) = contributions.writers or []
    assert reader.filename_patterns == [f"*{ending}" for ending in scan_endings(DEFAULT)]
    written = [ending for kind in formats_of(DEFAULT) for ending in kind.label_endings]
    assert writer.filename_extensions == written


def test_the_package_index_shows_where_things_are() -> None:
    """The metadata has addresses, and names the versions of Python that ``requires-python`` lets in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]
    assert all(address.startswith("https://") for address in project["urls"].values())
    assert project["requires-python"] == ">=3.11"
    pythons = {c.rpartition(" ")[2] for c in project["classifiers"] if "Python :: 3." in c}
    assert pythons == {"3.11", "3.12", "3.13"}


def test_every_command_of_the_manifest_can_be_imported() -> None:
    """No contribution names something that is not there."""
    manifest = PluginManifest.from_file(ROOT / "napari.yaml")
    assert manifest.contributions.commands
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        source = ROOT / (module.replace(".", "/") + ".py")
        text = source.read_text()
        assert f"def {name}(" in text or f"class {name}(" in text, command.python_name


def test_looking_at_files_needs_no_torch() -> None:
    """``mrseg inspect`` and napari's reader start without what only a network needs: torch, Qt, napari."""
    code = "import sys, napari_mrseg.io, napari_mrseg.cli.subject; print([m for m in sys.argv[1:] if m in sys.modules])"
    words = [sys.executable, "-c", code, "torch", "monai", "qtpy", "napari", "SimpleITK", "highdicom"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_links_of_the_readme_hold_on_a_package_index() -> None:
    """An index has no ``docs/``: a link into the repository becomes its address there, or, without one, plain text."""
    text = "![The window](docs/a.png) [Speed](docs/speed.md) · [the paper](https://arxiv.org/abs/2509.16170)"
    paper = "[the paper](https://arxiv.org/abs/2509.16170)"
    assert for_index(text) == f" Speed · {paper}"
    absolute = for_index(text, "https://x.org/blob/main/")
    assert absolute == (
        f"![The window](https://x.org/blob/main/docs/a.png) [Speed](https://x.org/blob/main/docs/speed.md) · {paper}"
    )
    links = re.findall(r"\]\(([^)]+)\)", for_index((ROOT / "README.md").read_text(encoding="utf-8")))
    assert all(link.startswith("https://") for link in links)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """In the clone, every file that the README links to is there; and it fits on three screens."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []
    assert len(text.splitlines()) <= 120


def test_an_extra_that_an_error_names_exists() -> None:
    """Whatever sentence says ``pip install "napari-mrseg[…]"`` names an extra of pyproject.toml."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    files = [*(ROOT / "napari_mrseg").rglob("*.py"), *(ROOT / "training").rglob("*.py"), ROOT / "README.md"]
    named = {
        n for f in files for n in re.findall(r"napari-mrseg\[([a-z,]+)\]", f.read_text(encoding="utf-8"))
    }
    assert {part for name in named for part in name.split(",")} <= set(extras)
    assert {"all", "dicom", "remote", "cohort", "train", "backbones"} <= set(extras)


def test_every_benchmark_says_what_it_proves() -> None:
    """benchmarks/README.md lists each script that is there, and no other."""
    folder = ROOT / "benchmarks"
    listed = set(re.findall(r"`(\w+\.py)`", (folder / "README.md").read_text(encoding="utf-8")))
    assert listed == {path.name for path in folder.glob("*.py")}


def test_no_two_modules_have_the_same_name() -> None:
    """A file's name means one thing in library, training package and tools; ``__init__`` and the like aside."""
    every = [
        path.name
        for folder in ("napari_mrseg", "training", "tools")
        for path in (ROOT / folder).rglob("*.py")
    ]
    twice = {name for name in every if every.count(name) > 1 and not name.startswith("__")}
    assert twice == set()
