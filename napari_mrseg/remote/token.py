"""The word that a client must know. It lies in a file that only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from platformdirs import user_data_path

from napari_mrseg.errors import InputError

VARIABLE = "MRSEG_TOKEN"


def token_file() -> Path:
    """Where a token lies unless another place is said."""
    return user_data_path("napari-mrseg", appauthor=False) / "engine-token"


def own_token(path: Path | None = None) -> str:
    """The server's: what is in the file, or a new one that is written there. Raises InputError."""
    file = path or token_file()
    if os.environ.get(VARIABLE) and path is None:
        return os.environ[VARIABLE]
    if file.is_file():
        return given_token(file)
    token = secrets.token_urlsafe(32)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(
            os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii"
        ) as stream:
            stream.write(token + "\n")
    except OSError as error:
        raise InputError(
            f"{file.name} cannot be written ({error.strerror}); give another with --token-file."
        ) from None
    return token


def given_token(path: Path | None = None) -> str:
    """The client's: of the file, of the variable MRSEG_TOKEN, or of the usual file. Raises InputError."""
    if path is None and os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    file = path or token_file()
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"There is no token in {file}; copy the file that mrseg serve names, or set {VARIABLE}."
        ) from None
    if not 16 <= len(token) <= 512 or not token.isprintable():
        raise InputError(f"{file.name} holds no token; copy the file that mrseg serve names.")
    return token
