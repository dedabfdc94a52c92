"""What MkDocs does beside reading `docs/`: pages that have their home elsewhere, and Sphinx's roles as plain code."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

ROOT = Path(__file__).resolve().parents[1]
_ROLE = re.compile(r":(?:func|class|meth|attr|mod|data):<code>~?\.*(?:\w+\.)*(\w+)</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made: the command line from its own help, and two files of the top level."""
    pages = {
        "reference/cli.md": command_line(),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "changes.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "]("),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_content(html: str, **_: object) -> str:
    """Show ``:func:`~package.name``` of docstrings as `name`, and the `::` before an example as a colon."""
    return _ROLE.sub(r"<code>\1</code>", html).replace("::</p>", ":</p>")


def command_line() -> str:
    """Every command of ``mrseg`` with its options, as Markdown."""
    from napari_mrseg.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="mrseg"), name="mrseg")
    text = re.sub(r"^Example: (.+)$", r"```console\n$ \1\n```", text, flags=re.MULTILINE)
    return text.replace("# `mrseg`", "# Command line", 1)
