"""What our reports have in common: one self-contained page, no script, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #222; background: #fff;
  max-width: 1120px; margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.7em; margin: 0 0 .1em; } h2 { font-size: 1.15em; margin: 2em 0 .5em; }
.sub { color: #555; margin: 0; }
.use { display: inline-block; border: 1px solid #8a4b00; color: #8a4b00; border-radius: 4px; padding: 0 .5em;
  font-size: .85em; margin-top: .6em; }
.warn { border-left: 4px solid #d55e00; background: #fff6ee; padding: .5em 1em; }
.warn p { margin: .25em 0; }
.note { color: #555; font-size: .85em; }
figure { margin: 0; } figure img { width: 100%; height: auto; }
"""


def page(title: str, style: str, parts: Iterable[str]) -> str:
    """The HTML text of a page: ``parts`` that are not empty, one after the other; ``style``: what it has of its own."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )
