"""One subject: the modalities that are there, on one grid, and the way back to each source file.

Arrays are held in the order inferior, posterior, left ("IPL"): axis 0 grows towards the feet, axis 1 towards
the back, axis 2 towards the patient's left, so that every plane shows radiologically in napari.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_mrseg.errors import InputError
from napari_mrseg.tasks import Combination, Task, key

Array = npt.NDArray[np.generic]

SAME_GRID_MM = 0.1  # corner distance below which two grids are one


@dataclass(frozen=True)
class Grid:
    """A sampling of space: ``shape`` voxels and the 4 × 4 ``affine`` from voxel index to RAS+ millimetres."""

    shape: tuple[int, ...]
    affine: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, shape: Iterable[int], affine: npt.ArrayLike) -> Grid:
        rows = np.asarray(affine, dtype=np.float64)
        return cls(tuple(int(n) for n in shape), tuple(tuple(float(v) for v in row) for row in rows))

    @cached_property
    def matrix(self) -> npt.NDArray[np.float64]:
        """The affine as a (4, 4) array."""
        return np.array(self.affine)

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Distance between voxel centres along each axis, mm."""
        return tuple(float(v) for v in np.sqrt((self.matrix[:3, :3] ** 2).sum(0)))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, mL."""
        return float(abs(np.linalg.det(self.matrix[:3, :3]))) / 1000.0

    @cached_property
    def corners(self) -> npt.NDArray[np.float64]:
        """(8, 3) RAS+ mm positions of the corner voxels' centres."""
        ends = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1).T
        return ends @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def same_as(self, other: Grid) -> bool:
        """True if both grids have the same voxels at the same places."""
        return self.shape == other.shape and bool(np.abs(self.corners - other.corners).max() <= SAME_GRID_MM)

    @cached_property
    def axis_codes(self) -> tuple[str, ...]:
        """Letter of the direction each axis grows towards, e.g. ("L", "P", "S")."""
        return tuple("RAS"[world] if flip > 0 else "LPI"[world] for world, flip in self._directions)

    @cached_property
    def _directions(self) -> tuple[tuple[int, int], ...]:
        """Per array axis: (nearest RAS world axis, +1 or −1), each world axis once."""
        from nibabel.orientations import io_orientation

        ornt = io_orientation(self.matrix)
        return tuple((int(world), int(flip)) for world, flip in ornt)


@dataclass(frozen=True, eq=False)
class Source:
    """Where an array came from and how its axes lie there.

    ``grid`` is the file's own; ``header`` holds the geometry fields that go, field by field, into results. ``placed``:
    the grid, axes I, P, L, that the voxels were resampled onto, and ``motion``: RAS mm there → RAS mm in the file.
    """

    path: Path
    grid: Grid
    sha256: str
    header: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    placed: Grid | None = None
    motion: tuple[tuple[float, ...], ...] | None = None

    @cached_property
    def _order(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(source axis of each IPL axis, IPL axes to flip)."""
        # World axes wanted in turn: S (flipped to I), A (flipped to P), R (flipped to L).
        directions = self.grid._directions
        axes = tuple(next(a for a, (w, _) in enumerate(directions) if w == world) for world in (2, 1, 0))
        flips = tuple(i for i, axis in enumerate(axes) if directions[axis][1] > 0)
        return axes, flips

    def __repr__(self) -> str:
        return f"<Source {self.path.name}>"

    def to_ipl(self, array: Array) -> Array:
        """A view of a source-grid array with axes I, P, L (and colour). Lossless: flips and transposes only."""
        axes, flips = self._order
        return np.flip(array.transpose(*axes, *range(3, array.ndim)), flips)

    def from_ipl(self, array: Array) -> Array:
        """The inverse of :meth:`to_ipl`; of labels on another grid that the scan was resampled onto, the nearest."""
        axes, flips = self._order
        if self.placed is not None:
            array = self._back(array)
        return np.flip(array, flips).transpose(np.argsort(axes))

    def _back(self, labels: Array) -> Array:
        """Voxels on the grid ``placed`` at the file's own, axes I, P, L: of labels the nearest, of others linear."""
        from scipy.ndimage import affine_transform

        assert self.placed is not None
        motion = np.eye(4) if self.motion is None else np.array(self.motion)
        own = self.own_grid
        move = np.linalg.inv(self.placed.matrix) @ np.linalg.inv(motion) @ own.matrix
        order = 0 if labels.dtype.kind in "iub" else 1
        found: Array = affine_transform(
            labels, move[:3, :3], move[:3, 3], output_shape=own.shape, order=order
        )
        return found

    @property
    def ipl_grid(self) -> Grid:
        """The grid that the image's voxels lie on, axes I, P, L: the source's, or another it was resampled onto."""
        return self.own_grid if self.placed is None else self.placed

    @cached_property
    def own_grid(self) -> Grid:
        """The file's own grid, axes in the order I, P, L."""
        axes, flips = self._order
        move = np.zeros((4, 4))
        move[3, 3] = 1
        for ipl, axis in enumerate(axes):
            last = self.grid.shape[axis] - 1
            move[axis, ipl] = -1 if ipl in flips else 1
            move[axis, 3] = last if ipl in flips else 0
        return Grid.of((self.grid.shape[a] for a in axes), self.grid.matrix @ move)


@dataclass(frozen=True)
class AppliedStep:
    """A step that was taken on an image (:mod:`napari_mrseg.steps`): its name, its settings as JSON."""

    name: str
    settings: str

    @classmethod
    def of(cls, name: str, settings: Mapping[str, Any]) -> AppliedStep:
        return cls(name, json.dumps(settings, sort_keys=True))


@dataclass(frozen=True, eq=False)
class Image:
    """One modality: ``data`` is float32, shape (I, P, L), or (I, P, L, 3) for a colour image, read-only.

    ``source`` is the file it was read from, ``steps`` what was done to its voxels since. ``mask``: (I, P, L) bool, the
    brain that was cut out of a head, and ``whole``: the voxels before; None where nothing was.
    """

    data: npt.NDArray[np.float32]
    source: Source
    steps: tuple[AppliedStep, ...] = ()
    mask: npt.NDArray[np.bool_] | None = None
    whole: npt.NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        return f"<Image {self.source.path.name}: {_size(self.source.ipl_grid)}>"

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    @property
    def identity(self) -> str:
        """What decides the voxels: the file's hash and the steps."""
        return "+".join([self.source.sha256, *(f"{step.name}{step.settings}" for step in self.steps)])


@dataclass(frozen=True, eq=False)
class Reference:
    """A segmentation loaded beside the scans: ``labels`` is uint8 in the task's codes, shape (I, P, L).

    ``codes``: what the file itself called them.
    """

    labels: npt.NDArray[np.uint8]
    source: Source
    codes: frozenset[int] = frozenset()

    def __repr__(self) -> str:
        return f"<Reference {self.source.path.name}: {_size(self.source.ipl_grid)}>"

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)


@dataclass(frozen=True)
class Note:
    """A warning about the input, with a stable ``code`` for scripts. ``modality`` is whose file it concerns.

    ``file``: the name that ``message`` begins with, if it says something of one file that may be true of others.
    ``mend``: the option of ``open_study`` by which the user can say better.
    """

    code: str
    message: str
    modality: str | None = None
    file: str = ""
    mend: str = ""


def joined(notes: Iterable[Note]) -> list[Note]:
    """Each sentence once: of those that differ in the file alone, one that names all the files."""
    groups: dict[tuple[str, str], list[Note]] = {}
    for note in dict.fromkeys(notes):
        groups.setdefault((note.code, note.message.removeprefix(note.file)), []).append(note)
    found = []
    for (code, rest), alike in groups.items():
        files = list(dict.fromkeys(note.file for note in alike))
        if len(files) == 1:
            found.append(alike[0])
            continue
        others = ", ".join(files[1:])
        found.append(Note(code, f"{files[0]} (as {others}){rest}"))
    return found


@dataclass(frozen=True, eq=False)
class Study:
    """One subject: images of its modalities on one grid, as :func:`~napari_mrseg.open_study` gives it.

    Immutable, and equal to itself alone; two that hold the same content have the same ``digest``. It can be pickled and
    copied, and shows itself with a picture in a notebook.

    Attributes
    ----------
    task
        What can be asked about it.
    case
        The subject's name in results: the folder's, or a made-up one where that would tell a patient's name.
    images
        The modalities that are there, in the task's order. Voxels are read-only.
    reference
        A segmentation to compare with, or None.
    notes
        Warnings about the files.
    simulated
        True if it shows no patient.
    """

    task: Task
    case: str
    images: Mapping[str, Image]
    reference: Reference | None = None
    notes: tuple[Note, ...] = ()
    simulated: bool = False

    def __post_init__(self) -> None:
        order = self.task.combination(self.images)
        object.__setattr__(self, "images", MappingProxyType({name: self.images[name] for name in order}))
        for name, image in self.images.items():
            image.data.setflags(write=False)
            if not self.grid.same_as(image.source.ipl_grid):
                own, first = (_describe(g, self.task) for g in (image.source.ipl_grid, self.grid))
                raise InputError(
                    f"{image.source.path.name} ({name}) lies on another grid than "
                    f"{self.images[order[0]].source.path.name} ({order[0]}): {own} "
                    f"against {first}; register and resample it to the same grid first."
                )
        if self.reference is not None:
            self.reference.labels.setflags(write=False)
        if self.reference is not None and not self.grid.same_as(self.reference.source.ipl_grid):
            raise InputError(
                f"{self.reference.source.path.name} (reference) lies on another grid than the scans: "
                f"{_describe(self.reference.source.ipl_grid, self.task)} against {_describe(self.grid, self.task)}; "
                "resample it, "
                "or open the study without a reference."
            )

    def __repr__(self) -> str:
        reference = ", with a reference" if self.reference is not None else ""
        return f"<Study {self.case}: {key(self.present)}, {_size(self.grid, self.task)}{reference}>"

    def _repr_html_(self) -> str:
        from napari_mrseg.notebook import study_html

        return study_html(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "images": dict(self.images)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, {**state, "images": MappingProxyType(state["images"])})

    @property
    def present(self) -> Combination:
        """Names of the modalities that are there, in the task's order."""
        return tuple(self.images)

    @property
    def grid(self) -> Grid:
        """The grid of the first modality that is there, axes I, P, L."""
        return next(iter(self.images.values())).source.ipl_grid

    def only(self, combination: str | Iterable[str]) -> Study:
        """The study as if no other modality's file had ever been there. Raises InputError if one is missing."""
        wanted = self.task.combination(combination)
        missing = [name for name in wanted if name not in self.images]
        if missing:
            raise InputError(
                f"{self.case} has no {' and no '.join(missing)}; there is {', '.join(self.present)}."
            )
        notes = tuple(n for n in self.notes if n.modality is None or n.modality in wanted)
        return replace(self, images={name: self.images[name] for name in wanted}, notes=notes)

    @cached_property
    def digest(self) -> str:
        """Identity of the content: 16 hex digits over names, files' hashes, the steps taken and the task."""
        text = "|".join([self.task.name, *(f"{n}:{i.identity}" for n, i in self.images.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def restore(value: object, state: Mapping[str, Any]) -> None:
    """Give a frozen ``value`` its fields back after pickling or copying; arrays become read-only again."""
    for name, field_value in state.items():
        if isinstance(field_value, np.ndarray):
            field_value.setflags(write=False)
        object.__setattr__(value, name, field_value)


def _size(grid: Grid, task: Task | None = None) -> str:
    """Number and size of the voxels, e.g. "155×240×240 voxels of 1×1×1 mm"."""
    if task is not None and task.ndim == 2:
        frames = f"{grid.shape[0]} frames of " if grid.shape[0] > 1 else ""
        return f"{frames}{grid.shape[2]}×{grid.shape[1]} pixels"
    spacing = "×".join(f"{v:.3g}" for v in grid.spacing)
    return f"{'×'.join(str(n) for n in grid.shape)} voxels of {spacing} mm"


def _describe(grid: Grid, task: Task) -> str:
    if task.ndim == 2:
        return f"{grid.shape[2]}×{grid.shape[1]} pixels"
    origin = ", ".join(f"{v:.1f}" for v in grid.matrix[:3, 3])
    return f"{_size(grid)} at ({origin})"
