"""Networks that are built without memory for their parameters, and get it with their weights.

A parameter that is to be loaded needs no first value: it is put on the device `meta` as soon as a module has
it. Buffers, and all else that a constructor computes, are as they always are.
"""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from glidepath.registry.files.mapped import Pages


_SETS_VALUES = frozenset(
    [
        "normal_",
        "uniform_",
        "zero_",
        "zeros_",
        "ones_",
        "constant_",
        "fill_",
        "copy_",
        "add_",
        "sub_",
        "mul_",
        "div_",
        "clamp_",
        "erfinv_",
        "trunc_normal_",
        "kaiming_normal_",
        "kaiming_uniform_",
        "xavier_normal_",
        "xavier_uniform_",
    ]
)
"""What changes the values of a tensor in place, and nothing else of it; those of `torch.nn.init` too."""


class NeedsMemory(Exception):
    """Something would not be as it is where networks are built with memory."""


class Sparing:
    """Builds networks that get weights, without memory for their parameters, as a run is to have them.

    Initialising them draws from torch's random stream. Where they do not, what is drawn after them would be
    other numbers: then all is to be built with memory. So it is where something would stay without values.
    """

    def __init__(self, dtype: torch.dtype, channels_last: bool) -> None:
        self._dtype = dtype
        self._channels_last = channels_last
        self._built: list[nn.Module] = []
        self._spared = False

    @contextmanager
    def building(self, covered: bool) -> Iterator[None]:
        """Around the construction of one part. covered: it gets weights.

        Raises:
            NeedsMemory: it has drawn what is not as it would be.
        """
        import torch

        before = torch.get_rng_state()
        with _without_memory() if covered else nullcontext(()) as spared:
            yield
        self._spared = self._spared or bool(spared)
        if self._spared and not covered and not torch.equal(before, torch.get_rng_state()):
            raise NeedsMemory

    def add(self, built: object) -> None:
        """Note a part that was built so, before its weights are loaded."""
        import torch
        from torch import nn

        from glidepath.core.denoiser import Denoiser
        from glidepath.core.model import ConditionalModel
        from glidepath.core.text_encoder import TextEncoder

        if isinstance(built, nn.Module):
            self._built.append(built)
        # as the pipeline would later, when each tensor would be there twice
        if isinstance(built, ConditionalModel | TextEncoder):
            built.to(self._dtype)
        if self._channels_last and isinstance(built, Denoiser) and len(built.image_shape) == 3:
            built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def require_values(self) -> None:
        """Refuse what has no values yet though all weights are loaded.

        Raises:
            NeedsMemory: a parameter, a buffer, or a tensor that a module keeps, has none.
        """
        inner = {module for built in self._built for module in built.modules()}
        kept = [value for module in inner for value in vars(module).values()]
        tensors = [tensor for built in self._built for tensor in (*built.parameters(), *built.buffers())]
        if any(map(_is_empty, (*tensors, *kept))):
            raise NeedsMemory


@contextmanager
def _without_memory() -> Iterator[Collection[int]]:
    """Within, in this thread, the parameters of modules that are made have shapes and no values.

    What would initialise them is passed over: on the device `meta`, some of it would import a compiler.
    It gives something that is empty while there were none.
    """
    from torch import Tensor, nn
    from torch.nn.modules.module import register_module_parameter_registration_hook
    from torch.overrides import TorchFunctionMode

    class WithoutValues(TorchFunctionMode):
        def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            tensor = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta and function.__name__ in _SETS_VALUES:
                return tensor
            return function(*args, **(kwargs or {}))

    thread = threading.get_ident()
    made: dict[int, tuple[Any, nn.Parameter]] = {}

    def without_memory(_module: nn.Module, _name: str, parameter: nn.Parameter) -> Any:
        if threading.get_ident() != thread or type(parameter) is not nn.Parameter or parameter.is_meta:
            return None
        real, empty = made.get(id(parameter), (lambda: None, parameter))
        if real() is not parameter:  # one that two modules share stays one
            empty = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
            made[id(parameter)] = (weakref.ref(parameter), empty)
        return empty

    handle = register_module_parameter_registration_hook(without_memory)
    try:
        with WithoutValues():
            yield made
    finally:
        handle.remove()


def fill(module: nn.Module, tensors: Mapping[str, Tensor], of: str, pages: Pages) -> None:
    """Give a module its tensors, which fit it, in its own precision.

    of: whose they are, for messages. pages: the memory behind them, given back on the way.

    Raises:
        PartError: values do not fit the module's precision.
    """
    import torch

    from glidepath.core.finite import require_finite

    if torch.get_default_device().type == "meta":
        return
    own = module.state_dict(keep_vars=True)
    if any(value.is_meta for value in own.values()):
        tied = _tied(module)
        copies = {}
        for name, value in own.items():
            empty = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
            copies[id(value)] = empty.copy_(tensors[name])
            pages(tensors[name])
        module.load_state_dict({name: copies[id(value)] for name, value in own.items()}, assign=True)
        for names in tied:
            _tie(module, names)
    else:
        module.load_state_dict(dict(tensors))
    pages.give_back()
    cast = {name: value for name, value in module.state_dict().items() if value.dtype != tensors[name].dtype}
    require_finite(cast, of)


def _is_empty(value: Any) -> bool:
    import torch

    if isinstance(value, list | tuple):
        return any(map(_is_empty, value))
    return isinstance(value, torch.Tensor) and value.is_meta


def _tied(module: nn.Module) -> list[list[str]]:
    """The names of parameters that are one and the same."""
    names = defaultdict(list)
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    return [those for those in names.values() if len(those) > 1]


def _tie(module: nn.Module, names: list[str]) -> None:
    """Make parameters one again: the first of them that has values."""
    owners = {name: module.get_submodule(name.rpartition(".")[0]) for name in names}
    found = [getattr(owner, name.rpartition(".")[2]) for name, owner in owners.items()]
    whole = next((parameter for parameter in found if not parameter.is_meta), found[0])
    for name, owner in owners.items():
        setattr(owner, name.rpartition(".")[2], whole)
