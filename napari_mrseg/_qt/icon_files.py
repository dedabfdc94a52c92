"""napari writes its icons, some 300 files, each time it is imported; on a slow disk that takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def icons_written_beside() -> Iterator[None]:
    """While napari is imported: it writes on a thread, and only icons that are not there yet. Ends when it has written.

    Raises OSError if one cannot be written.
    """
    from napari.resources import _icons

    original = getattr(_icons, "write_colorized_svgs", None)
    if original is None:  # another napari, which does as it does
        yield
        return
    written: list[Future[None]] = []
    with ThreadPoolExecutor(1, "mrseg-icons") as pool:

        def write(dest: str | Path, *args: Any, **options: Any) -> None:
            folder = Path(dest)
            folder.mkdir(parents=True, exist_ok=True)
            icons = list(_icons.generate_colorized_svgs(*args, **options))  # themes are looked up now
            written.append(pool.submit(_write, folder, icons))

        _icons.write_colorized_svgs = write
        try:
            yield
        finally:
            _icons.write_colorized_svgs = original
        for one in written:
            one.result()


def _write(folder: Path, icons: list[tuple[str, str]]) -> None:
    for alias, text in icons:
        path, content = folder / Path(alias).name, text.encode()
        try:
            same = path.read_bytes() == content
        except OSError:
            same = False
        if not same:
            path.write_bytes(content)
