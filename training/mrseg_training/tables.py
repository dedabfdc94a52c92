"""The tables of a Markdown page as LaTeX and CSV beside it: the same cells, a file a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mrseg_training.atomic import write_atomically

FOLDER = "tables"
_SIGNS = {
    "●": r"$\bullet$",
    "○": r"$\circ$",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "³": "$^3$",
}
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclass(frozen=True)
class Table:
    """``above``: the paragraph before it; ``words``: how many of its first columns are set to the left."""

    above: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int


def tables_in(page: str) -> Iterator[Table]:
    """The tables of a page of Markdown."""
    lines, above, at = page.splitlines(), "", 0
    while at < len(lines):
        if lines[at].startswith("|") and at + 1 < len(lines) and re.fullmatch(r"[|:\s-]+", lines[at + 1]):
            end = at
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            heads, under, *rows = (_cells(line) for line in lines[at:end])
            words = sum(not cell.endswith(":") for cell in under)
            yield Table(above, heads, rows, words)
            above, at = "", end
        else:
            above = lines[at].strip() or above
            at += 1


def latex(table: Table) -> str:
    """A ``tabular`` for the package booktabs, what stood above it as a comment."""
    columns = "l" * table.words + "r" * (len(table.heads) - table.words)
    lines = [
        *(f"% {table.above}" for _ in [0] if table.above),
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row(table.heads),
        r"\midrule",
        *(_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def comma_separated(table: Table) -> str:
    """The cells as they stand in the page; an open or filled dot is 0 or 1."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(table.heads)
    writer.writerows([{"●": "1", "○": "0", "–": ""}.get(cell, cell) for cell in row] for row in table.rows)
    return stream.getvalue()


def write_page(path: Path, page: str) -> None:
    """Write ``page`` at ``path`` and its tables into :data:`FOLDER` beside it, ``NAME-1.tex`` and ``NAME-1.csv`` on."""
    folder = path.parent / FOLDER
    for old in folder.glob(f"{path.stem}-*"):  # of a page that is replaced
        if re.fullmatch(rf"{re.escape(path.stem)}-\d+\.(tex|csv)", old.name):
            old.unlink()
    for number, table in enumerate(tables_in(page), start=1):
        write_atomically(folder / f"{path.stem}-{number}.tex", latex(table).encode())
        write_atomically(folder / f"{path.stem}-{number}.csv", comma_separated(table).encode())
    write_atomically(path, page.encode())


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(_escaped(cell) for cell in cells) + r" \\"


def _escaped(text: str) -> str:
    text = re.sub(r"`([^`]*)`", r"\1", text)
    text = "".join(_SPECIAL.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
    return "".join(_SIGNS.get(c, c) for c in text)
