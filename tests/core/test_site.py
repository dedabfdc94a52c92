"""The manual as a site: every page, link and reference of it holds, and every command is in it."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import yaml
from typer.main import get_command

from napari_mrseg.cli import app

ROOT = Path(__file__).resolve().parents[2]
LINES = 250  # of a page: what is longer is two pages

# What readers ask first, and words of the answer.
CLINICIAN = {
    "Which files can I open?": "DICOM export or a zip of one",
    "May I use it for a patient?": "Not a medical device; not for diagnosis or treatment",
    "My scans still show the skull. Is that a problem?": "Heads with skull",
    "How do I correct a result?": "Edit a copy",
    "When must I not believe it?": "What it gets wrong",
}
STUDENT = {
    "How good is it, on which subjects?": "from which it has learnt nothing",
    "How do I get the table of a paper?": "mrseg evaluate --model compact",
    "How do I train on my data?": "mrseg train",
    "How do I add my network?": "napari_mrseg.networks",
    "How do I score predictions of another program?": "mrseg score",
}


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


class Page(HTMLParser):
    """A page's words and the pages that it links to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.words, self.links = file, "", set[Path]()
        self.feed(file.read_text(encoding="utf-8"))
        self.words = re.sub(r"\s+", " ", self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = unquote(urldefrag(dict(attrs).get("href") or "").url) if tag == "a" else ""
        if address and "://" not in address:
            there = (self.file.parent / address).resolve()
            self.links.add(there / "index.html" if there.is_dir() else there)

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("questions", [CLINICIAN, STUDENT], ids=["clinician", "student"])
def test_a_reader_finds_an_answer_within_two_clicks(site: Path, questions: dict[str, str]) -> None:
    """From the first page, through links as they stand on the pages."""
    start = site.resolve() / "index.html"
    near = {start}
    for _ in range(2):
        near |= {there for here in near for there in Page(here).links if there.is_file()}
    words = [Page(file).words for file in near if file.suffix == ".html"]
    unanswered = [question for question, answer in questions.items() if not any(answer in w for w in words)]
    assert not unanswered


def test_no_page_is_long() -> None:
    """A page that is written by hand has at most 250 lines."""
    long = {
        file.name: n
        for file in (ROOT / "docs").rglob("*.md")
        if (n := len(file.read_text().splitlines())) > LINES
    }
    assert not long
