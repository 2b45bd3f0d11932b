"""What this plugin supplies: the kind `tracker`, its parts, the commands `track` and `runs`. No torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Command, Component, Extra, Kind, hookimpl

_HERE = "glidepath.plugins.trackers"


@hookimpl
def kinds() -> Iterable[Kind]:
    """What keeps figures."""
    return (
        Kind(
            name="tracker",
            interface=f"{_HERE}.tracker:Tracker",
            summary="keeps the figures, images and files of a run or a study where others look at them",
            slot="trackers",
            many=True,
            sampling=False,
        ),
    )


@hookimpl
def components() -> Iterable[Component]:
    """Trackers: one of our own, and those of well-known packages."""
    return (
        Component(
            kind="tracker",
            name="csv",
            target=f"{_HERE}.csv_file:CsvTracker",
            config=f"{_HERE}.configs:CsvConfig",
            summary="the figures as a table, metrics.csv in the folder of the run",
        ),
        Component(
            kind="tracker",
            name="tensorboard",
            target=f"{_HERE}.tensorboard_files:TensorBoardTracker",
            config=f"{_HERE}.configs:TensorBoardConfig",
            summary="event files that TensorBoard shows",
            requires=(_extra("tensorboard"),),
        ),
        Component(
            kind="tracker",
            name="wandb",
            target=f"{_HERE}.wandb_run:WandbTracker",
            config=f"{_HERE}.configs:WandbConfig",
            summary="a run of Weights & Biases, online or offline",
            requires=(_extra("wandb"),),
        ),
        Component(
            kind="tracker",
            name="trackio",
            target=f"{_HERE}.trackio_run:TrackioTracker",
            config=f"{_HERE}.configs:TrackioConfig",
            summary="a run of trackio, on this machine",
            requires=(_extra("trackio"),),
        ),
        Component(
            kind="tracker",
            name="mlflow",
            target=f"{_HERE}.mlflow_run:MlflowTracker",
            config=f"{_HERE}.configs:MlflowConfig",
            summary="a run of MLflow, in a folder or on a server",
            requires=(_extra("mlflow"),),
        ),
    )


def _extra(name: str) -> Extra:
    return Extra(module=name, install=f"pip install 'glidepath-diffusion[{name}]'")


@hookimpl
def commands() -> Iterable[Command]:
    """`glidepath track` and `glidepath runs`."""
    return (
        Command(
            name="track",
            target=f"{_HERE}.command:main",
            summary="hand a run that was trained to a tracker",
        ),
        Command(
            name="runs",
            target=f"{_HERE}.runs_command:main",
            summary="list runs of training, compare them, draw their curves, or make a page of one",
        ),
    )
