"""The manual as a site: every page, link and reference of it holds, and every command is in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from napari_mrseg.cli import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_page_is_built(site: Path) -> None:
    """Each entry of the navigation, over six headings, is a page."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2])
    assert [next(iter(part)) for part in nav] == [
        "Start", "Use", "Research", "Reference", "Evidence", "Contributing",
    ]  # fmt: skip
    for part in nav:
        for entry in next(iter(part.values())):
            name = entry if isinstance(entry, str) else next(iter(entry.values()))
            page = site / name.removesuffix(".md") / "index.html"
            assert page.is_file() or (site / name).with_suffix(".html").is_file(), name


def test_the_reference_has_every_command_and_public_name(site: Path) -> None:
    """What can be called from a terminal or from Python has its entry."""
    import napari_mrseg
    from napari_mrseg import extend

    commands = (site / "reference" / "cli" / "index.html").read_text(encoding="utf-8")
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f'id="mrseg-{name}"' in commands, name
    door = (site / "api" / "index.html").read_text(encoding="utf-8")
    for name in set(napari_mrseg.__all__) - {"__version__", "Task"}:
        assert f'id="napari_mrseg.{name}"' in door, name
    building = (site / "api" / "extend" / "index.html").read_text(encoding="utf-8")
    for name in set(extend.__all__) - {"Outcome", "Volume"}:
        assert f'id="napari_mrseg.extend.{name}"' in building, name
    assert ":func:" not in door + building
    assert ":class:" not in door + building
