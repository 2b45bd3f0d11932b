"""How many bytes tensors hold at a time while something runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def watch(cpu: bool) -> Any:
    """A context whose `peak()` is the most bytes that its tensors held at a time since it was last asked.

    cpu: with what convolutions of the CPU hold beside their output while they run (`_beside`).
    """
    import weakref

    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.living = 0
            self.most = 0
            self.seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

        def peak(self) -> int:
            most, self.most = self.most, self.living
            return most

        def hold(self, size: int) -> None:
            """So many bytes more are held, or fewer, which no operation has made."""
            self.living += size
            self.most = max(self.most, self.living)

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            for tensor in tree_leaves((args, kwargs)):
                if isinstance(tensor, torch.Tensor):
                    self.seen.add(tensor.untyped_storage())  # a weight, or counted when it was made
            result = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(result):
                if isinstance(tensor, torch.Tensor) and tensor.untyped_storage() not in self.seen:
                    self._count(tensor.untyped_storage())
            if cpu and func.overloadpacket._qualified_op_name in _CONVOLUTIONS:
                self.most = max(self.most, self.living + _beside(args[0], args[1], result))
            return result

        def _count(self, storage: torch.UntypedStorage) -> None:
            self.seen.add(storage)
            self.hold(storage.nbytes())
            weakref.finalize(storage, self.hold, -storage.nbytes())

    return Watch()


@contextmanager
def while_they_run(layers: Mapping[nn.Module, int], memory: Any) -> Iterator[None]:
    """Within, each of some layers holds so many bytes of what `watch` gave while it runs."""

    def enter(layer: nn.Module, _args: Any) -> None:
        memory.hold(layers[layer])

    def leave(layer: nn.Module, _args: Any, _output: Any) -> None:
        memory.hold(-layers[layer])

    hooks = [
        hook
        for layer in layers
        for hook in (
            layer.register_forward_pre_hook(enter),
            layer.register_forward_hook(leave, always_call=True),
        )
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


_CONVOLUTIONS = ("aten::conv2d", "aten::convolution", "aten::_convolution")


def _beside(x: Tensor, weight: Tensor, output: Tensor) -> int:
    """Bytes that oneDNN takes for a convolution: the weight in its own order, and what it reads or writes.

    x and output, of which one is held at a time, are in its order already in channels_last, and all are for
    kernels of one pixel. Measured: see the test.
    """
    import torch

    if weight.dim() != 4 or weight[0, 0].numel() == 1:
        return 0
    last = torch.channels_last
    # of a batch of one, tensors without memory say channels_last where real ones do not
    ordered = x.is_contiguous(memory_format=last) and (len(x) > 1 or weight.is_contiguous(memory_format=last))
    return _bytes(weight) + (0 if ordered else max(_bytes(x), _bytes(output)))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
