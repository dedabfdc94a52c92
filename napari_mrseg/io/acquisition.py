"""How an image was taken: its weighting by the scanner's times, and what its ImageType says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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


_MADE = {  # of ImageType, what is computed from other images
    *(
        "ADC",
        "FA",
        "TRACEW",
        "MIP",
        "MINIP",
        "PROJECTION IMAGE",
        "SUBTRACTION",
        "SUB",
        "SUBTRACT",
        "DIFFERENCE",
    ),
    *(
        "PERFUSION",
        "MEAN",
        "T1 MAP",
        "T2 MAP",
        "T1MAP",
        "T2MAP",
        "SYNTHETIC",
        "COMPUTED",
        "CALCULATED",
        "RATIO",
    ),
}
_PARTS = {"P", "PHASE", "PHASE MAP", "R", "I", "REAL", "IMAGINARY"}


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
        parts = [("TE", self.echo), ("TR", self.repetition), ("TI", self.inversion)]
        return ", ".join(f"{name} {value:.0f} ms" for name, value in parts if value)

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


def made_from(kinds: Iterable[str]) -> str:
    """Why an image of these kinds (ImageType, in capitals) is no scan of its own, or nothing."""
    there = set(kinds)
    made = next((kind for kind in sorted(_MADE) if kind in there), None)
    if made:
        return f"computed from other series ({made})"
    if there & _PARTS and not there & {"M", "MAGNITUDE"}:
        return "phase or a part of the complex signal, not its magnitude"
    return ""


def is_derived(kinds: Iterable[str]) -> bool:
    """True for a reformatted or filtered copy of a series, as ImageType says."""
    there = set(kinds)
    return "DERIVED" in there and bool(there & {"SECONDARY", "MPR", "REFORMATTED", "AVERAGE"})
