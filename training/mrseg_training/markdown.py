"""Tables in Markdown: the one place that writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTHING = "–"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> list[str]:
    """The lines of a table: the first ``words`` columns to the left, the others, numbers, to the right."""
    under = ["---"] * words + ["--:"] * (len(heads) - words)
    return [line(heads), line(under), *(line(row) for row in rows)]


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def number(value: float | None, digits: int = 3) -> str:
    """``value`` with so many digits, or a dash where there is none."""
    return NOTHING if value is None or value != value else f"{value:.{digits}f}"
