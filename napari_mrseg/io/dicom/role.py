"""Which modality a series shows: from what people wrote of it and from how it was taken, one checked by the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from napari_mrseg.io.acquisition import Timing, is_derived, made_from
from napari_mrseg.io.agent import IN_WORDS, Vote, fold, side_of, tag_vote
from napari_mrseg.io.decision import Decision, decide, decide_by_name
from napari_mrseg.io.dicom.index import _NAMES as NAMES
from napari_mrseg.io.dicom.index import Series
from napari_mrseg.io.dicom.stack import FEW_SLICES
from napari_mrseg.io.keywords import words_of
from napari_mrseg.tasks import Task

DESCRIPTION, PROTOCOL = "description", "protocol"


def timing_of(series: Series) -> Timing:
    ms = series.number_of
    sequence = series.header.get("ScanningSequence") or ()
    kinds = {sequence} if isinstance(sequence, str) else {str(v) for v in sequence}
    echo = series.value("EchoPulseSequence")
    return Timing(
        ms("EchoTime") or ms("EffectiveEchoTime"),
        ms("RepetitionTime"),
        ms("InversionTime") or ms("InversionTimes"),
        gradient=str(echo) == "GRADIENT" or ("GR" in kinds and "SE" not in kinds),
        planar="EP" in kinds or str(series.value("EchoPlanarPulseSequence") or "") == "YES",
        acquired=str(series.value("AcquisitionContrast") or "").upper(),
    )


def description_of(series: Series) -> str:
    """What people wrote of it, whole: the patient's name is hidden where it is shown, not where it is judged."""
    return _text(series, "SeriesDescription") or _text(series, "ProtocolName")


def protocol_of(series: Series) -> str:
    """The protocol's name, where it says something else than the description."""
    text, description = _text(series, "ProtocolName"), description_of(series)
    return "" if fold(text) in fold(description) or fold(description) in fold(text) else text


def agent_votes(series: Series, *, protocol: bool = True) -> list[Vote]:
    """What tag, description and protocol say of an agent, without what follows from other series.

    ``protocol``: whether its name is this series' own; one that all series share is the examination's.
    """
    votes = [tag_of(series), _heard(DESCRIPTION, description_of(series), series)]
    if protocol:
        # "BRAIN W/WO CONTRAST" speaks of the visit, "T1 POST" of the series.
        own = _heard(PROTOCOL, protocol_of(series), series)
        votes.append(own if own and own.side != "both" else None)
    return [vote for vote in votes if vote]


def tag_of(series: Series) -> Vote | None:
    """What the agent's tag says."""
    items = series.header.get("ContrastBolusAgentSequence") or ()  # of enhanced files
    meanings = [str(item.get("CodeMeaning") or "contrast") for item in items]
    return tag_vote(" ".join(meanings) if meanings else series.header.get("ContrastBolusAgent"))


def judge(series: Series, task: Task, votes: Sequence[Vote] = (), *, protocol: bool = True) -> Decision:
    """What the series shows, why, and whether that is in doubt.

    ``votes``: what is known of an agent from other series; ``protocol``: as for :func:`agent_votes`.
    """
    return _without_names(_judged(series, task, votes, protocol), series)


def _judged(series: Series, task: Task, votes: Sequence[Vote], protocol: bool) -> Decision:
    by_description = decide_by_name(words_of(description_of(series)), task)
    second = decide_by_name(words_of(protocol_of(series)), task)
    near = (by_description.role,) if by_description.role else by_description.doubt or by_description.near
    if series.refusal:
        return Decision(None, series.refusal, near=near)
    if len(series.frames) < FEW_SLICES:
        return Decision(None, f"{len(series.frames)} slices only: a localiser or a picture")
    if "LOCALIZER" in series.image_type:
        return Decision(None, "a localiser")
    made = made_from(series.image_type)
    if made:
        return Decision(None, made, near=near)
    if (series.number_of("DiffusionBValue") or 0) > 0:
        return Decision(None, "diffusion-weighted")
    timing = timing_of(series)
    if not (by_description.role or by_description.doubt or by_description.other):
        by_description = second  # the description names no modality
    elif (
        by_description.role
        and second.role
        and not timing.weighting
        and _weighting(by_description, task) != _weighting(second, task)
    ):
        reason = f"its description says “{by_description.role}” and its protocol “{second.role}”"
        return Decision(None, reason, doubt=(by_description.role, second.role))
    every = agent_votes(series, protocol=protocol)
    silence = Vote(DESCRIPTION, "pre", f"its {DESCRIPTION} says nothing of an agent", 1)
    own = next((v for v in every if v.source == DESCRIPTION), silence)
    others = [v for v in every if v.source != DESCRIPTION]
    found = decide(by_description, timing, [*others, *votes], task, DESCRIPTION, own)
    if found.role and is_derived(series.image_type) and not found.question:
        question = "was computed from another series; if the original is there, use that"
        found = replace(found, confidence="likely", question=question)
    return found


def _weighting(decision: Decision, task: Task) -> str:
    return task.modality(decision.role or "").weighting


def _heard(source: str, text: str, series: Series) -> Vote | None:
    """What a text says of an agent; with weight 0 where it says so by what is the patient's name as well."""
    side = side_of(words_of(text))
    names = "|".join(map(re.escape, names_of(series))) or "(?!)"
    without = side_of(words_of(re.sub(rf"(?<![^\W_])(?:{names})(?![^\W_])", " ", fold(text))))
    if side and without and side != without:
        side = "both"
    if not side:
        return None
    by_name = "" if without else ", by a word that is the patient's name as well"
    return Vote(source, side, f"its {source} says {IN_WORDS[side]}{by_name}", 2 if without else 0)


def names_of(series: Series) -> list[str]:
    """The words of the patient's name and number, in lower case, the longest first."""
    words = {
        word
        for name in NAMES
        for word in re.split(r"[\s^=,_\\]+", fold(str(series.header.get(name) or "")))
        if len(word) > 1
    }
    return sorted(words, key=lambda word: (-len(word), word))


def _without_names(decision: Decision, series: Series) -> Decision:
    """The verdict with no word of the patient's name in what is quoted."""
    names = [name for name in names_of(series) if len(name) > 2]
    if not names:
        return decision
    pattern = re.compile("|".join(map(re.escape, names)), re.IGNORECASE)

    def hidden(text: str) -> str:
        return re.sub("“[^”]*”", lambda quoted: pattern.sub("…", quoted[0]), text)

    return replace(decision, reason=hidden(decision.reason), question=hidden(decision.question))


def _text(series: Series, name: str) -> str:
    return " ".join(str(series.header.get(name) or "").split())
