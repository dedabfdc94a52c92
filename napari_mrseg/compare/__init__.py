"""The comparison workbench without a window. The names below load on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Agreement": "agreement",
    "Comparison": "comparison",
    "attribute": "attribution",
    "dice_to_reference": "comparison",
    "write_comparison": "write",
    "write_models": "write",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
