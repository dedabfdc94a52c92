"""The code that docs/extending.md shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def shown(name: str) -> Any:
    """The class of that name in one of the page's blocks of Python."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    code = next(block for block in blocks if f"class {name}(" in block)
    found: dict[str, Any] = {}
    exec(compile(code, name, "exec"), found)  # our own page
    return found[name]
