"""The trainer `objectives`: a generator, through a stage for each of its objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from glidepath.core import PartError
from glidepath.plugins.train.run.objective import Objective
from glidepath.plugins.train.run.run import Run
from glidepath.plugins.train.run.stage import TrainingStage
from glidepath.plugins.train.stages.objective import ObjectiveStage
from glidepath.plugins.train.trainers.diffusion import StagedTrainer

if TYPE_CHECKING:
    from glidepath.plugins.train.configs import ObjectivesTrainerConfig


class ObjectivesTrainer(StagedTrainer):
    """Trains a generator and its text encoder; resumes exactly, as every staged trainer does."""

    config: ObjectivesTrainerConfig

    def __init__(self, config: ObjectivesTrainerConfig, *, objectives: Sequence[Objective] = ()) -> None:
        """Raises PartError where no objective is given, or one that is not the last has no steps."""
        if not objectives:
            raise PartError("train.objectives: a generator learns from at least one")
        for index, objective in enumerate(objectives[:-1]):
            if not getattr(objective, "steps", None):
                raise PartError(f"train.objectives[{index}].steps: say how many, as of all but the last")
        self.config, self.objectives = config, objectives

    def stages(self, run: Run) -> list[TrainingStage]:
        """One for each objective, in order."""
        return [ObjectiveStage(self.config, run, objective) for objective in self.objectives]

    def exported(self, averaged: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All but what an objective learned for itself."""
        return {name: value for name, value in averaged.items() if not name.startswith("objective.")}
