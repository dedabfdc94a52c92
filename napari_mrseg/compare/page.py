"""Our reports as HTML: one self-contained file each, no script, nothing loaded. Templates: resources/templates."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


def page(template: str, **values: object) -> str:
    """The HTML text of a template. Every value is escaped but the drawings, which are SVG of our own."""
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("napari_mrseg", "resources/templates"),
        autoescape=True,
        undefined=StrictUndefined,  # a value that a template names and nobody gives is an error
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
