"""Compiling what is trained, forward and backward, by `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from glidepath.core import PartError
from glidepath.plugins.train.run.run import Run

_SETTINGS: dict[str, Any] = {"dynamic": False, "options": {"fallback_random": True}}
"""Each shape by itself; random numbers are drawn as without compiling."""

_SHAPES = 8
"""For how many shapes torch compiles a function, where it is told no other number."""


def compile_network(name: str, network: nn.Module) -> None:
    """Compile a network, in place, at its first steps. Its parameters keep their names.

    Raises:
        PartError: it has neither a `compile` of its own, nor a `forward` that could be compiled.
    """
    if type(network).compile is nn.Module.compile and type(network).forward is nn.Module.forward:
        raise PartError(
            f"runtime.compile: the {name} ({type(network).__name__}) is called by methods other than "
            "`forward`, and has no `compile` that says which; train without runtime.compile"
        )
    network.compile(**_SETTINGS)


def compiled_blocks(forwards: Sequence[Callable[..., Any]]) -> list[Callable[..., Any]]:
    """The blocks of a network, each compiled by itself, in `compiling`."""
    import torch._dynamo

    # those of one class share their code, and with it the number of its shapes
    torch._dynamo.config.recompile_limit *= max(1, len(forwards))
    return [torch.compile(forward, **_SETTINGS) for forward in forwards]


@contextmanager
def compiling(run: Run) -> Iterator[None]:
    """Within it networks are compiled for as many shapes as batches have, and what prevents it is told.

    Beyond its limit torch computes as without compiling, and rounds otherwise: which shapes that are, their
    order decides, and a resumed run has another.

    Raises:
        PartError: the compiler that torch asks is not there, or does not manage.
    """
    import torch._dynamo
    from torch._dynamo.exc import TorchDynamoException

    # parts of a batch (`accumulate`) have two lengths at most
    shapes = max(_SHAPES, 2 * len(tuple(getattr(run.dataset, "sizes", ()))))
    with torch._dynamo.config.patch(recompile_limit=shapes, accumulated_recompile_limit=2**16):
        try:
            yield
        except TorchDynamoException as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise PartError(
                f"runtime.compile: the network could not be compiled: {first}. On a processor torch.compile "
                "needs a C++ compiler (g++), on a GPU Triton; or train without runtime.compile"
            ) from error
