"""A flat drawing of boxes, dots, lines, words and pictures, written as SVG, as pixels or as a page of PDF. No Qt."""

from __future__ import annotations

import base64
import io
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
Anchor = Literal["start", "middle", "end"]
_PIL_ANCHOR = {"start": "ls", "middle": "ms", "end": "rs"}
# The font that comes with Pillow has no more than ASCII and a few signs; SVG and HTML have them all.
_PLAIN = str.maketrans({"–": "-", "−": "-", "×": "x", "≥": ">=", "≤": "<=", "µ": "u", "…": "..."})


@dataclass(frozen=True)
class _Item:
    kind: Literal["rect", "circle", "line", "text", "image"]
    at: tuple[float, ...]
    fill: str | None = None
    stroke: str | None = None
    text: str = ""
    size: float = 12
    anchor: Anchor = "start"
    pixels: Pixels | None = None
    bold: bool = False
    zoom: float = 1.0


@dataclass
class Drawing:
    """``width`` × ``height`` in pixels at scale 1; y grows downwards. Colours are ``#rrggbb``."""

    width: int
    height: int
    paper: str = "#ffffff"
    items: list[_Item] = field(default_factory=list)

    def rect(
        self, x: float, y: float, w: float, h: float, fill: str | None, stroke: str | None = None
    ) -> None:
        self.items.append(_Item("rect", (x, y, w, h), fill, stroke))

    def circle(self, x: float, y: float, r: float, fill: str | None, stroke: str | None = None) -> None:
        self.items.append(_Item("circle", (x, y, r), fill, stroke))

    def line(self, x0: float, y0: float, x1: float, y1: float, stroke: str) -> None:
        self.items.append(_Item("line", (x0, y0, x1, y1), stroke=stroke))

    def words(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 12,
        fill: str = "#222222",
        anchor: Anchor = "start",
        bold: bool = False,
    ) -> None:
        """Text whose baseline is at ``y``."""
        self.items.append(_Item("text", (x, y), fill, text=text, size=size, anchor=anchor, bold=bold))

    def picture(self, x: float, y: float, pixels: Pixels, zoom: float = 1.0) -> None:
        """(h, w, 3) pixels, drawn ``zoom`` times h × w large."""
        self.items.append(_Item("image", (x, y), pixels=pixels, zoom=zoom))

    def svg(self) -> str:
        """A self-contained SVG document; pictures are embedded as PNG."""
        body = "\n".join(_svg_item(item) for item in self.items)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="Helvetica, Arial, sans-serif">\n'
            f'<rect width="100%" height="100%" fill="{self.paper}"/>\n{body}\n</svg>\n'
        )

    def pixels(self, scale: int = 1) -> Pixels:
        """(height·scale, width·scale, 3) pixels."""
        image = Image.new("RGB", (self.width * scale, self.height * scale), self.paper)
        brush = ImageDraw.Draw(image)
        for item in self.items:
            _paint(item, image, brush, scale)
        return np.asarray(image)

    def png(self, scale: int = 2) -> bytes:
        """A PNG file's content."""
        return png(self.pixels(scale))


def png(pixels: Pixels) -> bytes:
    """PNG file of (h, w, 3) pixels."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def data_uri(pixels: Pixels) -> str:
    """A ``data:`` address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def _svg_item(item: _Item) -> str:
    paint = f'fill="{item.fill or "none"}"' + (f' stroke="{item.stroke}"' if item.stroke else "")
    at = [f"{v:g}" for v in item.at]
    if item.kind == "rect":
        return f'<rect x="{at[0]}" y="{at[1]}" width="{at[2]}" height="{at[3]}" {paint}/>'
    if item.kind == "circle":
        return f'<circle cx="{at[0]}" cy="{at[1]}" r="{at[2]}" {paint}/>'
    if item.kind == "line":
        return f'<line x1="{at[0]}" y1="{at[1]}" x2="{at[2]}" y2="{at[3]}" stroke="{item.stroke}"/>'
    if item.kind == "image" and item.pixels is not None:
        h, w = (n * item.zoom for n in item.pixels.shape[:2])
        return (
            f'<image x="{at[0]}" y="{at[1]}" width="{w:g}" height="{h:g}" '
            f'style="image-rendering:pixelated" href="{data_uri(item.pixels)}"/>'
        )
    weight = ' font-weight="bold"' if item.bold else ""
    return (
        f'<text x="{at[0]}" y="{at[1]}" font-size="{item.size:g}" text-anchor="{item.anchor}"{weight} {paint}>'
        f"{escape(item.text)}</text>"
    )


def _paint(item: _Item, image: Image.Image, brush: ImageDraw.ImageDraw, scale: int) -> None:
    at = tuple(v * scale for v in item.at)
    if item.kind == "rect":
        brush.rectangle((at[0], at[1], at[0] + at[2] - 1, at[1] + at[3] - 1), item.fill, item.stroke)
    elif item.kind == "circle":
        x, y, r = at
        brush.ellipse((x - r, y - r, x + r, y + r), item.fill, item.stroke, width=scale)
    elif item.kind == "line":
        brush.line(at, item.stroke, width=scale)
    elif item.kind == "image" and item.pixels is not None:
        picture = Image.fromarray(item.pixels)
        size = round(picture.width * item.zoom * scale), round(picture.height * item.zoom * scale)
        image.paste(picture.resize(size, Image.Resampling.NEAREST), (round(at[0]), round(at[1])))
    elif item.kind == "text":
        brush.text(
            (at[0], at[1]),
            plain(item.text),
            item.fill,
            _font(item.size * scale),
            anchor=_PIL_ANCHOR[item.anchor],
        )


def plain(text: str) -> str:
    """The text with the signs that the built-in font has; accents are dropped."""
    apart = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    return "".join(
        c if c.isascii() or c in "·±“”’" else "" if unicodedata.combining(c) else "?" for c in apart
    )


def text_width(text: str, size: float) -> float:
    """Pixels of a text at scale 1, in the font of :meth:`Drawing.pixels`; an SVG's may be a few per cent wider."""
    return float(_font(size).getlength(plain(text)))


def fitted(text: str, width: float, size: float, least: float = 7.0) -> tuple[str, float]:
    """A text that is no wider than ``width`` pixels, and its size: made smaller down to ``least``, then cut."""
    room = 0.94 * width
    wide = text_width(text, size)
    if wide > room:
        size = max(least, size * room / wide)
    while text and text_width(text, size) > room:
        text = text[:-2].rstrip(" +,:") + "…" if len(text) > 2 else ""
    return text, size


@lru_cache(maxsize=64)
def _font(size: float) -> Any:
    return ImageFont.load_default(size)
