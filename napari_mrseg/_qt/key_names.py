"""Which key stands for what. What is held with it is set in napari's Preferences, for windows opened from then on."""

from __future__ import annotations

from napari_mrseg._qt.preferences import modifier
from napari_mrseg.tasks import Label, Task

LETTERS = {
    "overlay": "0", "outline": "O", "jump": "J", "window": "R", "planes": "Q", "compare": "M", "run": "U",
    "edit": "E", "save": "N", "folder": "D", "files": "I", "sample": "B", "keys": "K", "swap": "X",
    "info": "G", "next_view": "A", "which": "Y", "brain": "Z", "fainter": ",", "stronger": ".",
    "model": "8", "device": "9", "recent": "Insert", "next_study": "PageDown", "previous_study": "PageUp",
    "measure": "Home", "reading": "Enter", "beside": "End", "imagine": "Delete",
}  # fmt: skip
"""By action; a modality's is its number in the task, and the labels' go on from there."""
NUMBERED = 7  # modalities and labels with a key


def key(action: str) -> str:
    """As napari binds it, e.g. ``Alt-J``. ``action``: one of :data:`LETTERS`, or a modality's number."""
    return f"{modifier()}-{LETTERS.get(action, action)}"


def label_key(task: Task, label: Label) -> str | None:
    """The key that shows or hides a label; None where the digits have ended."""
    number = len(task.modalities) + 1 + task.labels.index(label)
    return str(number) if number <= NUMBERED else None


def key_text(bound: str) -> str:
    """A bound key in words, e.g. Alt+J."""
    text = bound.replace("Control", "Ctrl").replace("-", "+")
    return text.replace(",", "comma").replace(".", "period")  # the marks alone would be read as punctuation


def with_key(words: str, action: str) -> str:
    """``words`` of a tooltip, and the key."""
    return f"{words} ({key_text(key(action))})"
