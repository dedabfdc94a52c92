"""What an image shows: by the words of its name, by how it was taken, and by both, one checked by the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from napari_mrseg.io.acquisition import Timing
from napari_mrseg.io.agent import IN_WORDS, SIDES, Side, Vote, Word, Words, folded, weigh
from napari_mrseg.io.keywords import (
    PLANES,
    Claim,
    find_claims,
    is_one_word,
    qualifiers,
    siblings,
    side_inside,
    unsaid,
)
from napari_mrseg.tasks import Modality, Task

Confidence = Literal["", "likely", "sure"]


@dataclass(frozen=True)
class Decision:
    """A modality's name or None, the reason, and the modalities between which it is open (or which it may not be).

    ``other``: it is known to be something else. ``confidence``: "likely" where one source says so, "sure" where two do,
    or the user said it. ``made``: a word of the name says that it is a part, or that a program made it. ``heard``: what
    the name says of an agent, ``one_word`` with the modality in one word ("t1ce").
    ``question``: what the user should check, though the file is used; ``near``: what it claimed to be when set aside.
    """

    role: str | None
    reason: str
    doubt: tuple[str, ...] = ()
    other: bool = False
    confidence: Confidence = ""
    heard: Side = ""
    one_word: bool = False
    made: bool = False
    question: str = ""
    near: tuple[str, ...] = ()


def decide_by_name(
    words: Words, task: Task, common: tuple[int, int] = (0, 0), claims: Sequence[Claim] | None = None
) -> Decision:
    """What the ``words`` of a name say. ``common``: how many first and last ones all names beside it share."""
    claims = _own_claims(list(find_claims(words, task) if claims is None else claims), words, common)
    names = tuple(dict.fromkeys(c.modality for c in claims))
    inside = range(common[0], len(words) - common[1])
    heard = side_inside(words, common)
    other = _other(words, inside, claims, task)
    if not names:
        return _without_claim(words, other, heard)
    if len(names) > 1:
        claimed = " and ".join(f"“{c.text}”" for c in claims)
        if other:
            reason = f"its name says {claimed} and “{other}”: another sequence or a map"
            return Decision(None, reason, other=True, near=names)
        return Decision(None, f"its name says {claimed}", doubt=names, heard=heard)
    (name,) = names
    if other:
        reason = f"its name says “{claims[0].text}” and “{other}”: another sequence or a map, no plain {name}"
        return Decision(None, reason, other=True, near=names)
    used = {i for c in claims for i in range(c.start, c.stop)}
    apart = {i: words[i] for i in inside if i not in used}
    return _doubted(name, claims[0], apart, heard, task) or _claimed(name, claims, words, used, common, heard)


def _own_claims(claims: list[Claim], words: Words, common: tuple[int, int]) -> list[Claim]:
    """Where a name claims several modalities: what all names share at either end decides nothing."""
    if len({c.modality for c in claims}) < 2:
        return claims
    first, last = common
    return [c for c in claims if first <= c.start and c.stop <= len(words) - last] or claims


def _without_claim(words: Words, other: str, heard: Side) -> Decision:
    if other:
        return Decision(None, f"its name says “{other}”: another sequence or a map", other=True)
    known = ", ".join(f"“{w.written}”" for w in words[:4] if w.written)
    reason = f"no word of the name ({known}) is a known modality or reference word"
    return Decision(None, reason, heard=heard)


def _doubted(name: str, claim: Claim, apart: Mapping[int, Word], heard: Side, task: Task) -> Decision | None:
    """Why the modality ``name`` is in doubt, by the words ``apart`` from its claim; None if it is not."""
    stated = f"its name says “{claim.text}”"
    for doubted in (task.made_names, task.doubtful_names):
        word = next((word for word in apart.values() if _bare(word) in folded(doubted)), None)
        if word:
            made = doubted is task.made_names
            return Decision(None, f"{stated} and “{word.written}”", doubt=(name,), heard=heard, made=made)
    for word in apart.values():
        instead, bases = qualifiers(task).get(word, ("", frozenset()))
        if name in bases:
            return Decision(None, f"{stated} and “{word.written}”", doubt=(name, instead), heard=heard)
    pair = siblings(task, name)
    # "T1 axial Gd": a word of an agent apart from the modality's is doubted unless something else agrees.
    if pair is not None and (heard == "both" or (heard == "post" and name == pair[0].name)):
        quoted = "".join(f" and “{w.written}”" for w in apart.values() if w in SIDES and w.written)
        return Decision(None, f"{stated}{quoted}", doubt=tuple(m.name for m in pair), heard=heard)
    return None


def _claimed(
    name: str, claims: Sequence[Claim], words: Words, used: set[int], common: tuple[int, int], heard: Side
) -> Decision:
    """The modality ``name``, and the words of the name that decided nothing."""
    listed = [f"“{w}”" for w in unsaid(words, used, common)]
    text = f"{', '.join(listed[:-1])} and {listed[-1]}" if len(listed) > 1 else "".join(listed)
    also = f", beside {text}" if listed else ""
    one_word = any(is_one_word(c, words) for c in claims)
    reason = f"word “{claims[0].text}”{also}"
    return Decision(name, reason, confidence="likely", heard=heard, one_word=one_word)


def _other(words: Words, inside: range, claims: Sequence[Claim], task: Task) -> str:
    """The word by which it is another sequence, a difference or a map, as it stood in the name; or nothing."""
    used = {i for c in claims for i in range(c.start, c.stop)}
    for i in inside:
        if i in used:
            continue
        known = (
            _is_subtraction(words, i, used)
            if words[i] == "sub"
            else _bare(words[i]) in folded(task.other_names)
        )
        if known and (words[i] != "sub" or "subtraction" in task.other_names):
            return words[i].written or str(words[i])
    return ""


def _is_subtraction(words: Words, i: int, used: set[int]) -> bool:
    """ "Sub" behind or right before a modality; before a number it is a subject's ("sub_01_t1", "t1_sub-01")."""
    after = words[i + 1] if i + 1 < len(words) else ""
    if re.match(r"[a-z]{0,4}\d", after) and i + 1 not in used:
        return False
    return any(u < i for u in used) or i + 1 in used or after in PLANES


def _bare(word: str) -> str:
    return re.sub(r"\d+d?$", "", word)


def decide(
    by_name: Decision,
    timing: Timing,
    votes: Sequence[Vote],
    task: Task,
    source: str = "name",
    own: Vote | None = None,
) -> Decision:
    """what a name says (``by_name``) beside how the scan was taken, and what else is known of an agent (``votes``).

    ``source``: what the name is, a file's name or a series' description; ``own``: what it says of an agent, if that is
    not all that ``by_name`` heard. The image is "sure" to be of its modality where name and times agree and, where an
    agent makes another modality of it, two sources agree whether one was given.
    """
    if by_name.other or by_name.made:
        return by_name
    taken = timing.weighting
    named = [by_name.role] if by_name.role else list(by_name.doubt)
    reason, timed = by_name.reason, False
    candidates = named
    if taken and any(m.weighting for m in task.modalities):
        names = [m.name for m in task.modalities if m.weighting == taken]
        if not names:  # times of no modality of the task: a proton density, a T2*
            if by_name.role is None:
                return Decision(None, f"{taken}-weighted by its times ({timing})", near=tuple(named))
            doubt = (by_name.role,)
            return Decision(None, f"{by_name.reason}, but its times are {taken}'s ({timing})", doubt=doubt)
        candidates = [name for name in named if name in names] if named else names
        if not candidates:
            between = (*named, *names[:1])
            return Decision(None, f"{by_name.reason}, but its times are {taken}'s ({timing})", doubt=between)
        timed = bool(named)
        too = " too" if by_name.role else ""
        reason = (
            f"{by_name.reason}; {taken} by its times{too} ({timing})"
            if named
            else f"its name does not say; {taken} by its times ({timing})"
        )
    if not candidates:
        return by_name
    pair = siblings(task, candidates[0])
    if pair is None or not set(candidates) <= {m.name for m in pair}:
        if len(candidates) > 1:
            return replace(by_name, reason=reason)
        if not timed and by_name.role is None and named:
            return by_name
        return Decision(candidates[0], reason, confidence="sure" if timed else "likely", heard=by_name.heard)
    if len(by_name.doubt) == 1 and not timed:  # "T1 GRE": an agent says nothing of what it may be
        return by_name
    return _with_agent(by_name, reason, timed, [own or _own_vote(by_name, source), *votes], pair, source)


def _own_vote(by_name: Decision, source: str) -> Vote:
    """What a name says of an agent; its silence says that there was none."""
    if by_name.heard:
        return Vote(source, by_name.heard, f"its {source} says {IN_WORDS[by_name.heard]}")
    return Vote(source, "pre", f"its {source} says nothing of an agent", 1)


def _with_agent(
    by_name: Decision,
    reason: str,
    timed: bool,
    votes: Sequence[Vote],
    pair: tuple[Modality, Modality],
    source: str,
) -> Decision:
    """The one of the ``pair`` (before, after an agent) that all sources together speak for."""
    every = list(votes)
    if by_name.one_word and source == "name":
        every.append(Vote("word", by_name.heard, "its name has it in one word, as data sets do"))
    found = weigh(every)
    both = tuple(m.name for m in pair)
    # A word for an agent apart from the modality's decides nothing alone: "T1 axial Gd".
    if not found.side or (by_name.doubt and not timed and len(votes) == 1):
        why = reason if len(votes) == 1 else f"{reason}; {found.reason}"
        return Decision(None, why, doubt=both, heard=by_name.heard)
    role, instead = (pair[1], pair[0]) if found.side == "post" else (pair[0], pair[1])
    also = "".join(f"; {v.reason}" for v in votes[1:] if v.side == found.side)
    if found.sure and (timed or by_name.role is not None or by_name.doubt):
        return Decision(
            role.name, reason + also, confidence="sure", heard=by_name.heard, one_word=by_name.one_word
        )
    alone = ", and nothing else does" if any(v.weight == 2 for v in every) else ""
    fix = f"if it is {instead.title}, say {instead.name}="
    question = f"was taken for {role.title} because {found.reason}{alone}; {fix}"
    return Decision(
        role.name,
        reason + also,
        confidence="likely",
        heard=by_name.heard,
        one_word=by_name.one_word,
        question=question,
    )
