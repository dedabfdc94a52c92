"""Which modality a series shows: from what people wrote of it and from how it was taken, one checked by the other."""

from __future__ import annotations

from napari_mrseg.io.dicom.index import FEW_SLICES, Series
from napari_mrseg.io.verdict import Timing, Verdict, decide, verdict_of
from napari_mrseg.io.words import words_of
from napari_mrseg.tasks import Task

_MAPS = (
    "ADC",
    "FA",
    "TRACEW",
    "MIP",
    "PROJECTION IMAGE",
    "SUBTRACTION",
    "SUB",
    "PERFUSION",
    "MEAN",
    "T1 MAP",
    "T2 MAP",
)
_NO_AGENT = ("", "no", "none", "n", "without", "ohne", "nil")


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


def has_agent(series: Series) -> bool:
    """True if the file says that a contrast agent was given before."""
    if len(series.header.get("ContrastBolusAgentSequence") or ()):  # of enhanced files
        return True
    agent = series.header.get("ContrastBolusAgent")
    return agent is not None and str(agent).strip().lower() not in _NO_AGENT


def judge(series: Series, task: Task) -> Verdict:
    """What the series shows, why, and whether that is in doubt."""
    if series.refusal:
        return Verdict(None, series.refusal)
    if len(series.frames) < FEW_SLICES:
        return Verdict(None, f"{len(series.frames)} slices only: a localiser or a picture")
    kinds = set(series.image_type)
    if "LOCALIZER" in kinds:
        return Verdict(None, "a localiser")
    shown = next((kind for kind in _MAPS if kind in kinds), None)
    if shown:
        return Verdict(None, f"computed from other series ({shown})")
    if kinds & {"P", "PHASE", "PHASE MAP", "R", "I", "REAL", "IMAGINARY"} and not kinds & {"M", "MAGNITUDE"}:
        return Verdict(None, "phase or a part of the complex signal, not its magnitude")
    if (series.number_of("DiffusionBValue") or 0) > 0:
        return Verdict(None, "diffusion-weighted")
    return decide(verdict_of(words_of(series.words), task), timing_of(series), has_agent(series), task)
