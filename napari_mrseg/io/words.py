"""Words in file names, and which modality of a task they claim."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from napari_mrseg.tasks import Task

# After one of these words comes the space a file was moved into, not what it shows ("T1_to_FLAIR"). "space" is none of
# them: SPACE is a sequence as well ("t2_space_flair"), so both words count and the user is asked.
_TARGET_WORDS = frozenset({"to", "regto", "reg2", "in", "into", "on"})
# BIDS entities that say nothing about the contrast; their values may look like a modality ("acq-T1").
_BIDS_IGNORED = frozenset({"sub", "ses", "acq", "rec", "run", "echo", "part", "chunk", "space", "res", "dir"})
# Planes and grammar, which say nothing about the contrast; and words that take back the one after them.
_NEUTRAL = frozenset(
    {"tra", "cor", "sag", "with", "con", "avec", "mit", "ax", "axial", "coronal", "sagittal"}
)
_NEGATIONS = frozenset(
    {
        "pre",
        "no",
        "non",
        "without",
        "wo",
        "before",
        "sin",
        "senza",
        "sans",
        "ohne",
        "sem",
        "bez",
        "nativ",
        "native",
    }
)
# "+C" and the like, as consoles write it: an agent was given.
_PLUS = re.compile(r"\+[\s_.-]*(c|k|gd|gad|gado|contrast|contrast media|km|ce)(?![a-z0-9])")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """The words ``start:stop`` of a name are a name of ``modality``."""

    start: int
    stop: int
    modality: str
    text: str


def find_claims(words: Words, task: Task) -> list[Claim]:
    """Names of modalities among ``words``; not one inside a longer one, nor what a file was registered to."""
    found = [
        Claim(start, start + len(name), modality.name, " ".join(name))
        for modality in task.modalities
        for name in {_split(name) for name in modality.names}
        for start in range(len(words) - len(name) + 1)
        if words[start : start + len(name)] == name
        and not _TARGET_WORDS & set(words[max(start - 1, 0) : start])
    ]
    found.sort(key=lambda c: (c.start - c.stop, -len(c.text), c.start))
    kept: list[Claim] = []
    for claim in found:
        if all(claim.stop <= k.start or claim.start >= k.stop for k in kept):
            kept.append(claim)
    return sorted(kept, key=lambda c: c.start)


def qualifiers(task: Task) -> dict[str, tuple[str, frozenset[str]]]:
    """Words that turn one modality into another: "gd" → (t1ce, {t1}), because "t1_gd" is a name of t1ce.

    Such a word standing apart ("T1_axial_Gd") leaves a doubt that must not pass as plain T1.
    """
    plain = {name: m.name for m in task.modalities for name in m.names}
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for modality in task.modalities:
        for name in map(_split, modality.names):
            bases = {plain[w] for w in name if w in plain} - {modality.name}
            for word in name:
                if bases and word not in plain and word not in _NEUTRAL:
                    found[word] = (modality.name, frozenset(bases))
    return found


def is_negated(words: Words, index: int) -> bool:
    """True if the word before ``index`` takes it back ("T1_without_contrast")."""
    return index > 0 and words[index - 1] in _NEGATIONS


def is_denied(words: Words) -> bool:
    """True if one of the words says that no agent was given ("T1 pre", "t1_native")."""
    return any(word in _NEGATIONS or word.endswith(("pre", "native", "nativ")) for word in words)


def _split(text: str) -> Words:
    return tuple(word for word in re.split(r"[\s_.+-]+", text.lower()) if word)


def words_of(stem: str) -> Words:
    """Lower-case words of a file name without its ending; BIDS entities that do not matter are left out."""
    text = stem.lower()
    if re.match(r"sub-[a-z0-9]+_", text):  # BIDS: key-value pairs, then what it is
        # An agent named where BIDS leaves the words free ("acq-gd") is one all the same.
        text = re.sub(r"(?<=_)acq-[a-z0-9]*(gd|gad|contrast)[a-z0-9]*", "ce-gad", text)
        parts = [p for p in text.split("_") if p.partition("-")[0] not in _BIDS_IGNORED or "-" not in p]
        # Labels of the "ce" entity are free text: any agent counts, wherever it stands.
        agent = [p for p in parts if p.startswith("ce-")]
        parts = [p for p in parts if not p.startswith("ce-")]
        if agent and agent[0] not in ("ce-none", "ce-pre"):
            parts.insert(max(len(parts) - 1, 0), "ce-gad")
        text = "_".join(parts)
    text = re.sub(
        r"(?<![a-z])(pre|post)[\s_.-]*(op|operative|surgery|surgical|processed)(?![a-z])", r"\1\2", text
    )
    return _split(_PLUS.sub(" gad ", text))


def unsaid(words: Words, used: set[int], ends: tuple[int, int]) -> tuple[str, ...]:
    """Words of a name that decided nothing: not ``used``, not shared by all names, no number, no grammar."""
    said = _NEUTRAL | _NEGATIONS | _TARGET_WORDS
    inside = range(ends[0], len(words) - ends[1])
    return tuple(
        w
        for i in inside
        if i not in used and (w := words[i]) not in said and not re.fullmatch(r"[a-z]?\d+[a-z]?", w)
    )


def common_ends(names: Sequence[Words]) -> tuple[int, int]:
    """How many first and last words all ``names`` share; (0, 0) for a single one."""
    if len(names) < 2:
        return 0, 0
    shortest = min(map(len, names))
    first = next((i for i in range(shortest) if len({n[i] for n in names}) > 1), shortest)
    last = next((i for i in range(shortest - first) if len({n[-1 - i] for n in names}) > 1), shortest - first)
    return first, last
