"""What client and server send each other."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_mrseg.study import Grid, Image, Source
from napari_mrseg.tasks import Task

PROTOCOL = 1
PORT = 8765
MOST_VOXELS = 1024**3  # of one image
MOST_JSON = 64 * 1024  # bytes of a request
LEVEL = 1  # of compression: the quickest; most of a scan and of a result is 0

PROGRESS, PREDICTION, PROBLEM, ALIVE, END = b"P", b"R", b"E", b"A", b"Z"
_HEAD = struct.Struct(">cI")


class WireError(ValueError):
    """What came is not what was agreed on."""


def frame(kind: bytes, content: bytes = b"") -> bytes:
    """One message of an answer: its kind, its length, its content."""
    return _HEAD.pack(kind, len(content)) + content


def frames(parts: Iterable[bytes], most: int = 2**31) -> Iterator[tuple[bytes, bytes]]:
    """The messages in an answer that comes in ``parts``. Raises WireError for one that breaks off or is too large."""
    waiting = bytearray()
    for part in parts:
        waiting += part
        while len(waiting) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(waiting)
            if kind not in (PROGRESS, PREDICTION, PROBLEM, ALIVE, END) or length > most:
                raise WireError("the answer is not that of an engine")
            if len(waiting) < _HEAD.size + length:
                break
            content = bytes(waiting[_HEAD.size : _HEAD.size + length])
            del waiting[: _HEAD.size + length]
            yield kind, content
    if waiting:
        raise WireError("the answer breaks off")


def two(content: bytes) -> tuple[Any, Any]:
    """The pair that a message of progress or of a problem is. Raises WireError."""
    try:
        first, second = json.loads(content)
    except (ValueError, TypeError):
        raise WireError("the answer is not that of an engine") from None
    return first, second


def packed(content: bytes) -> bytes:
    return zlib.compress(content, LEVEL)


def unpacked(content: bytes, most: int) -> bytes:
    """Raises WireError for what is damaged or would be more than ``most`` bytes."""
    try:
        whole = zlib.decompressobj()
        found = whole.decompress(content, most)
    except zlib.error:
        raise WireError("the content is damaged") from None
    if not whole.eof:
        raise WireError("the content is too large or breaks off")
    return found


def digest_of(image: Image) -> str:
    """What an image is called on the wire: a hash of what decides its voxels and where they lie."""
    return _name(image.identity, image.source.ipl_grid)


def _name(identity: str, grid: Grid) -> str:
    return hashlib.sha256(json.dumps([identity, grid.shape, grid.affine]).encode()).hexdigest()


def encode_image(image: Image) -> bytes:
    """The voxels, their grid and identity; no path, no header, nothing of a patient."""
    from safetensors.numpy import save

    grid = image.source.ipl_grid
    about = {"shape": grid.shape, "affine": grid.affine, "identity": image.identity}
    return packed(save({"data": np.ascontiguousarray(image.data)}, {"image": json.dumps(about)}))


def decode_image(content: bytes) -> tuple[str, Image]:
    """What :func:`encode_image` was given: its name, and the image. Its identity here is a hash of its voxels: what one
    viewer says of a scan must not decide what another gets. Raises WireError for what is no such image.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    raw = unpacked(content, 4 * MOST_VOXELS)
    try:
        length = int.from_bytes(raw[:8], "little")
        about: dict[str, Any] = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["image"])
        data = load(raw)["data"]
        grid = Grid.of(about["shape"], about["affine"])
        identity = str(about["identity"])
        if data.dtype != np.float32 or data.ndim not in (3, 4) or data.shape[:3] != grid.shape:
            raise WireError("the image's voxels do not fit its grid")
        matrix = grid.matrix
        if (
            matrix.shape != (4, 4)
            or not np.isfinite(matrix).all()
            or abs(np.linalg.det(matrix[:3, :3])) < 1e-9
        ):
            raise WireError("the image lies on no grid")
        if not np.isfinite(data).all():
            raise WireError("the image holds values that are no numbers")
    except (
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
        np.linalg.LinAlgError,
    ):
        raise WireError("the content is no image") from None
    own = hashlib.sha256(np.ascontiguousarray(data).data).hexdigest()
    return _name(identity, grid), Image(data, Source(Path("scan"), grid, own))


def named(image: Image, modality: str, task: Task) -> Image:
    """The image as a study holds it here: its "file" is called as the modality, which sentences then name."""
    return Image(
        image.data, Source(Path(task.modality(modality).title), image.source.grid, image.source.sha256)
    )
