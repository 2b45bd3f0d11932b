"""How many bytes tensors hold at a time while something runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


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
            self.living += storage.nbytes()
            self.most = max(self.most, self.living)
            weakref.finalize(storage, self._free, storage.nbytes())

        def _free(self, size: int) -> None:
            self.living -= size

    return Watch()


_CONVOLUTIONS = ("aten::conv2d", "aten::convolution", "aten::_convolution")


def _beside(x: Tensor, weight: Tensor, output: Tensor) -> int:
    """Bytes that oneDNN takes for a convolution: the weight in its own order, and what it reads or writes.

    x and output, of which one is held at a time, are in its order already in channels_last, and all are for
    kernels of one pixel. Measured: see the test.
    """
    import torch

    if weight.dim() != 4 or weight[0, 0].numel() == 1:
        return 0
    ordered = x.is_contiguous(memory_format=torch.channels_last)
    return _bytes(weight) + (0 if ordered else max(_bytes(x), _bytes(output)))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
