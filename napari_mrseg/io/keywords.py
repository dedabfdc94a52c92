"""Words in file names and descriptions, and which modality of a task they claim."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from napari_mrseg.io.agent import BOTH, POST, PRE, SIDES, Side, Word, Words, hear, side_of
from napari_mrseg.tasks import Modality, Task

# After one of these words comes the space a file was moved into, not what it shows ("T1_to_FLAIR"). "space" is none of
# them: SPACE is a sequence as well ("t2_space_flair"), so both words count and the user is asked.
_TARGET_WORDS = frozenset({"to", "regto", "reg2", "in", "into", "on"})
# BIDS entities that say nothing about the contrast; their values may look like a modality ("acq-T1").
_BIDS_IGNORED = frozenset({"sub", "ses", "acq", "rec", "run", "echo", "part", "chunk", "space", "res", "dir"})
_FREE = ("acq", "rec", "desc")  # BIDS entities in whose values people say what they like
_PARTS = {
    "phase": "phasepart",
    "real": "realpart",
    "imag": "imaginary",
}  # of the complex signal, as BIDS has them
# Planes and grammar, which say nothing about the contrast.
PLANES = frozenset({"tra", "cor", "sag", "ax", "axial", "coronal", "sagittal"})
_NEUTRAL = PLANES | {"with", "con", "avec", "mit", "without", "wo"}


@dataclass(frozen=True)
class Claim:
    """The words ``start:stop`` of a name are a name of ``modality``."""

    start: int
    stop: int
    modality: str
    text: str


def siblings(task: Task, name: str) -> tuple[Modality, Modality] | None:
    """(before, after an agent): the two modalities of the weighting of ``name``; None if no agent is at stake."""
    own = task.modality(name).weighting
    alike = [m for m in task.modalities if own and m.weighting == own]
    before, after = [m for m in alike if not m.agent], [m for m in alike if m.agent]
    return (before[0], after[0]) if before and after else None


def find_claims(words: Words, task: Task) -> list[Claim]:
    """Names of modalities among ``words``; not one inside a longer one, nor what a file was registered to.

    What is said of an agent right after a name belongs to it: "t1", then "+C", is the modality after the agent.
    """
    found = [
        Claim(start, start + len(name), modality.name, _as_written(words[start : start + len(name)]))
        for modality in task.modalities
        for name in {hear(name) for name in modality.names}
        if not any(word in SIDES for word in name)
        for start in range(len(words) - len(name) + 1)
        if words[start : start + len(name)] == name
        and not _TARGET_WORDS & set(words[max(start - 1, 0) : start])
    ]
    found.sort(key=lambda c: (c.start - c.stop, -len(c.text), c.start))
    parts: list[Claim] = []
    for claim in found:
        if all(claim.stop <= k.start or claim.start >= k.stop for k in parts):
            parts.append(claim)
    joined: list[Claim] = []
    for claim in sorted(parts, key=lambda c: c.start):
        last = joined[-1] if joined else None
        if last is not None and last.stop == claim.start and last.modality == claim.modality:
            joined[-1] = Claim(last.start, claim.stop, last.modality, f"{last.text} {claim.text}")
        else:
            joined.append(claim)
    return [_with_agent(claim, words, task) for claim in joined]


def _with_agent(claim: Claim, words: Words, task: Task) -> Claim:
    pair = siblings(task, claim.modality)
    if pair is None or claim.stop >= len(words) or words[claim.stop] not in (POST, PRE):
        return claim
    modality = pair[1] if words[claim.stop] == POST else pair[0]
    return Claim(claim.start, claim.stop + 1, modality.name, _as_written(words[claim.start : claim.stop + 1]))


def _as_written(words: Sequence[Word]) -> str:
    return " ".join(word.written for word in words if word.written)


@lru_cache(maxsize=16)
def qualifiers(task: Task) -> dict[str, tuple[str, frozenset[str]]]:
    """Words that turn one modality into another: "tirm" → (flair, {t2}), because "t2_tirm_tra_dark_fluid" is a FLAIR.

    Such a word standing apart ("t2_tirm_cor") leaves a doubt that must not pass as plain T2.
    """
    plain = {name: m.name for m in task.modalities for name in m.names}
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for modality in task.modalities:
        for name in map(hear, modality.names):
            bases = {plain[w] for w in name if w in plain} - {modality.name}
            for word in name:
                if bases and word not in plain and word not in _NEUTRAL and word not in SIDES:
                    found[word] = (modality.name, frozenset(bases))
    return found


def is_one_word(claim: Claim, words: Words) -> bool:
    """True if modality and agent are one word of the name, as data sets write them: "t1ce", "t1n", "T1POST"."""
    last = words[claim.stop - 1]
    return last in (POST, PRE) and not last.written


def words_of(stem: str) -> Words:
    """Words of a file name without its ending, or of a description, in lower case.

    A phrase about a contrast agent is one word (:func:`~.agent.hear`). BIDS entities that do not matter are left out.
    """
    if not re.match(r"(?i)sub-[a-z0-9]+_", stem):
        return hear(stem)
    # BIDS: key-value pairs, then what it is
    parts: list[str] = []
    agents: list[Word] = []
    for part in stem.split("_"):
        key, dash, value = part.partition("-")
        key = key.lower()
        if key == "ce" and dash:
            agents.append(_label(value))
            continue
        if key in _FREE and dash:
            agents += [Word(word, word.written or value) for word in hear(value) if word in SIDES]
        if key == "part" and value.lower() in _PARTS:
            parts.append(_PARTS[value.lower()])
        elif key not in _BIDS_IGNORED or not dash:
            parts.append(part)
    words = hear("_".join(parts))
    # Right after what it is, or "T1w" and a word apart would leave a doubt.
    side = side_of(agents)
    sign = {"post": POST, "pre": PRE, "both": BOTH}.get(side)
    formal = len(agents) == 1 and agents[0].written.startswith("ce-")  # a label of its own, as good as "t1ce"
    return words if sign is None else (*words, Word(sign, "" if formal else _as_written(agents)))


def _label(value: str) -> Word:
    """What the label of the BIDS entity "ce" says: any agent but a denial."""
    side = side_of(hear(value))
    denied = side == "pre" or value.lower() in ("none", "no", "non", "nil", "0", "false", "without", "na")
    return Word(BOTH if side == "both" else PRE if denied else POST, f"ce-{value}")


def unsaid(words: Words, used: set[int], ends: tuple[int, int]) -> tuple[str, ...]:
    """Words of a name that decided nothing: not ``used``, not shared by all names, no number, no grammar."""
    passed = _NEUTRAL | _TARGET_WORDS | frozenset(SIDES)
    inside = range(ends[0], len(words) - ends[1])
    return tuple(
        w.written
        for i in inside
        if i not in used
        and (w := words[i]) not in passed
        and w.written
        and not re.fullmatch(r"[a-z]?\d+[a-z]?", w)
    )


def common_ends(names: Sequence[Words]) -> tuple[int, int]:
    """How many first and last words all ``names`` share; (0, 0) for a single one."""
    if len(names) < 2:
        return 0, 0
    shortest = min(map(len, names))
    first = next((i for i in range(shortest) if len({n[i] for n in names}) > 1), shortest)
    last = next((i for i in range(shortest - first) if len({n[-1 - i] for n in names}) > 1), shortest - first)
    return first, last


def side_inside(words: Words, ends: tuple[int, int]) -> Side:
    """What a name says of an agent, but for the words that all names share."""
    return side_of(words[ends[0] : len(words) - ends[1]])
