"""A walk from noise to an image, step by step, under modes of torch that its caller does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch

from glidepath.core.defaults import torch_defaults
from glidepath.core.finite import FiniteWatch
from glidepath.core.sampler import State


def walked(
    begin: Callable[[FiniteWatch], Iterator[State]],
    *,
    modes: Callable[[], AbstractContextManager[object]],
    bring: Callable[[], None],
    dtype: torch.dtype,
) -> Iterator[State]:
    """The states that `begin` gives, which is told what watches over predictions.

    modes: entered anew for each step: a generator that held them would leak them to its caller.
    bring: has the networks on the device that make a step; between two a preview may have moved them.
    dtype: the precision that networks run in, for the message.

    Raises:
        Diverged: after the last state: something that was made on the way is not finite.
    """
    watch, last = FiniteWatch(), None
    with torch_defaults(), modes():
        states = begin(watch)
    while True:
        with torch_defaults(), modes():
            bring()
            state = next(states, None)
        if state is None:
            break
        last = state
        yield state
    if last is not None:
        watch.require_finite(last.x, last.total, dtype)
