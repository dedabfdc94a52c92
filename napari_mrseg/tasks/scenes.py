"""Scenes in colour and depth or thermal infrared: salient objects, and the classes of SUN RGB-D."""

from __future__ import annotations

from napari_mrseg.tasks.schema import Label, Modality, Region, Task

_METRIC = (("u2", "mm", 10_000.0), ("f4", "m", 50.0), ("f8", "m", 50.0))
_COLOUR = Modality(
    "rgb",
    "Colour",
    ("rgb", "color", "colour", "image", "images", "img", "imgs", "photo", "visible", "vis"),
    channels=3,
    holes=False,
)
_DEPTH = Modality(
    "depth",
    "Depth",
    (
        *(
            "depth",
            "depth_bfx",
            "depths",
            "depthmap",
            "depth_map",
            "depth_raw",
            "disparity",
            "disp",
            "disparities",
        ),
        *("rawdepth", "depth_image", "depthimage", "invdepth"),
    ),
    colormap="viridis",
    units=_METRIC,
    distance=True,
)
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
        ("thermal", "t", "ir", "infrared", "tir", "lwir", "th", "flir", "thermo"),
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
