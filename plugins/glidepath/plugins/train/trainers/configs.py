"""How networks are trained that guidance asks. Imports no torch."""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import ge

from glidepath.plugins.train.configs import TrainingConfig
from glidepath.registry import doc, part


@attrs.frozen(kw_only=True)
class ContrastiveTrainerConfig(TrainingConfig):
    """How a CLIP is trained, which guidance then asks."""

    batch: int = attrs.field(
        default=256, validator=ge(2), metadata=doc("images in a step, each told apart from all the others")
    )
    clip: Any = attrs.field(default=None, metadata=part("clip", "what is trained"))


@attrs.frozen(kw_only=True)
class ClassifierTrainerConfig(TrainingConfig):
    """How a classifier of noisy images is trained, which guidance then asks."""

    classifier: Any = attrs.field(metadata=part("classifier", "what is trained"))
    timesteps: Any = attrs.field(
        default=None, metadata=part("timestep_density", "how often each timestep is trained; none: uniform")
    )
    validation: int = attrs.field(
        default=64,
        validator=ge(0),
        metadata=doc(
            "how many images each probe classifies at five noise levels, of those that the dataset holds out "
            "where it does; 0: none"
        ),
    )
