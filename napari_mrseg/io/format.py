"""What a file format must be able to do. The list of those there are: :mod:`.formats`."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.study import Note, Source

Volume = tuple[npt.NDArray[np.float32], Source, tuple[Note, ...]]
"""Voxels in the file's own axis order, colour last if there is any; where they lie; doubts."""

MAX_VOXELS = 2**29  # 812³: above any brain scan, below what fills the memory of a laptop


class Format(ABC):
    """Files of one kind.

    Attributes
    ----------
    title
        One such file in words, e.g. "NIfTI file".
    endings
        What their names end in, lower case, the usual one first.
    label_endings
        Those that :meth:`encode` writes labels in, the usual one first; none for a format that is only read.
    ndim
        Dimensions of the tasks whose images they hold.
    """

    title: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    label_endings: ClassVar[tuple[str, ...]] = ()
    ndim: ClassVar[Literal[2, 3]]

    def recognise(self, path: Path) -> bool:
        """True if the file's name says that it is of this kind."""
        return path.name.lower().endswith(self.endings)

    def stem(self, path: Path) -> str:
        """The file's name without its ending."""
        ending = next((e for e in self.endings if path.name.lower().endswith(e)), "")
        return path.name[: len(path.name) - len(ending)]

    @abstractmethod
    def read(
        self, path: Path, *, channels: int = 1, labels: bool = False, assume_ras: bool = False
    ) -> Volume:
        """The image, float32. ``channels``: 1, or 3 for a colour image, whose values then have a last axis.

        ``labels`` allows an empty or constant image, as a mask may be; ``assume_ras`` a volume that does not say how
        it lies. Raises InputError, one sentence, for everything that cannot be trusted.
        """

    def sha256(self, path: Path) -> str:
        """The hash that :meth:`read` gives its source. Raises InputError if the file cannot be read."""
        return hashlib.sha256(read_bytes(path, self.title)).hexdigest()

    def encode(self, labels: npt.NDArray[np.uint8], source: Source, path: Path) -> bytes:
        """Content of the label file ``path``: codes in the axis order of ``source``, on whose grid they lie.

        No description, tag or extension of the source goes into it: those may hold a name. Raises InputError, also
        where labels are not written in this format.
        """
        from napari_mrseg.io.formats import endings_text

        raise InputError(
            f"{path.name}: labels are not written in this format; end the name in {endings_text(self.ndim)}."
        )


def read_bytes(path: Path, what: str) -> bytes:
    """The file's content. Raises InputError if there is none; ``what`` it should be, e.g. "a NIfTI file"."""
    if path.is_dir():
        raise InputError(f"{path.name} is a folder, not {what}; give the file inside it.")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if path.is_symlink():
            raise InputError(
                f"{path.name} is a link to a file that is not there; fetch the file, or copy it here."
            ) from None
        raise InputError(f"{path.name} does not exist; check the path.") from None
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}); check its permissions.") from None
    if not raw:
        raise InputError(f"{path.name} is empty (0 bytes); copy or download it again.")
    return raw
