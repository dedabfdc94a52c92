"""The README for a package index, which has no `docs/`: a link into the repository becomes its address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


def for_index(text: str, source: str = "") -> str:
    """``text`` with relative links made absolute below ``source``; without one, as plain text, and no pictures."""

    def one(found: re.Match[str]) -> str:
        picture, words, path = found.groups()
        if source:
            return f"{picture}[{words}]({source.rstrip('/')}/{path})"
        return "" if picture else words

    return _LINK.sub(one, text)


class ReadmeHook(MetadataHookInterface):
    """Sets ``readme``. ``project.urls.Source``, once there is one, is where the links lead."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source", "")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_index(text, source)}
