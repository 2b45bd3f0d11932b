"""The parameters of trackers. Imports no torch; imported where a part is used, not where it is listed."""

from __future__ import annotations

from typing import Literal

import attrs

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class CsvConfig:
    """A table of its own in the folder of the run."""

    file: str = attrs.field(default="metrics.csv", metadata=doc("its name in the folder of the run"))

    @file.validator
    def _is_name(self, _attribute: object, value: str) -> None:
        if not value or value in (".", "..") or any(letter in value for letter in "/\\:"):
            raise ValueError("it is the name of a file in the folder of the run, without any folder")


@attrs.frozen(kw_only=True)
class TensorBoardConfig:
    """Event files in `tensorboard` of the folder of the run: `tensorboard --logdir runs` shows them."""

    images: bool = attrs.field(default=True, metadata=doc("whether sheets of samples are kept too"))


@attrs.frozen(kw_only=True)
class FilesConfig:
    """What takes files."""

    project: str = attrs.field(default="glidepath", metadata=doc("what its runs stand under"))
    name: str | None = attrs.field(
        default=None, metadata=doc("of the run; none: that of its folder, or of the study")
    )
    images: bool = attrs.field(default=True, metadata=doc("whether sheets of samples are kept too"))


@attrs.frozen(kw_only=True)
class WandbConfig(FilesConfig):
    """The key is WANDB_API_KEY, or that of `wandb login`; it stands in no spec."""

    entity: str | None = attrs.field(default=None, metadata=doc("whose project; none: yours"))
    mode: Literal["auto", "online", "offline"] = attrs.field(
        default="auto", metadata=doc("auto: as WANDB_MODE says, else online. offline: `wandb sync` sends it")
    )
    keep_weights: bool = attrs.field(default=False, metadata=doc("whether the trained weights are kept too"))


@attrs.frozen(kw_only=True)
class TrackioConfig(FilesConfig):
    """Kept where TRACKIO_DIR says; `trackio show` shows it."""


@attrs.frozen(kw_only=True)
class MlflowConfig(FilesConfig):
    """Where MLFLOW_TRACKING_URI says, else MLflow's default. An experiment is what it calls a project."""

    keep_weights: bool = attrs.field(default=False, metadata=doc("whether the trained weights are kept too"))
