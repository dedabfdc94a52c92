"""Small synthetic studies and models for tests. Nothing here comes from a patient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from napari_mrseg.models.card import ModelCard
from napari_mrseg.models.store import Model, load_model, save_model
from napari_mrseg.models.unimrseg import Settings, UniMRSeg
from napari_mrseg.study import Grid, Image, Reference, Source, Study
from napari_mrseg.tasks import BRATS, RGBD_SOD

SHAPE = (24, 32, 28)


def source(name: str, shape: Sequence[int] = SHAPE, spacing: float = 1.0) -> Source:
    """A source whose file axes are I, P, L."""
    affine = np.array([[0, 0, -spacing, 10], [0, -spacing, 0, 20], [-spacing, 0, 0, 30], [0, 0, 0, 1.0]])
    return Source(Path(f"{name}.nii.gz"), Grid.of(shape, affine), sha256=f"{name}-{tuple(shape)}-{spacing}")


def volume(seed: int, shape: Sequence[int] = SHAPE) -> np.ndarray:
    """A textured ellipsoid with a bright ball in it, on a background of zero."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    brain = sum(a**2 for a in axes) < 0.8
    tumour = sum((a - 0.3) ** 2 for a in axes) < 0.06
    data = (300 + 40 * rng.standard_normal(shape) + 200 * tumour * (1 + seed % 3)) * brain
    return data.astype(np.float32)


def study(
    names: Iterable[str] = BRATS.names,
    *,
    shape: Sequence[int] = SHAPE,
    spacing: float = 1.0,
    reference: bool = False,
    case: str = "synthetic",
) -> Study:
    """A study of the given modalities, all on one grid."""
    order = BRATS.combination(names)
    images = {n: Image(volume(BRATS.names.index(n), shape), source(n, shape, spacing)) for n in order}
    found = None
    if reference:
        axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
        ball = sum((a - 0.3) ** 2 for a in axes)
        labels = np.select([ball < 0.01, ball < 0.03, ball < 0.06], [1, 3, 2], 0).astype(np.uint8)
        found = Reference(labels, source("seg", shape, spacing))
    return Study(BRATS, case, images, found)


def network(adapters: str = "reverse", seed: int = 0) -> UniMRSeg:
    """A tiny random network whose output depends on every input; adapters included."""
    torch.manual_seed(seed)
    made = UniMRSeg(
        Settings(width=4, aspp_rates=(1, 2), heads=(1, 1, 2, 2, 2), attention_window=4, adapters=adapters)
    )
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "hidden" in name:  # zero by default, which would leave the adapters without effect
                parameter.normal_(0, 0.05)
        made.head.weight.normal_(0, 1.0)
        made.head.bias.zero_()
    return made.eval()


def model(
    folder: Path,
    *,
    name: str = "tiny",
    adapters: str = "reverse",
    spacings: Sequence[float] = (1.0, 2.0),
    largest: Sequence[int] = (64, 64, 64),
    seed: int = 0,
) -> Model:
    """A model folder of random weights, saved and loaded again."""
    card = ModelCard(
        name=name,
        version="0.0",
        licence="none",
        task=BRATS.name,
        modalities=BRATS.names,
        regions=tuple(r.name for r in BRATS.regions),
        normalisation={"name": "robust"},
        validated=tuple({"spacing_mm": s, "extents_max": tuple(largest)} for s in spacings),
        trained_on=("nothing: random weights",),
        intended_use="tests",
        limitations="finds nothing",
        expects="anything",
    )
    save_model(folder / name, network(adapters, seed), card)
    return load_model(folder / name)


def image_model(folder: Path, *, seed: int = 0) -> Model:
    """As :func:`model`, of frames of colour and depth; it finds something in each combination."""
    torch.manual_seed(seed)
    settings = Settings(
        ndim=2, width=4, regions=1, aspp_rates=(1, 2), heads=(1, 1, 2, 2, 2), adapters="none", norm="instance"
    )
    network = UniMRSeg(settings)
    card = ModelCard(
        name="tiny-image",
        version="0.0",
        licence="none",
        task=RGBD_SOD.name,
        modalities=RGBD_SOD.names,
        regions=("object",),
        normalisation={"name": "robust"},
        validated=({"spacing_mm": 1.0, "extents_max": (64, 64)},),
        trained_on=("nothing: random weights",),
        intended_use="tests",
        limitations="finds nothing",
    )
    save_model(folder / "tiny-image", network.eval(), card)
    return load_model(folder / "tiny-image")
