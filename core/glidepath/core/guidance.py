"""The interface of what pulls a sample towards its prompt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from glidepath.core.denoiser import Bind


class Guidance(ABC):
    """Maps a binder to a binder: given how to predict under a conditioning, says how to predict better.

    Guidances hold no state between calls, and fold: each wraps what those before it made.

    differentiates: whether it takes a gradient through the predictor that it wraps. The walk then runs under
        no_grad and not in inference mode, whose tensors autograd refuses.
    """

    differentiates: bool = False

    @abstractmethod
    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`. What is computed once for a batch is computed when the result is called."""


def fold(guidances: Iterable[Guidance], bind: Bind) -> Bind:
    """Apply guidances left to right: the first wraps the denoiser, the next wraps the first."""
    for guidance in guidances:
        bind = guidance(bind)
    return bind
