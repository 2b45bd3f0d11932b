"""The interface of what pulls a sample towards its prompt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

from torch import nn

from glidepath.core.denoiser import Bind
from glidepath.core.errors import PartError
from glidepath.core.levels import NoiseLevels, Step

Weight = Callable[[Step], float]
"""Step -> a Python float: how much of a guidance acts at that step. 1 is all of it, 0 none."""


class Guidance(ABC):
    """Maps a binder to a binder: given how to predict under a conditioning, says how to predict better.

    Guidances hold no state between calls, and fold: each wraps what those before it made.

    differentiates: whether it takes a gradient through the predictor that it wraps, or through a network of
        its own. The walk then runs under no_grad and not in inference mode, whose tensors autograd refuses.
    num_classes: how many class labels it knows, where it reads `Conditioning.labels`; None where it does not.
    """

    differentiates: bool = False
    num_classes: int | None = None

    @abstractmethod
    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`. What is computed once for a batch is computed when the result is called."""

    def weighted(self, weight: Weight) -> Guidance:
        """The same guidance, of which only the share `weight(step)` acts.

        What it changes is multiplied by the weight. Where that is 0 nothing is computed for it: no second
        forward, no gradient.

        Raises:
            PartError: this guidance has no such share (it does not add to a prediction).
        """
        raise PartError(f"{type(self).__name__} cannot be weighted by step")

    def networks(self) -> Mapping[str, nn.Module]:
        """The networks that it brings along, by name ("classifier", "denoiser"); none by default.

        The pipeline moves them to its device, sets them to eval, freezes and counts them. A denoiser among
        them runs in the precision and memory layout of the pipeline's own; any other keeps the precision that
        it was built in, which is float32 unless it says otherwise.
        """
        return {}

    def along(self, levels: NoiseLevels) -> Guidance:
        """The same guidance for a walk along `levels`: itself, unless it prepares for them."""
        return self


class GuidanceModifier(Guidance):
    """Changes the guidance before it in the list, instead of wrapping what that one made."""

    @abstractmethod
    def modify(self, guidance: Guidance) -> Guidance:
        """The guidance that stands in the place of `guidance`, and of this one.

        Raises:
            PartError: it is not one that this modifier can change.
        """

    def __call__(self, bind: Bind) -> Bind:
        """Not to be called: `fold` asks for `modify`."""
        raise PartError(f"{type(self).__name__} changes the guidance before it, and there is none")


def fold(guidances: Iterable[Guidance], bind: Bind, levels: NoiseLevels | None = None) -> Bind:
    """Apply guidances left to right: the first wraps the denoiser, the next wraps the first.

    levels: those that `bind` is for; only guidances that do not ask for them (`along`) can do without.

    Raises:
        PartError: a modifier stands first, or after a guidance that it cannot change.
    """
    for guidance in _modified(guidances):
        bind = (guidance if levels is None else guidance.along(levels))(bind)
    return bind


def _modified(guidances: Iterable[Guidance]) -> list[Guidance]:
    """The guidances that wrap, each changed by the modifiers that follow it."""
    done: list[Guidance] = []
    for guidance in guidances:
        if isinstance(guidance, GuidanceModifier) and done:
            done[-1] = guidance.modify(done[-1])
        else:
            done.append(guidance)
    return done
