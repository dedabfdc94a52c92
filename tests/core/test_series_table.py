"""Which modality a series is, on names and tags as scanners and people write them (``tests/series.txt``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_mrseg.io.acquisition import Timing
from napari_mrseg.io.agent import tag_vote
from napari_mrseg.io.decision import Decision, decide, decide_by_name
from napari_mrseg.io.keywords import words_of
from napari_mrseg.tasks import BRATS

TIMES = {
    "1": Timing(10, 550, None),  # spin echo
    "f": Timing(9, 2000, 860),  # T1 FLAIR
    "g": Timing(3, 1900, 900, gradient=True),  # MPRAGE and its like
    "s": Timing(4, 9, None, gradient=True),  # SPGR
    "2": Timing(100, 4800, None),
    "c": Timing(408, 3200, None),  # 3-D T2 by variable flip angles
    "F": Timing(120, 9000, 2500),
    "3": Timing(390, 5000, 1800),  # 3-D FLAIR
    "P": Timing(15, 3000, None),
    "*": Timing(20, 600, None, gradient=True),
    "w": Timing(20, 28, None, gradient=True),  # susceptibility
    "D": Timing(80, 6000, None, planar=True),
    "S": Timing(60, 4500, 160),  # STIR
    "A": Timing(3.5, 22, None, gradient=True),  # angiography
    "-": Timing(),
}


def read_table() -> list[tuple[str, str, bool, str]]:
    """Rows of ``tests/series.txt``."""
    rows = []
    for line in (Path(__file__).parents[1] / "series.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, how, agent, expected = (part.strip() for part in line.split("|"))
            rows.append((name, how, agent == "agent", expected))
    return rows


TABLE = read_table()


def outcome(found: Decision) -> str:
    return found.role or ("asked" if found.doubt else "aside")


def test_the_table_is_long() -> None:
    """At least 200 rows."""
    assert len(TABLE) >= 200


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[1]}{'+' if row[2] else ''}")
def test_a_series_is_what_its_name_and_times_say(row: tuple[str, str, bool, str]) -> None:
    """The modality, set aside, or asked about."""
    name, how, agent, expected = row
    said = decide_by_name(words_of(name), BRATS)
    votes = [tag_vote("Gadovist")] if agent else []
    assert outcome(decide(said, TIMES[how], votes, BRATS)) == expected
