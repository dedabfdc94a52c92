"""PDF of drawings, a page each: vectors, real text and pictures, without another library.

The text is in Helvetica, one of the 14 fonts that every reader of PDF has (ISO 32000-1, 9.6.2.2), and can be searched.
"""

from __future__ import annotations

import textwrap
import zlib
from collections.abc import Sequence

from napari_mrseg.compare.drawing import Drawing, _Item

A4 = 595, 842  # points
# Widths of Helvetica's characters 32 to 126, thousandths of the size (Adobe's font metrics).
_WIDTHS = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
)  # fmt: skip
_OTHER = {"×": 584, "·": 278, "²": 333, "–": 556, "…": 1000, "’": 222, "“": 333, "”": 333, "±": 584}
_BOLD = 1.07  # bold text is wider, by about that
_PLAIN = str.maketrans({"−": "-", "≥": ">=", "≤": "<=", "→": "->", "\u200b": "", "\xa0": " "})


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line of Helvetica in points."""
    units = sum(
        _WIDTHS[ord(c) - 32] if 32 <= ord(c) < 127 else _OTHER.get(c, 556) for c in text.translate(_PLAIN)
    )
    return units * size / 1000 * (_BOLD if bold else 1.0)


def wrapped(text: str, size: float, width: float) -> list[str]:
    """``text`` in lines that are at most ``width`` points wide; long words are cut."""
    most = max(8, int(len(text) * width / max(text_width(text, size), 1e-6)))
    while True:
        lines = textwrap.wrap(text, most) or [""]
        if most <= 8 or all(text_width(line, size) <= width for line in lines):
            return lines
        most -= 1


def pdf(pages: Sequence[Drawing], *, title: str) -> bytes:
    """A PDF file. Drawings are in points; ``title`` is the document's."""
    objects: list[bytes] = [b"", b""]  # the catalogue and the list of pages, once all is known
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>"
    fonts = [_add(objects, font.format(name).encode()) for name in ("Helvetica", "Helvetica-Bold")]
    kids = []
    for page in pages:
        pictures: list[int] = []
        content = [_colour(page.paper, "rg"), f"0 0 {page.width} {page.height} re f"]
        content += [_operators(item, page.height, objects, pictures) for item in page.items]
        stream = _add(objects, _stream("", "\n".join(content).encode("cp1252", "replace")))
        shown = " ".join(f"/P{number} {number} 0 R" for number in pictures)
        kids.append(
            _add(
                objects,
                (
                    f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page.width} {page.height}] /Contents {stream} 0 R "
                    f"/Resources << /Font << /F1 {fonts[0]} 0 R /F2 {fonts[1]} 0 R >> /XObject << {shown} >> >> >>"
                ).encode(),
            )
        )
    info = _add(objects, b"<< /Title (" + _text(title) + b") /Producer (napari-mrseg) >>")
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = (
        f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(f'{k} 0 R' for k in kids)}] >>".encode()
    )
    return _file(objects, info)


def _file(objects: Sequence[bytes], info: int) -> bytes:
    content = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(content)
    content += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for place in places:
        content += f"{place:010d} 00000 n \n".encode()
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info {info} 0 R >>"
    content += f"trailer\n{trailer}\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(content)


def _add(objects: list[bytes], body: bytes) -> int:
    """Its number, from 1."""
    objects.append(body)
    return len(objects)


def _stream(entries: str, data: bytes) -> bytes:
    packed = zlib.compress(data, 9)
    head = f"<< {entries} /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode()
    return head + packed + b"\nendstream"


def _colour(colour: str, operator: str) -> str:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return " ".join(f"{part:.3f}" for part in parts) + f" {operator}"


def _text(text: str) -> bytes:
    """Within the brackets of a PDF string."""
    found = text.translate(_PLAIN).encode("cp1252", "replace")
    return found.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _operators(item: _Item, height: float, objects: list[bytes], pictures: list[int]) -> str:
    """Drawing an item; PDF counts from the bottom."""
    at, found = item.at, []
    paint = "B" if item.fill and item.stroke else "f" if item.fill else "S"
    if item.fill and item.kind != "image":
        found.append(_colour(item.fill, "rg"))
    if item.stroke:
        found.append(_colour(item.stroke, "RG"))
    if item.kind == "rect":
        x, y, w, h = at
        found.append(f"{x:.2f} {height - y - h:.2f} {w:.2f} {h:.2f} re {paint}")
    elif item.kind == "line":
        found.append(f"{at[0]:.2f} {height - at[1]:.2f} m {at[2]:.2f} {height - at[3]:.2f} l S")
    elif item.kind == "circle":
        found.append(_circle(at[0], height - at[1], at[2]) + f" {paint}")
    elif item.kind == "text":
        shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[item.anchor]
        x = at[0] - shift * text_width(item.text, item.size, bold=item.bold)
        text = _text(item.text).decode("cp1252")
        font = "F2" if item.bold else "F1"
        found.append(f"BT /{font} {item.size:g} Tf {x:.2f} {height - at[1]:.2f} Td ({text}) Tj ET")
    elif item.pixels is not None:
        h, w = item.pixels.shape[:2]
        entries = f"/Type /XObject /Subtype /Image /Width {w} /Height {h} /ColorSpace /DeviceRGB /BitsPerComponent 8"
        number = _add(objects, _stream(entries, item.pixels.tobytes()))
        pictures.append(number)
        wide, high = w * item.zoom, h * item.zoom
        found.append(
            f"q {wide:.2f} 0 0 {high:.2f} {at[0]:.2f} {height - at[1] - high:.2f} cm /P{number} Do Q"
        )
    return "\n".join(found)


def _circle(x: float, y: float, r: float) -> str:
    """Four Bézier curves."""
    k = 0.5523 * r
    quarters = (
        (x + r, y + k, x + k, y + r, x, y + r),
        (x - k, y + r, x - r, y + k, x - r, y),
        (x - r, y - k, x - k, y - r, x, y - r),
        (x + k, y - r, x + r, y - k, x + r, y),
    )
    curves = " ".join(" ".join(f"{v:.2f}" for v in quarter) + " c" for quarter in quarters)
    return f"{x + r:.2f} {y:.2f} m {curves} h"
