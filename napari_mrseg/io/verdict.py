"""What an image shows: by the words of its name, by how it was taken, and by both, one checked by the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from napari_mrseg.io.words import Claim, Words, find_claims, is_denied, is_negated, qualifiers, unsaid
from napari_mrseg.tasks import Task

Confidence = Literal["", "likely", "sure"]

_ACQUIRED = {  # of enhanced files, Acquisition Contrast
    "T1": "T1",
    "T2": "T2",
    "FLUID_ATTENUATED": "FLAIR",
    "PROTON_DENSITY": "PD",
    "T2_STAR": "T2*",
    "DIFFUSION": "diffusion",
    "PERFUSION": "perfusion",
    "FLOW_ENCODED": "flow",
    "SUSCEPTIBILITY": "susceptibility",
}


@dataclass(frozen=True)
class Verdict:
    """A modality's name or None, the reason, and the modalities between which it is open (or which it may not be).

    ``other``: it is known to be something else. ``negated``: the name denies a contrast agent. ``confidence``: "likely"
    where one source says so, "sure" where the name and the way it was taken agree, or the user said it.
    """

    role: str | None
    reason: str
    doubt: tuple[str, ...] = ()
    other: bool = False
    negated: bool = False
    confidence: Confidence = ""


@dataclass(frozen=True)
class Timing:
    """How a slice was taken, in ms; None for what is not said.

    ``gradient``: by a gradient echo; ``planar``: all lines after one excitation, as for diffusion, perfusion and
    function; ``acquired``: DICOM's own word for it.
    """

    echo: float | None = None
    repetition: float | None = None
    inversion: float | None = None
    gradient: bool = False
    planar: bool = False
    acquired: str = ""

    def __str__(self) -> str:
        said = [("TE", self.echo), ("TR", self.repetition), ("TI", self.inversion)]
        return ", ".join(f"{name} {value:.0f} ms" for name, value in said if value)

    @property
    def weighting(self) -> str:
        """T1, T2, FLAIR, PD, T2*, …; empty where the times do not tell.

        The limits lie between the protocols in use at 1.5 and 3 T: a FLAIR waits until fluid gives no signal (TI from
        1.5 s), a T1 spin echo repeats within 1.2 s, a T2 one lets 60 ms pass.
        """
        if self.acquired:
            return _ACQUIRED.get(self.acquired, "")
        if self.planar:
            return ""
        te, tr, ti = self.echo, self.repetition, self.inversion or 0.0
        if te is None or tr is None:
            return "FLAIR" if ti >= 1500 else ""
        if ti >= 1500 and tr >= 3500:
            return "FLAIR"
        if self.gradient:
            if te >= 12 and tr < 2000:
                return "T2*"
            return "T1" if te < 12 else ""
        if te <= 40 and (tr <= 1200 or 250 <= ti <= 1400):
            return "T1"
        if te >= 60 and tr >= 1500 and not ti:
            return "T2"
        if te < 60 and tr > 1500 and not ti:
            return "PD"
        return ""


def verdict_of(
    words: Words, task: Task, common: tuple[int, int] = (0, 0), claims: Sequence[Claim] | None = None
) -> Verdict:
    """What the ``words`` of a name say. ``common``: how many first and last ones all names beside it share."""
    claims = list(find_claims(words, task) if claims is None else claims)
    if len({c.modality for c in claims}) > 1:
        # What all scans share at either end decides nothing.
        first, last = common
        own = [c for c in claims if first <= c.start and c.stop <= len(words) - last]
        claims = own or claims
    names = tuple(dict.fromkeys(c.modality for c in claims))
    inside = range(common[0], len(words) - common[1])
    if not names:
        other = next((words[i] for i in inside if _bare(words[i]) in task.other_names), None)
        if other is not None:
            return Verdict(None, f"its name says “{other}”: another sequence or a map", other=True)
        known = ", ".join(f"“{w}”" for w in words[:4])
        return Verdict(None, f"no word of the name ({known}) is a known modality or reference word")
    if len(names) > 1:
        said = " and ".join(f"“{c.text}”" for c in claims)
        other = next((words[i] for i in inside if _bare(words[i]) in task.other_names), None)
        if other is not None:
            return Verdict(None, f"its name says {said} and “{other}”: another sequence or a map", other=True)
        return Verdict(None, f"its name says {said}", doubt=names)
    used = {i for c in claims for i in range(c.start, c.stop)}
    apart = qualifiers(task)
    negated = False
    for i in inside:
        if i in used:
            continue
        said = f"its name says “{claims[0].text}” and “{words[i]}”"
        other_one, bases = apart.get(words[i], ("", frozenset()))
        if names[0] in bases:
            negated = negated or is_negated(words, i)
            if not is_negated(words, i):
                return Verdict(None, said, doubt=(names[0], other_one))
        if _bare(words[i]) in task.other_names:
            return Verdict(None, f"{said}: another sequence or a map, no plain {names[0]}", other=True)
        if _bare(words[i]) in task.doubtful_names:
            return Verdict(None, said, doubt=(names[0],))
    beside = unsaid(words, used, common)
    quoted = [f"“{w}”" for w in beside]
    listed = f"{', '.join(quoted[:-1])} and {quoted[-1]}" if len(quoted) > 1 else "".join(quoted)
    also = f", beside {listed}" if beside else ""
    negated = negated or is_denied(words)
    return Verdict(names[0], f"word “{claims[0].text}”{also}", negated=negated, confidence="likely")


def _bare(word: str) -> str:
    return re.sub(r"\d+d?$", "", word)


def decide(said: Verdict, timing: Timing, agent: bool, task: Task) -> Verdict:
    """What a name says (``said``) beside how the scan was taken and whether an agent was given."""
    taken = timing.weighting
    fitting = [m for m in task.modalities if taken and m.weighting == taken]
    if said.other:
        return said
    named = [said.role] if said.role else list(said.doubt)
    if not taken or not any(m.weighting for m in task.modalities):
        if said.role and agent:
            return _with_agent(said, task, said.role)
        return said
    if not fitting:
        # Times of no modality of the task: a proton density, a T2*.
        if said.role is None:
            return Verdict(None, f"{taken}-weighted by its times ({timing})")
        return Verdict(None, f"{said.reason}, but its times are {taken}'s ({timing})", doubt=(said.role,))
    names = [m.name for m in fitting]
    if not named:
        chosen = [m.name for m in fitting if m.agent == agent] or names
        how = " and an agent was given" if agent and any(m.agent for m in fitting) else ""
        reason = f"its name does not say; {taken} by its times ({timing}){how}"
        return Verdict(chosen[0], reason, confidence="likely")
    kept = [name for name in named if name in names]
    if not kept:
        return Verdict(
            None, f"{said.reason}, but its times are {taken}'s ({timing})", doubt=(*named, *names[:1])
        )
    if len(kept) == 1:
        sure = Verdict(kept[0], f"{said.reason}; {taken} by its times too ({timing})", confidence="sure")
        return _with_agent(sure, task, kept[0]) if agent and not said.negated else sure
    # The name has a word for an agent apart from the modality's ("T1 SE +C"), and the times agree with the modality.
    after = [name for name in kept if task.modality(name).agent]
    if len(after) == 1:
        given = "; an agent was given" if agent else ""
        confidence: Confidence = "sure" if agent else "likely"
        return Verdict(
            after[0], f"{said.reason}; {taken} by its times ({timing}){given}", confidence=confidence
        )
    return Verdict(None, f"{said.reason}; {taken} by its times ({timing})", doubt=tuple(kept))


def _with_agent(sure: Verdict, task: Task, role: str) -> Verdict:
    """The same weighting after an agent, where the task has it."""
    own = task.modality(role)
    after = [m for m in task.modalities if m.weighting and m.weighting == own.weighting and m.agent]
    if own.agent or not after:
        return sure
    return replace(sure, role=after[0].name, reason=f"{sure.reason}; an agent was given")
