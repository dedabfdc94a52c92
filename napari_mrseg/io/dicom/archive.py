"""Files of a DICOM export: in a folder however deep, or in a zip archive. Nothing is unpacked to disk."""

from __future__ import annotations

import logging
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from napari_mrseg.errors import InputError

ARCHIVE = ".zip"  # what the name of an archive ends in
MOST_FILES = 100_000
MOST_BYTES = 8 * 2**30  # of an archive, unpacked
MOST_RATIO = 300  # of an archive's unpacked to packed size; pixels pack to a half, empty ones to a hundredth
LEAST = 132  # bytes of the shortest DICOM file: a preamble and its mark
META = 1024  # bytes from the start within which a file says how it is packed
DEFLATED = b"1.2.840.10008.1.2.1.99"  # packed as a whole, but for the part that says so
_PLAIN = b"1.2.840.10008.1.2.1".ljust(len(DEFLATED), b"\0")
MOST_INFLATED = 2**29  # bytes that such a file may unpack to


class PackedError(OSError):
    """A DICOM file that is packed as a whole, and damaged or larger than is allowed."""


@dataclass(frozen=True, order=True)
class Member:
    """One file: ``path`` on disk, or ``inner`` of the archive there."""

    path: Path
    inner: str = ""

    @property
    def name(self) -> str:
        return self.inner.rpartition("/")[2] or self.path.name

    def read(self) -> bytes:
        """Its content; of a file that is packed as a whole, unpacked. Raises OSError."""
        raw = self.path.read_bytes() if not self.inner else self._of_archive()
        return _inflated(raw) if raw[LEAST - 4 : LEAST] == b"DICM" and DEFLATED in raw[:META] else raw

    def _of_archive(self) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.inner)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            raise OSError(str(error)) from None


def _inflated(raw: bytes) -> bytes:
    """A deflated DICOM file as a plain one. Raises PackedError."""
    start = LEAST + 12 + int.from_bytes(raw[LEAST + 8 : LEAST + 12], "little")  # where what is packed begins
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = stream.decompress(raw[start:], MOST_INFLATED)
    except zlib.error:
        raise PackedError("damaged") from None
    if not stream.eof:
        raise PackedError("cut short" if len(body) < MOST_INFLATED else "unpacks to too much")
    return raw[:start].replace(DEFLATED, _PLAIN) + body


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the DICOM libraries from warning and logging: they quote tags, a patient's name among them."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was


def is_archive(path: Path) -> bool:
    """True for a zip archive, by its name and its first bytes."""
    if path.suffix.lower() != ARCHIVE:
        return False
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False


def members(root: Path) -> Iterator[Member]:
    """All files under ``root``, a folder or an archive, in order; archives within a folder are looked into.

    An archive within a folder that is damaged, locked or unpacks to more than is allowed is listed itself. Raises
    InputError if ``root`` is one, and for too many files.
    """
    found = _archived(root) if is_archive(root) else _walk(root)
    for count, member in enumerate(found):
        if count >= MOST_FILES:
            raise InputError(
                f"{root.name} holds more than {MOST_FILES:,} files; give the folder of one study."
            )
        yield member


def _walk(root: Path) -> Iterator[Member]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if name.startswith(".") or not path.is_file():
                continue
            try:
                yield from _archived(path) if is_archive(path) else [Member(path)]
            except InputError:
                yield Member(path)


def _archived(path: Path) -> Iterator[Member]:
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise InputError(f"{path.name} is a damaged archive; copy or download it again.") from None
    whole, packed = sum(entry.file_size for entry in inside), sum(entry.compress_size for entry in inside)
    if whole > MOST_BYTES or (whole > 2**26 and whole > MOST_RATIO * max(1, packed)):
        raise InputError(
            f"{path.name} would unpack to {whole / 2**30:.1f} GB, more than an export of scans takes; unpack it "
            "yourself and give the folder of one study."
        )
    if any(entry.flag_bits & 1 for entry in inside):
        raise InputError(f"{path.name} is locked with a password; unpack it and give the folder.")
    yield from (Member(path, entry.filename) for entry in sorted(inside, key=lambda entry: entry.filename))
