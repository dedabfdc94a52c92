"""Where curves and pictures of a run go beside its log: TensorBoard, Weights & Biases, MLflow.

None of them uses the network unless the user's own environment asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from napari_mrseg.errors import InputError


class Tracker(Protocol):
    """Gets the numbers and pictures of one run."""

    def scalar(self, name: str, value: float, step: int) -> None:
        """``name`` has parts divided by slashes, such as ``1-supervised/step/loss``."""

    def picture(self, name: str, picture: Tensor, step: int) -> None:
        """``picture``: (3, H, W) float32 in [0, 1]."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Files in ``tensorboard/`` of the run's folder."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(folder / "tensorboard")

    def scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)

    def picture(self, name: str, picture: Tensor, step: int) -> None:
        self._writer.add_image(name, picture, step)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases in ``wandb/`` of the run's folder: offline, unless ``WANDB_MODE`` says online.

    Steps of several stages each begin at 0, so the step is a number beside the curves and not W&B's own.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "napari-mrseg"),
            name=folder.resolve().name,
            dir=str(folder),
            mode=mode,
            config=dict(settings),
        )

    def scalar(self, name: str, value: float, step: int) -> None:
        self._run.log({name: value, f"{name.split('/')[0]}/step": step})

    def picture(self, name: str, picture: Tensor, step: int) -> None:
        image = (picture.permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy()
        self._run.log({name: self._wandb.Image(image), f"{name.split('/')[0]}/step": step})

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """MLflow in ``mlflow.db`` and ``mlartifacts/`` of the run's folder, unless ``MLFLOW_TRACKING_URI`` says where."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import mlflow

        given = os.environ.get("MLFLOW_TRACKING_URI")
        where = folder.resolve()
        self._client = mlflow.MlflowClient(given or f"sqlite:///{where / 'mlflow.db'}")
        name = "napari-mrseg"
        known = self._client.get_experiment_by_name(name)
        own = None if given else (where / "mlartifacts").as_uri()
        number = known.experiment_id if known else self._client.create_experiment(name, artifact_location=own)
        self._run = self._client.create_run(number, run_name=where.name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, str(value)[:500])

    def scalar(self, name: str, value: float, step: int) -> None:
        self._client.log_metric(self._run, name, value, step=step)

    def picture(self, name: str, picture: Tensor, step: int) -> None:
        image = (picture.permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy()
        self._client.log_image(self._run, image, f"{name.replace('/', '-')}-{step}.png")

    def close(self) -> None:
        self._client.set_terminated(self._run)


Maker = Callable[[Path, Mapping[str, Any]], Tracker]
TRACKERS: Mapping[str, tuple[str, Maker]] = {
    "tensorboard": ("tensorboard", TensorBoard),
    "wandb": ("wandb", WandB),
    "mlflow": ("mlflow", MLflow),
}
"""By the name in ``run.trackers``: what pip installs, and the class."""


def open_trackers(names: tuple[str, ...], folder: Path, settings: Mapping[str, Any]) -> list[Tracker]:
    """The trackers of these names for the run in ``folder``; ``settings`` are shown beside it.

    Raises InputError for one whose package is not installed.
    """
    found: list[Tracker] = []
    for name in names:
        package, make = TRACKERS[name]
        try:
            found.append(make(folder, settings))
        except ImportError:
            raise InputError(
                f"{package} is not installed; run pip install {package}, or leave {name} out of run.trackers."
            ) from None
    return found
