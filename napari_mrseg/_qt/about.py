"""What a layer's metadata say about it, whoever wrote them: other plugins may use our name for something else."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from napari.components import ViewerModel
from napari.layers import Layer


class _OfStudy:
    """Its one instance is in the metadata of every layer that belongs to the open study, and of its duplicates."""


STUDYS: Final = _OfStudy()
"""``metadata={"mrseg": {"study": STUDYS, ...}}``: this layer goes when another study is asked for."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def about_of(layer: Layer) -> Mapping[str, Any]:
    """Our entry in the metadata of ``layer``; empty if there is none, or if it is no mapping."""
    about = layer.metadata.get("mrseg")
    return about if isinstance(about, Mapping) else _NOTHING


def paths_of(layer: Layer) -> tuple[str, ...]:
    """Where our reader found what is in ``layer``; empty for all other layers."""
    paths = about_of(layer).get("paths")
    if not isinstance(paths, (tuple, list)) or not all(isinstance(path, str) for path in paths):
        return ()
    return tuple(paths)


def belongs(layer: Layer) -> bool:
    """Whether ``layer`` goes with the open study: we made it, or it is a duplicate, a stack or a projection of ours."""
    return isinstance(about_of(layer).get("study"), _OfStudy)


def layers_of_a_study(viewer: ViewerModel) -> list[Layer]:
    """Layers in the window that go when another study comes; pair and maps are the comparison's to take away."""
    return [
        layer for layer in viewer.layers if belongs(layer) or (paths_of(layer) and "case" in about_of(layer))
    ]
