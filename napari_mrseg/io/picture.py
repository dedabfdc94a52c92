"""Pictures: PNG, JPEG, TIFF and BMP through Pillow, arrays of numbers (:mod:`.arrays`); colour, or one value per pixel.

Held as a volume of one slice, (1, P, L) or (1, P, L, 3), of a TIFF with several pages as many: a pixel is 1 × 1,
and the axes need no turning.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.io.arrays import ENDINGS, read_array
from napari_mrseg.io.format import MAX_VOXELS, Format, Volume, read_bytes
from napari_mrseg.study import Grid, Note, Source

Notes = tuple[Note, ...]

PIXELS = ((0, 0, -1, 0), (0, -1, 0, 0), (-1, 0, 0, 0), (0, 0, 0, 1))  # axes I, P, L
_CONTAINERS = ("PNG", "JPEG", "TIFF", "BMP")
_LOSSY = (".jpg", ".jpeg")
_TIFF = (".tif", ".tiff")
FRAMES_ENDING = _TIFF[0]  # of a file that holds several pictures


class Picture(Format):
    title = "picture"
    endings = (".png", *_LOSSY, *_TIFF, ".bmp", ".npy", ".npz", ".exr", ".pfm")
    label_endings = (".png", *_TIFF)
    ndim = 2

    def read(
        self, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        raw = read_bytes(path, "a picture")
        return self.parse(raw, path, channels=channels, labels=labels)

    def parse(
        self, raw: bytes, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        """:meth:`read` of a file with this content."""
        if path.suffix.lower() in ENDINGS:
            array = read_array(path, raw)
            _fits(path, *array.shape[:2])
            pages = [array]
        else:
            pages = _pixels(path, raw)
        stored = pages[0].dtype
        if labels and path.suffix.lower() in _LOSSY:
            pages = [_mask(page) for page in pages]
        seen = [_seen(page) for page in pages] if channels == 1 and not labels else pages
        values = np.stack([_as_channels(path, page, channels) for page in seen])
        values, notes = _checked(path, values, labels)
        grid = Grid.of(values.shape[:3], PIXELS)
        header = {} if labels else {"stored": stored.str[1:]}
        return values, Source(path, grid, hashlib.sha256(raw).hexdigest(), header), notes

    def encode(self, labels: npt.NDArray[np.uint8], source: Source, path: Path) -> bytes:
        """Codes as grey values, so that every program reads them back as they are."""
        from PIL import Image

        content = io.BytesIO()
        pages = [Image.fromarray(frame) for frame in labels]
        if path.suffix.lower() in _TIFF:
            pages[0].save(content, "TIFF", save_all=True, append_images=pages[1:], compression="tiff_deflate")
        elif path.suffix.lower() != ".png":
            raise InputError(f"{path.name}: label images are PNG, which loses nothing; end the name in .png.")
        elif len(pages) > 1:
            raise InputError(
                f"{path.name}: a PNG holds one frame, not {len(pages)}; end the name in .nii.gz, of frames in .tif."
            )
        else:
            pages[0].save(content, "PNG")
        return content.getvalue()


def _mask(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """A mask kept as JPEG (VT1000, NLPR) as it was drawn: bright or dark; its edges have other values."""
    grey = values.mean(-1) if values.ndim == 3 else values
    return np.where(grey >= 128, 255, 0).astype(np.uint8)


def _seen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The largest number of 16 bits is how cameras say "nothing", as 0 is."""
    return np.where(values == 65535, 0, values) if values.dtype.str[1:] == "u2" else values


def _pixels(path: Path, raw: bytes) -> list[npt.NDArray[Any]]:
    """Of each page (P, L) or (P, L, 3), as stored; a palette's indices, since that is how masks are kept."""
    from PIL import Image, UnidentifiedImageError

    try:
        picture: Any
        with Image.open(io.BytesIO(raw), formats=_CONTAINERS) as picture:
            _fits(path, picture.height, picture.width)
            count = getattr(picture, "n_frames", 1)
            if count * picture.height * picture.width > MAX_VOXELS:
                raise InputError(
                    f"{path.name} holds {count} pictures, more than fit into memory; open a part."
                )
            pages = []
            for page in range(count):
                picture.seek(page)
                pages.append(np.asarray(_plain(path, picture)))
                if pages[-1].shape != pages[0].shape:
                    raise InputError(
                        f"{path.name} holds pictures of different sizes; save the one that is meant."
                    )
            return pages
    except UnidentifiedImageError:
        raise InputError(
            f"{path.name} is no PNG, JPEG, TIFF or BMP picture, whatever its name says; convert it to .png."
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path.name} is damaged ({why}); copy or download it again.") from None


def _plain(path: Path, picture: Any) -> Any:
    """Without a channel of transparency that says nothing. Raises InputError for what is no picture of one view."""
    if picture.mode in ("LA", "RGBA", "PA"):
        if picture.getchannel("A").getextrema()[0] < 255:
            raise InputError(f"{path.name} has transparent pixels; save it without transparency.")
        picture = picture.convert("RGB" if picture.mode == "RGBA" else picture.mode[:-1])
    if picture.mode not in ("1", "L", "P", "RGB", "I;16", "I;16B", "I;16L", "I", "F"):
        raise InputError(f"{path.name} is stored as {picture.mode}; save it as RGB or grey values.")
    return picture


def _fits(path: Path, height: int, width: int) -> None:
    if min(height, width) < 2:
        raise InputError(
            f"{path.name} has {width}×{height} pixels, which is no picture; give the image itself."
        )
    if height * width > MAX_VOXELS:
        raise InputError(
            f"{path.name} asks for {width}×{height} pixels; its header is damaged, or make it smaller."
        )


def _as_channels(path: Path, values: npt.NDArray[Any], channels: int) -> npt.NDArray[np.float32]:
    """(P, L) for one channel, (P, L, 3) for three."""
    colour = values.ndim == 3
    if channels == 3 and not colour:
        if values.dtype != np.uint8:
            raise InputError(
                f"{path.name} holds one value per pixel ({values.dtype}) and no colours; check which file it is."
            )
        values = np.repeat(values[..., None], 3, axis=2)  # a grey photograph
    if channels == 1 and colour:
        if (values != values[..., :1]).any():
            raise InputError(
                f"{path.name} is a colour image, where one value per pixel is needed; check which file it is."
            )
        values = values[..., 0]
    return values.astype(np.float32)


def _checked(
    path: Path, values: npt.NDArray[np.float32], labels: bool
) -> tuple[npt.NDArray[np.float32], Notes]:
    """``values`` without infinities: 0 is where a sensor saw nothing. Raises InputError for what shows nothing."""
    notes: Notes = ()
    bad = int((~np.isfinite(values)).sum())
    if bad and labels:
        raise InputError(f"{path.name} has {bad:,} pixels that are NaN or infinite; relabel them.")
    if bad:
        values = np.where(np.isfinite(values), values, np.float32(0))
        message = f"{path.name} has {bad:,} pixels that are NaN or infinite: read as 0."
        notes = (Note("invalid_pixels", message),)
    if not labels and float(values.min()) == float(values.max()):
        raise InputError(f"{path.name} is constant (every pixel is {values.min():g}); give the image itself.")
    return values, notes
