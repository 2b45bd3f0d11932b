"""Floating-point operations, counted as they are done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the operations of what runs inside, by torch's formulas: a product and a sum are two.

    torch's FlopCounterMode also follows modules, which does not allow a gradient of a gradient.
    """

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count one operation, or what it consists of."""
        kwargs, formula = kwargs or {}, flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:
                made = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if made is NotImplemented else made
        made = func(*args, **kwargs)
        self.total += formula(*args, **kwargs, out_val=made)
        return made


@contextmanager
def counting() -> Iterator[Counter]:
    """A counter of what runs inside."""
    # attention as matrix products: there is no formula for its fused form on a processor
    with sdpa_kernel(SDPBackend.MATH), Counter() as counter:  # type: ignore[no-untyped-call]
        yield counter
