"""What can be asked of a model: modalities, regions, labels. A task is data; nothing else names a modality."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations as _subsets
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from napari_mrseg.errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Output = Literal["sigmoid", "softmax"]

Combination = tuple[str, ...]
"""Names of the modalities in use, in the task's order."""


PALETTES = ("colour-blind safe", "red green yellow")
"""Okabe and Ito's colours, apart in grey print too; those of most BraTS papers."""
_palette = PALETTES[0]


def use_palette(name: str) -> None:
    """Take another of :data:`PALETTES` for the whole process, before anything is drawn."""
    global _palette
    _palette = PALETTES[PALETTES.index(name)]


@dataclass(frozen=True)
class Modality:
    """One kind of image: an input channel of the network, or three for a colour image.

    ``names`` are the words that files of this modality carry in their names, lower case. A name is matched
    against whole words of the file name; a longer one wins over a shorter one (``ce-gad_t1w`` over ``t1w``).

    ``colormap``: one of napari's, for what is no picture but a measurement: its scale is shown beside it.

    ``units``: of its values by how files store them, as NumPy writes it ("u2": unsigned, 16 bits), and up to which
    median they may be in it.

    ``holes``: 0 says that nothing was seen there (background, no depth), so it stays out of the normalisation.

    ``weighting``: T1, T2 or FLAIR, as echo, repetition and inversion time tell it, and ``agent``: after a contrast
    agent; empty where no scanner's times say anything.

    ``tail`` and ``rise``: lowest and highest that an image of it can show (:class:`~.inference.plausibility.Look`),
    0.2 or more beyond what was seen in real scans. ``typical``: mean and spread of both in those scans.
    """

    name: str
    title: str
    names: tuple[str, ...]
    weighting: str = ""
    agent: bool = False
    tail: tuple[float, float] = (-inf, inf)
    rise: tuple[float, float] = (-inf, inf)
    typical: tuple[tuple[float, float], tuple[float, float]] | None = None
    colormap: str = "gray"
    units: tuple[tuple[str, str, float], ...] = ()
    channels: Literal[1, 3] = 1
    holes: bool = True


@dataclass(frozen=True)
class Label:
    """One code of the label map. ``colours``: RGB by palette; the first one serves for those that are not given."""

    code: int
    name: str
    title: str
    colours: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def colour(self) -> str:
        """``#rrggbb`` of the palette in use: the same in overlay, legend, contact sheet, report and DICOM SEG."""
        return self.colours[min(PALETTES.index(_palette), len(self.colours) - 1)]


@dataclass(frozen=True)
class Region:
    """What is measured and compared: the union of the label ``codes``.

    ``paints`` is the code given to voxels of this region that no later region claims. ``needs`` lists the
    modalities without which the region is an estimate, ``unseen`` says so in the field's words, and
    ``unseen_code`` is that warning's name in results. ``code``: what DICOM calls it (value, scheme, meaning).
    """

    name: str
    title: str
    codes: tuple[int, ...]
    paints: int
    needs: tuple[str, ...] = ()
    unseen: str = ""
    unseen_code: str = ""
    code: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Task:
    """An ordered set of modalities and the regions a model finds in them.

    Attributes
    ----------
    nested
        True: each region lies within the one before it (WT ⊇ TC ⊇ ET).
    output
        How a network's logits, one per region, become probabilities. ``sigmoid``: each region for itself. ``softmax``:
        the regions exclude each other, and none of them has the logit 0.
    fill
        What stands in for a missing modality: ``zero``, or a ``copy`` of the first one there, after that one's own
        normalisation: a colour image's luminance where one channel is wanted, one channel three times where three are.
    ndim
        2: images, held as (1, P, L), or frames (time, P, L) that have nothing to do with each other; sizes count
        pixels. 3: volumes (I, P, L).
    aliases
        Codes of older data sets and what they are read as, e.g. BraTS 2021's 4 for enhancing tumour.
    schemes
        Other data sets' codes by name: (theirs, ours) each, 0 for what is nothing here.
    outermost
        The code around all others, by which another scheme is noticed.
    doubtful_names
        Words that leave open whether a file with a modality's name is a plain one: it is asked about.
    other_names
        Words of maps and other sequences: such a file is set aside, whatever else its name says.
    organ_names
        Words that make a mask one of the whole organ or a part of it, and no reference.
    finding_names
        Words by which such a mask is a reference all the same ("brain_tumor_seg").
    brain_from
        Modalities by how clearly they show where the brain ends.
    finding, subject, made_up
        What is looked for, what the images show, and what a simulated study is, in words.
    expects
        What images a model of this task expects unless its card says otherwise; others are warned of.
    brighter_fluid, rising, enhanced
        What the order of two modalities is known by: in the first, fluid is brighter, or white matter than cortex, or
        vessels are than all else.
    """

    name: str
    title: str
    modalities: tuple[Modality, ...]
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    nested: bool
    fill: Literal["zero", "copy"]
    ndim: Literal[2, 3]
    output: Output = "sigmoid"
    aliases: tuple[tuple[int, int], ...] = ()
    schemes: tuple[tuple[str, tuple[tuple[int, int], ...]], ...] = ()
    outermost: int | None = None
    reference_names: tuple[str, ...] = ("seg", "mask", "label", "labels", "dseg", "reference")
    doubtful_names: tuple[str, ...] = ()
    made_names: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()
    organ_names: tuple[str, ...] = ()
    finding_names: tuple[str, ...] = ()
    brain_from: tuple[str, ...] = ()
    finding: str = "an object"
    subject: str = "scene"
    made_up: str = "generated, not a photograph"
    expects: Literal["adult brain", "anything"] = "anything"
    brighter_fluid: tuple[tuple[str, str], ...] = ()
    rising: tuple[tuple[str, str], ...] = ()
    enhanced: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.nested and self.output == "softmax":
            raise ValueError(f"{self.name}: nested regions do not exclude each other; use sigmoid")

    @property
    def unit(self) -> str:
        """Unit of a region's size."""
        return "mL" if self.ndim == 3 else "px"

    @property
    def length_unit(self) -> str:
        """Unit of a spacing or a distance."""
        return "mm" if self.ndim == 3 else "px"

    @property
    def world_unit(self) -> str:
        """:attr:`length_unit` as napari knows it."""
        return "mm" if self.ndim == 3 else "pixel"

    @property
    def channels(self) -> tuple[str, ...]:
        """The modality that each input channel of a network shows, e.g. ("rgb", "rgb", "rgb", "depth")."""
        return tuple(m.name for m in self.modalities for _ in range(m.channels))

    def span(self, name: str) -> slice:
        """Where a modality's channels stand among those of the network."""
        first = self.channels.index(name)
        return slice(first, first + self.modality(name).channels)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all modalities, in the task's order."""
        return tuple(m.name for m in self.modalities)

    def modality(self, name: str) -> Modality:
        """The modality called ``name``, in any case, or by a word that its files carry ("t1gd").

        Raises InputError that lists those there are.
        """
        for modality in self.modalities:
            if modality.name == name:
                return modality
        word = name.strip().lower()
        for modality in self.modalities:
            if word == modality.name or word in modality.names:
                return modality
        raise InputError(
            f"“{name}” is not a modality of the task {self.name}; it has {', '.join(self.names)}."
        )

    def knows(self, word: str) -> bool:
        """True if ``word`` is one of the names of a modality."""
        return any(word in (m.name, *m.names) for m in self.modalities)

    def region(self, name: str) -> Region:
        """The region called ``name``, in any case. Raises InputError that lists those there are."""
        for region in self.regions:
            if region.name.lower() == name.strip().lower():
                return region
        known = ", ".join(region.name for region in self.regions)
        raise InputError(f"“{name}” is not a region of the task {self.name}; it has {known}.")

    def combination(self, names: str | Iterable[str]) -> Combination:
        """Modalities in the task's order, each once: of a list, or of words such as "flair+t1" or "FLAIR, T1".

        Raises InputError for an unknown name or none at all.
        """
        words = re.split(r"[+,]", names) if isinstance(names, str) else names
        wanted = {self.modality(word).name for word in words if word.strip()}
        if not wanted:
            raise InputError(f"No modality is in use; switch on at least one of {', '.join(self.names)}.")
        return tuple(name for name in self.names if name in wanted)

    def combinations(self, present: Iterable[str] | None = None) -> tuple[Combination, ...]:
        """All non-empty subsets of ``present`` (default: of all modalities), largest first."""
        there = self.names if present is None else self.combination(present)
        return tuple(c for size in range(len(there), 0, -1) for c in _subsets(there, size))

    def estimated(self, combination: Sequence[str]) -> tuple[Region, ...]:
        """Regions that ``combination`` cannot show, because a modality they need is off."""
        return tuple(r for r in self.regions if not set(r.needs) <= set(combination))

    def estimated_labels(self, combination: Sequence[str]) -> tuple[Label, ...]:
        """Labels whose border depends on a modality that is off."""
        return tuple(label for label in self.labels if not set(label.needs) <= set(combination))

    def label_map(self, probabilities: Any, thresholds: Sequence[float] = ()) -> Any:
        """Label codes from regions' probabilities.

        ``probabilities``: (regions, ...) array or tensor in [0, 1]. Returns (...) of integer codes. Nested
        regions are made nested first (min with the region outside), so a voxel is in a region only if it is in
        every region around it. ``thresholds``: from which probability on a voxel belongs to each nested region (default
        0.5). Of other regions the likeliest one has the voxel: with softmax if none is less likely
        than it, else from 0.5 on.
        """
        if self.nested:
            cuts = thresholds or (0.5,) * len(self.regions)
            inside = probabilities[0] >= cuts[0]
            labels = inside * self.regions[0].paints
            for region, p, cut in zip(self.regions[1:], probabilities[1:], cuts[1:], strict=True):
                inside = inside & (p >= cut)
                labels = labels + inside * (region.paints - labels)
            return labels
        exclusive = self.output == "softmax"
        best = 1 - probabilities.sum(0) if exclusive else probabilities[0] * 0
        labels = (probabilities[0] < 0) * 0
        for region, p in zip(self.regions, probabilities, strict=True):
            wins = (p > best) if exclusive else (p > best) & (p >= 0.5)
            labels = labels + wins * (region.paints - labels)
            best = best + wins * (p - best)
        return labels


def sized(value: float, unit: str) -> str:
    """A region's size in words, without its unit: pixels are whole."""
    return f"{value:.0f}" if unit == "px" else f"{value:.1f}"


def key(combination: Sequence[str]) -> str:
    """The combination's name in files and tables, e.g. ``flair+t1ce``."""
    return "+".join(combination)


BRATS = Task(
    name="brats",
    title="Glioma on multi-parametric MRI (BraTS)",
    modalities=(
        Modality(
            "flair",
            "FLAIR",
            (
                *("flair", "t2f", "t2flair", "t2-flair", "t2_flair", "fla", "fl", "flr", "t2 flair"),
                *("darkfluid", "dark_fluid", "t2_darkfluid", "t2_dark_fluid"),
                *("t2_tirm_tra_dark_fluid", "t2_tirm_cor_dark_fluid", "t2_tirm_sag_dark_fluid"),
            ),
            weighting="FLAIR",
            tail=(-1.0, 0.55),
            rise=(-9.0, 0.5),
            typical=((0.07, 0.22), (-0.13, 0.26)),
        ),
        Modality(
            "t1",
            "T1",
            ("t1", "t1n", "t1w", "t1wi", "t1pre", "t1-pre", "t1_pre", "t1native", "mprage", "t1加权"),
            weighting="T1",
            tail=(-1.0, 0.25),
            rise=(-0.25, 9.0),
            typical=((-0.26, 0.13), (0.36, 0.16)),
        ),
        Modality(
            "t1ce",
            "T1ce",
            (
                *("t1ce", "t1c", "t1gd", "t1post", "t1-post", "t1_post", "t1-ce", "t1_ce", "t1_c"),
                *("t1-gd", "t1_gd", "t1contrast", "t1_contrast", "t1_enhanced", "t1wce", "t1wpost", "t1gad"),
                *("postcontrast", "t1km", "t1_km"),  # what else means an agent, io/agent.py knows
            ),
            weighting="T1",
            agent=True,
            tail=(-1.0, 0.4),
            rise=(0.05, 9.0),
            typical=((-0.22, 0.19), (0.45, 0.13)),
        ),
        Modality(
            "t2",
            "T2",
            ("t2", "t2w", "t2wi", "t2tse", "t2_tse", "t2加权"),
            weighting="T2",
            tail=(-0.1, 1.0),
            rise=(-9.0, 0.5),
            typical=((0.52, 0.15), (-0.27, 0.28)),
        ),
    ),
    labels=(
        Label(1, "NCR", "necrotic / non-enhancing core", ("#D55E00", "#E41A1C"), needs=("t1ce",)),
        Label(2, "ED", "oedema", ("#56B4E9", "#4DAF4A")),
        Label(3, "ET", "enhancing tumour", ("#F0E442", "#FFE119"), needs=("t1ce",)),
    ),
    regions=(
        Region("WT", "whole tumour", (1, 2, 3), paints=2, code=("52988006", "SCT", "Lesion")),
        Region("TC", "tumour core", (1, 3), paints=1, code=("108369006", "SCT", "Neoplasm")),
        Region(
            "ET",
            "enhancing tumour",
            (3,),
            paints=3,
            needs=("t1ce",),
            unseen="no contrast: not observable",
            unseen_code="et_without_contrast",
            code=("C113842", "NCIt", "Enhancing Lesion"),
        ),
    ),
    nested=True,
    fill="zero",
    ndim=3,
    aliases=((4, 3),),
    schemes=(
        ("brats-2015", ((1, 1), (2, 2), (3, 1), (4, 3))),  # 3: what does not enhance of the core
        ("brats-2024", ((1, 1), (2, 2), (3, 3), (4, 0))),  # 4: the resection cavity
        ("brats-ped", ((1, 3), (2, 1), (3, 1), (4, 2))),  # 3: cysts, part of the core
        ("msd", ((1, 2), (2, 1), (3, 3))),  # Medical Segmentation Decathlon, task 1
        ("hd-glio", ((1, 2), (2, 3))),  # T2 hyperintensity, enhancing
        ("whole", ((1, 2), (255, 2))),  # a binary mask of everything
    ),
    outermost=2,
    reference_names=("seg", "mask", "label", "labels", "dseg", "reference", "segmentation", "segm", "gt"),
    doubtful_names=("star", "gre", "hemo", "stir", "fa", "md", "trace", "mag"),
    # Parts of a complex or an MP2RAGE signal, and what a program made: asked about, whatever else is known.
    made_names=(
        *("phase", "real", "uni", "unit1", "synthetic", "synth", "synthmr", "syntheticmr", "symri", "magic"),
        *("fake", "generated", "virtual", "gan", "translated", "imputed", "deepfake", "synthetisch"),
        *("synthetique", "sintetico", "sintetica", "syntetyczny", "синтетический"),
    ),
    other_names=(
        *("swi", "swan", "tof", "mra", "map", "mapping", "ratio", "difference", "differences", "subtraction"),
        # What shows a change between two scans, in the languages of those who name series.
        *(
            "subtracted",
            "subtract",
            "subtr",
            "subtrac",
            "subtraktion",
            "subtrahiert",
            "subtractie",
            "soustraction",
        ),
        *(
            "soustraite",
            "sottrazione",
            "sottratta",
            "sottratto",
            "resta",
            "sustraccion",
            "substraccion",
            "subtracao",
        ),
        *("subtraido", "odejmowanie", "subtrakcja", "odejmowany"),
        *("subtrakce", "subtraktsioon", "subtraksjon", "subtraktio"),
        *("vahennys", "kivonas", "scadere", "cikarma"),
        *("subtraksiyon", "вычитание", "субтракция", "разность", "αφαιρεση"),
        *("减影", "減影", "剪影", "差分", "サブトラクション", "감산"),
        *("differenz", "differenza", "diferencia", "diferenca"),
        *("roznica", "verschil", "minus", "dynamic", "dyn", "dynamisch", "dynamique", "dinamico"),
        *("dinamica", "dynamika", "twist", "tricks", "phasepart", "realpart"),
        *("ph", "pha", "imaginary", "imag", "inv", "dir"),
        *("roi", "minip", "t2star", "t1rho", "mrv", "mrangio", "血管造影"),
        *("localizer", "localiser", "scout", "survey", "calibration", "fieldmap", "shim", "mip", "bold"),
        *(
            "adc",
            "dwi",
            "dti",
            "diff",
            "diffusion",
            "spectroscopy",
            "fmri",
            "perf",
            "perfusion",
            "dce",
            "dsc",
            "asl",
        ),
        *("rcbv", "cbv", "rcbf", "cbf", "mtt", "ttp", "tmax", "ktrans"),
        *("prob", "probability", "probabilities", "biasfield", "bias"),
        *("pred", "prediction", "predicted", "residual"),
    ),
    organ_names=(
        *(
            "brain",
            "bet",
            "head",
            "skull",
            "hdbet",
            "synthstrip",
            "brainmask",
            "ventricle",
            "ventricles",
            "csf",
        ),
        *(
            "wm",
            "gm",
            "tissue",
            "tissues",
            "hippocampus",
            "aseg",
            "aparc",
            "synthseg",
            "parcellation",
            "vessel",
            "vessels",
        ),
        *("deface", "defaced", "defacing", "defacemask", "face"),
        *("facemask", "mideface", "pydeface", "skullstrip", "stripped"),
        *("braintissue", "parenchyma", "intracranial", "icv", "scalp"),
        *("body", "air", "background", "foreground", "fov"),
        *("brainstem", "cerebellum", "thalamus", "amygdala", "putamen"),
        *("caudate", "striatum", "cortex", "lobe", "lobes"),
        *(
            "atlas",
            "eye",
            "eyes",
            "orbit",
            "orbits",
            "globe",
            "optic",
            "chiasm",
            "nerve",
            "cochlea",
            "pituitary",
        ),
        *("lung", "lungs", "liver", "kidney", "kidneys", "spleen"),
        *("heart", "prostate", "breast", "bone", "spine", "cord"),
        *("gehirn", "hirn", "schadel", "cerveau", "crane", "cervello"),
        *("cranio", "cerebro", "craneo", "mozg", "czaszka", "мозг"),
    ),
    finding_names=("tumor", "tumour", "lesion", "lesions", "glioma", "gbm", "brats", "wt", "tc", "et", "gtv"),
    brain_from=("t1", "t1ce", "flair", "t2"),
    finding="a tumour",
    subject="head",
    made_up="simulated, not a patient",
    expects="adult brain",
    # Not every tumour enhances, but vessels do.
    brighter_fluid=(("t2", "flair"), ("t2", "t1"), ("t2", "t1ce")),
    rising=(("t1", "flair"), ("t1ce", "flair")),
    enhanced=(("t1ce", "t1"),),
)

_METRIC = (("u2", "mm", 10_000.0), ("f4", "m", 50.0), ("f8", "m", 50.0))
_COLOUR = Modality(
    "rgb", "Colour", ("rgb", "color", "colour", "image", "images", "img"), channels=3, holes=False
)
_DEPTH = Modality("depth", "Depth", ("depth", "depth_bfx", "disparity"), colormap="viridis", units=_METRIC)
_SEEN = ("seg", "mask", "masks", "label", "labels", "reference", "gt", "groundtruth")


def _salient_object(name: str, title: str, second: Modality) -> Task:
    return Task(
        name=name,
        title=title,
        modalities=(_COLOUR, second),
        labels=(Label(1, "object", "salient object", ("#FF00FF",)),),  # magenta: hardly any photo holds it
        regions=(Region("object", "salient object", (1,), paints=1),),
        nested=False,
        fill="copy",
        ndim=2,
        aliases=((255, 1),),
        reference_names=_SEEN,
    )


RGBD_SOD = _salient_object("rgbd-sod", "Salient object in colour and depth (RGB-D)", _DEPTH)
RGBT_SOD = _salient_object(
    "rgbt-sod",
    "Salient object in colour and thermal infrared (RGB-T)",
    Modality(
        "thermal",
        "Thermal",
        ("thermal", "t", "ir", "infrared", "tir", "lwir"),
        colormap="inferno",
        holes=False,
    ),
)

# The classes of SUN RGB-D (Song 2015) in the order of its 37-class benchmark, with the colours usual for them.
_SUN = (
    ("wall", "#777777"), ("floor", "#F4F383"), ("cabinet", "#891C9D"), ("bed", "#96FFFF"), ("chair", "#367271"),
    ("sofa", "#0000B0"), ("table", "#FF4500"), ("door", "#5770FF"), ("window", "#00A321"), ("bookshelf", "#FF96FF"),
    ("picture", "#FFB40A"), ("counter", "#654656"), ("blinds", "#26E600"), ("desk", "#FF7846"), ("shelves", "#752979"),
    ("curtain", "#96FF00"), ("dresser", "#8400FF"), ("pillow", "#18D1FF"), ("mirror", "#BF8223"),
    ("floor mat", "#DBC86D"), ("clothes", "#9A3E56"), ("ceiling", "#FFBEBE"), ("books", "#FF00FF"),
    ("fridge", "#98A337"), ("tv", "#C04FD4"), ("paper", "#E6E6E6"), ("towel", "#358240"),
    ("shower curtain", "#9BF998"), ("box", "#574022"), ("whiteboard", "#D6D1AF"), ("person", "#AA003B"),
    ("night stand", "#FF0000"), ("toilet", "#C1C3EA"), ("sink", "#464873"), ("lamp", "#FFFF00"),
    ("bathtub", "#343983"), ("bag", "#0C532D"),
)  # fmt: skip

SUNRGBD = Task(
    name="sunrgbd",
    title="Indoor scenes in colour and depth (SUN RGB-D, 37 classes)",
    modalities=(_COLOUR, _DEPTH),
    labels=tuple(Label(code, name, name, (colour,)) for code, (name, colour) in enumerate(_SUN, start=1)),
    regions=tuple(Region(name, name, (code,), paints=code) for code, (name, _) in enumerate(_SUN, start=1)),
    nested=False,
    output="softmax",
    fill="copy",
    ndim=2,
    reference_names=(*_SEEN, "label37"),
    finding="any of its classes",
)

BRAIN = Task(
    name="brain",
    title="Brain in a scan of the head, any contrast",
    modalities=(Modality("head", "Head", ("head", "scan")),),
    labels=(Label(1, "brain", "brain", ("#009E73",)),),
    regions=(Region("brain", "brain", (1,), paints=1, code=("12738006", "SCT", "Brain")),),
    nested=False,
    fill="zero",
    ndim=3,
    reference_names=("brain", "mask", "seg", "bet", "brainmask"),
    finding="a brain",
    subject="head",
    made_up="simulated, not a patient",
)

GROUP = "napari_mrseg.tasks"
"""Entry points by which another package gives a task, e.g. ``mytask = "mypackage:MYTASK"`` in its pyproject.toml."""


class _Tasks(Mapping[str, Task]):
    """Our own tasks by name, then those of other packages, read when they are asked for."""

    def __init__(self, *own: Task) -> None:
        self._read = {task.name: task for task in own}
        self._own = tuple(self._read)

    def __getitem__(self, name: str) -> Task:
        if name not in self._read:
            self._read[name] = _loaded(self._others()[name])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._own, *self._others())))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _others(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points  # slow, and most runs ask for a task of our own

        return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in self._own}


def _loaded(entry: EntryPoint) -> Task:
    """Raises InputError that names the package, if it gives no task of that name."""
    where = f"The task “{entry.name}” comes from {entry.value}"
    try:
        found = entry.load()
    except Exception as error:
        raise InputError(
            f"{where}, which cannot be loaded ({error}); mend or remove that package."
        ) from error
    if not isinstance(found, Task):
        raise InputError(f"{where}, which is no Task; mend or remove that package.")
    if found.name != entry.name:
        raise InputError(f"{where}, whose own name is “{found.name}”; give both the same name.")
    return found


TASKS: Mapping[str, Task] = _Tasks(BRATS, RGBD_SOD, RGBT_SOD, SUNRGBD, BRAIN)
DEFAULT = BRATS
"""The task where nothing says which one is meant."""


def get_task(name: str) -> Task:
    """The task of that name. Raises InputError that lists the known ones."""
    try:
        return TASKS[name]
    except KeyError:
        raise InputError(f"Unknown task “{name}”; known: {', '.join(TASKS)}.") from None
