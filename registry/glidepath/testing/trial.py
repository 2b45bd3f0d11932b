"""How a part of a kind is used, so that rules about any use of any part can be stated once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from glidepath.testing.part import Part

PROMPTS = ("a red circle", "a tan square", "a red square", "a tan circle", "a red ribbon")
"""What text encoders and tokenizers are given: as many words and letters each. Examples should know them."""

Attempt = tuple[str, Callable[[], object], bool]
"""What is wrong with an input, a call with it, and whether that has to be refused."""


class Trial(ABC):
    """Uses parts of a kind. An input is a row: a number that decides it. Rows are independent of each other.

    attributes: of the built part, by the keys of `Component.provides` that have to agree with them.
    on_host: what it makes is on the host, whatever device a pipeline runs on.
    """

    attributes: ClassVar[dict[str, Callable[[Any], object]]] = {}
    on_host: ClassVar[bool] = False

    def __init__(self, part: Part) -> None:
        self.part = part

    @abstractmethod
    def use(self, built: Any, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """Use a built part on a batch of rows; every tensor has one entry for each row, in order.

        built: on `device` already, where it is a network.
        """

    @abstractmethod
    def require_shapes(self, built: Any) -> None:
        """Fail unless shapes and attributes are those of the interface."""

    @abstractmethod
    def require_dtypes(self, built: Any) -> None:
        """Fail unless what comes out has the dtype of the interface; `built` may be changed."""

    def bad_inputs(self, built: Any) -> Iterator[Attempt]:
        """Inputs that are wrong."""
        return iter(())


def random_rows(rows: Sequence[int], shape: Sequence[int], stream: int = 0) -> Tensor:
    """Standard normal rows, each decided by its number: [len(rows), *shape] float32."""
    drawn = []
    for row in rows:
        generator = torch.Generator().manual_seed(1000 * stream + row)
        drawn.append(torch.randn(tuple(shape), generator=generator))
    return torch.stack(drawn)


def difference(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest difference of two lists of tensors, relative to the largest value; inf for a misfit.

    Images of 8 bits are alike where each value is within one level: a network's sums round to either.
    """
    if len(one) != len(other):
        return float("inf")
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        if a.shape != b.shape:
            return float("inf")
        in_levels = a.dtype == b.dtype == torch.uint8
        a, b = a.to("cpu", torch.float64), b.to("cpu", torch.float64)
        if not a.numel() or (in_levels and float((a - b).abs().max()) <= 1):
            continue
        if not torch.equal(a.isfinite(), b.isfinite()):
            return float("inf")
        a, b = a.nan_to_num(0, 0, 0), b.nan_to_num(0, 0, 0)
        scale = max(float(a.abs().max()), float(b.abs().max()), 1e-6)
        worst = max(worst, float((a - b).abs().max()) / scale)
    return worst


def cannot_read(prompt: str, error: Exception) -> str:
    """Why a text encoder or a tokenizer cannot be tried."""
    message = str(error).partition(". ")[0]
    return f"it cannot read {prompt!r} ({message}); with an example that can, there is more to check"
