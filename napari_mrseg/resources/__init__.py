"""Files that come with the package: the bundled models and the sample study."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def sample_study() -> Path:
    """Folder of the bundled study. It is simulated, not a patient."""
    return HERE / "sample"
