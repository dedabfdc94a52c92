"""``mrseg watch``: a folder that a camera writes into, each new frame segmented as it comes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_mrseg.cli.options import Depth as DepthOption
from napari_mrseg.cli.options import Device, ModelName, Precision, TaskName, given_model, one_line, say

if TYPE_CHECKING:
    from napari_mrseg.io.watched import Watched
    from napari_mrseg.models.store import Model

app = typer.Typer()


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the camera writes its pictures.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write a label picture of each frame here."),
    ] = None,
    window: Annotated[bool, typer.Option("--window", help="Show each frame in the viewer.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.02, help="Seconds between two looks.")] = 0.2,
    frames: Annotated[int, typer.Option("--frames", min=0, help="Stop after so many; 0: never.")] = 0,
    task: TaskName = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    depth: DepthOption = "auto",
) -> None:
    """Segment the newest picture in a folder, again whenever a new one comes: a webcam, a depth camera, a booth.

    Files whose names differ only in what they show are one frame (12_rgb.png and 12_depth.png, or rgb/12.png and
    depth/12.png); pictures named otherwise are colour. Ends with Ctrl-C.

    Example: mrseg watch camera/ -o found/

    Example: mrseg watch camera/ --window
    """
    from napari_mrseg.io.watched import Watched
    from napari_mrseg.tasks import RGBD_SOD, get_task

    loaded = given_model(model, task)
    chosen = loaded.task if loaded is not None else get_task(task) if task else RGBD_SOD
    watched = Watched(folder, chosen)
    if window:
        from napari_mrseg.cli.window import show_watched

        show_watched(watched, loaded, device, precision, every, depth)
        return
    _in_terminal(watched, loaded, device, precision, out, every, frames, depth)


def _in_terminal(
    watched: Watched,
    loaded: Model | None,
    device: str,
    precision: str,
    out: Path | None,
    every: float,
    frames: int,
    depth: str,
) -> None:
    """A line for each frame."""
    from napari_mrseg.errors import InputError
    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.io import open_study
    from napari_mrseg.io.export import write_labels
    from napari_mrseg.io.frames import bare_name
    from napari_mrseg.models.store import load_model
    from napari_mrseg.tasks import key, sized

    engine = Engine(loaded or load_model(task=watched.task), device=device, precision=precision)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    say(f"Watching {watched.folder}; end with Ctrl-C.")
    done = 0
    while not frames or done < frames:
        frame = watched.look()
        if frame is None:
            time.sleep(every)
            continue
        try:
            study = open_study(frame, task=watched.task, depth=depth)
            found = engine.predict(study)
        except InputError as error:  # a frame that cannot be used does not end the show
            say(one_line(error))
            continue
        done += 1
        first = next(iter(frame.values()))
        name = bare_name(first, watched.task) or first.stem
        said = ", ".join(f"{region} {sized(v, watched.task.unit)} px" for region, v in found.sizes.items())
        if out is not None and found.source is not None:
            write_labels(found.labels, found.source, out / f"{name}_{key(found.combination)}.png")
        typer.echo(f"{name}: {said} ({key(found.combination)}, {1000 * found.seconds:.0f} ms)")
