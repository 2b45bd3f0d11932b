"""What a network computes alike at every step of a walk, found in its first evaluation and computed once.

Keys and values of the text, embeddings of timesteps and what blocks make of them, features of a control
picture, rotary tables: all are outputs of modules that x does not reach. Which ones, no list of names says:
the first evaluation of a walk is watched, operation by operation, for what x and t have reached. A network
that nobody knew, a layer of LoRA or the attention to an image prompt is served as any other.

Under guidance the same x stands in a batch several times, under other conditions. Modules that none of these
has reached yet, such as the first convolutions and an image's first attention to itself, run for one of them.
Each row has what it would have alone: guidance, which asks for several in one batch, counts on that too.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MethodType
from typing import Any
from weakref import WeakSet

import attrs
import torch
from torch import Tensor, UntypedStorage, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only, tree_structure, tree_unflatten

_ROWS = 64  # levels times batch whose embeddings are held at a time: their number has no bound, memory has
_running: ContextVar[_Evaluation | None] = ContextVar("running", default=None)
"""The evaluation that runs."""


def can_prepare(networks: Iterable[nn.Module]) -> bool:
    """Whether nothing but diffusers and its packages has a say in how networks run.

    A hook, or a processor of attention of one's own, may do another thing at each step, of which x and t
    tell nothing. A network that is compiled has its own ways.
    """
    modules = [module for network in networks for module in network.modules()]
    processors = [module.processor for module in modules if hasattr(module, "processor")]
    return all(type(processor).__module__.startswith("diffusers.") for processor in processors) and not any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._compiled_call_impl is not None
        or not _replaceable(module)
        for module in modules
    )


class Prepared:
    """What x does not reach in one walk of some networks, for one batch and its conditions.

    networks: those that run in an evaluation. times: [M], what they are told of each level, by row.
    repeats: how often the same x stands in the batch, one whole after another.
    """

    def __init__(self, networks: Iterable[nn.Module], times: Tensor, repeats: int = 1) -> None:
        self._modules = {module for network in networks for module in network.modules()}
        self._times = times
        self._repeats = repeats
        self._once: set[nn.Module] = set()
        self._fixed: dict[nn.Module, list[Any]] | None = None
        self._timed: _Timed | None = None
        self._held: tuple[range, Sequence[Sequence[Tensor]]] = (range(0), ())

    def __call__(
        self, run: Callable[[], Tensor], x: Tensor, t: Tensor, row: int, alike: Iterable[Tensor] = ()
    ) -> Tensor:
        """What `run` gives, which evaluates the networks at x and at t [B], the time of that row.

        alike: what else it reads that is repeated as x is.
        """
        if self._fixed is None:
            watch = _Watch(self._modules, x, t, self._repeats, alike)
            with watch.modules(), watch:
                output = run()
            self._fixed, self._timed = watch.found()
            self._once = watch.once()
            self._at(row)  # for the steps that follow, which then cost alike
            return output
        given = {module: iter(outputs) for module, outputs in self._fixed.items()}
        once = set() if x.requires_grad else self._once  # a gradient is that of each row
        token = _running.set(_Evaluation(given | self._at(row), once, x.shape[0], self._repeats))
        try:
            return run()
        finally:
            _running.reset(token)

    def _at(self, row: int) -> dict[nn.Module, Iterator[Any]]:
        """What modules give at a row, computed with that of some rows that follow."""
        timed, (rows, held) = self._timed, self._held
        if timed is None:
            return {}
        if row not in rows:
            rows = range(row, min(row + max(1, _ROWS // timed.t.shape[0]), self._times.shape[0]))
            try:
                held = timed.at(self._times[rows.start : rows.stop])
            except Exception:  # of an operation that has no batched form: they run at each step, as ever
                self._timed = None
                return {}
            self._held = (rows, held)
        return {
            module: iter(
                [tree_unflatten([leaf[row - rows.start] for leaf in leaves], tree_structure(output))]
            )
            for module, leaves, output in zip(timed.modules, held, timed.outputs, strict=True)
        }


@attrs.frozen
class _Evaluation:
    """One evaluation of some networks, at `rows` rows that are so many times the same.

    given: what modules give, in turn. once: those that run for one of the times.
    """

    given: Mapping[nn.Module, Iterator[Any]]
    once: set[nn.Module]
    rows: int
    repeats: int

    def run_once(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        """What a module gives for the first of the times, for each of them."""

        def cut(leaf: Tensor) -> Tensor:
            return leaf[: self.rows // self.repeats] if leaf.shape[:1] == (self.rows,) else leaf

        args, kwargs = tree_map_only(Tensor, cut, (args, kwargs))
        token = _running.set(None)  # what is given has all rows
        try:
            output = type(module).forward(module, *args, **kwargs)
        finally:
            _running.reset(token)
        return tree_map_only(Tensor, lambda leaf: torch.cat([leaf] * self.repeats), output)


@attrs.frozen
class _Timed:
    """What t reaches and x does not, as a function of t.

    t: [B], as the watched evaluation had it. tape: its operations, with what each read and gave.
    modules, outputs: whose results they are, each a tensor or several.
    """

    t: Tensor
    tape: Sequence[tuple[Any, tuple[Any, ...], dict[str, Any], Any]]
    modules: Sequence[nn.Module]
    outputs: Sequence[Any]

    def at(self, times: Tensor) -> list[list[Tensor]]:
        """The tensors of each output at times [M]: [M, ...]."""

        def one(time: Tensor) -> list[list[Tensor]]:
            made = {id(self.t): time.expand(self.t.shape[0])}

            def put(tensor: Tensor) -> Tensor:
                return made.get(id(tensor), tensor)

            for operation, args, kwargs, gave in self.tape:
                read = tree_map_only(Tensor, put, (args, kwargs))
                results = tree_leaves(operation(*read[0], **read[1]))
                made |= {id(before): now for before, now in zip(tree_leaves(gave), results, strict=True)}
            return [[made[id(leaf)] for leaf in tree_leaves(output)] for output in self.outputs]

        found: list[list[Tensor]] = torch.vmap(one)(times)
        return found


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches one evaluation for what x and t reach, by the memory behind tensors.

    repeats: how often the same x stands there. alike: what is the same each time, as t and the networks are.
    """

    def __init__(
        self, modules: set[nn.Module], x: Tensor, t: Tensor, repeats: int, alike: Iterable[Tensor]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watched = modules
        self._t = t
        self._of_x = WeakSet([x.untyped_storage()])
        self._of_t = WeakSet([t.untyped_storage()])
        own = [(*module.parameters(recurse=False), *module.buffers(recurse=False)) for module in modules]
        self._alike = WeakSet(_memory([x, t, *alike, *own]))
        self._rows, self._repeats = x.shape[0], repeats
        self._once: Counter[nn.Module] = Counter()
        self._written: WeakSet[UntypedStorage] = WeakSet()
        self._tape: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self._calls: list[tuple[nn.Module, Any]] = []
        self._count: Counter[nn.Module] = Counter()
        self._began: list[int] = []
        self._hidden = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        read, gave = _memory((args, kwargs)), _memory(result)
        draws = _is_random(func, args, kwargs)
        of_x = any(memory in self._of_x for memory in read) or draws
        alike = all(memory in self._alike for memory in read) and not draws
        of_t = any(memory in self._of_t for memory in read)
        # Python has read a number: what it decides by it, nobody sees
        self._hidden |= (of_x or of_t) and torch.Tag.data_dependent_output in func.tags
        if func._schema.is_mutable:
            written = _memory(_written(func, args, kwargs))
            gave = [*gave, *written]
            self._written.update(written)
        (self._alike.update if alike else self._alike.difference_update)(gave)
        if of_x:
            self._of_x.update(gave)
        elif of_t:
            self._of_t.update(gave)
            self._tape.append((func, args, kwargs, result))
        return result

    @contextmanager
    def modules(self) -> Iterator[None]:
        """Within, in this thread, what modules give is noted that x does not reach."""
        thread = threading.get_ident()

        def enter(module: nn.Module, _args: Any) -> None:
            if threading.get_ident() == thread and module in self._watched:
                self._count[module] += 1
                self._began.append(len(self._calls))

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if threading.get_ident() != thread or module not in self._watched:
                return
            began, memory = self._began.pop(), _memory(output)
            whole = all(leaf is None or isinstance(leaf, Tensor) for leaf in tree_leaves(output))
            if memory and whole and all(one not in self._of_x for one in memory):
                del self._calls[began:]  # those inside it
                self._calls.append((module, output))
                self._written.difference_update(memory)
            elif memory and whole and self._repeats > 1 and self._runs_once((args, kwargs), output):
                del self._calls[began:]
                self._once[module] += 1

        handles = (
            register_module_forward_pre_hook(enter),
            register_module_forward_hook(leave, with_kwargs=True),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _runs_once(self, inputs: Any, output: Any) -> bool:
        """Whether a module that gave this gives it to one of several x as well, by rows of x and t.

        Another tensor of as many rows cannot be cut as x is. What is written into would be written in part.
        """
        read, gave = (
            [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)] for values in (inputs, output)
        )
        by_row = [leaf for leaf in read if leaf.shape[:1] == (self._rows,)]
        return (
            all(leaf.shape[:1] == (self._rows,) for leaf in gave)
            and all(memory in self._of_x and memory in self._alike for memory in _memory(gave))
            and all(memory in self._of_x or memory in self._of_t for memory in _memory(by_row))
            and all(memory not in self._written for memory in _memory(read))
        )

    def once(self) -> set[nn.Module]:
        """The modules that may run for one of the times that x is repeated."""
        found = {
            module
            for module, count in self._once.items()
            if not self._hidden
            and count == self._count[module]
            and _replaceable(module)
            and _has_weights(module)
        }
        for module in found:
            module.forward = MethodType(_forward, module)
        return found

    def found(self) -> tuple[dict[nn.Module, list[Any]], _Timed | None]:
        """The outputs of modules that are the same at every level, and what others give at each.

        Of a module that is called several times there are all outputs, in that order, or none.
        """
        calls: dict[nn.Module, list[Any]] = {}
        for module, output in self._calls:
            calls.setdefault(module, []).append(output)
        fixed, timed = {}, {}
        for module, outputs in calls.items():
            memory = [one for output in outputs for one in _memory(output)]
            if self._hidden or len(outputs) < self._count[module] or not _replaceable(module):
                continue
            if any(one in self._of_x or one in self._written for one in memory):
                continue
            if not any(one in self._of_t for one in memory):
                fixed[module] = outputs
            elif len(outputs) == 1 and len(memory) == len(tree_leaves(outputs)) and _has_weights(module):
                timed[module] = outputs[0]
        for module in (*fixed, *timed):
            module.forward = MethodType(_forward, module)
        if not timed:
            return fixed, None
        return fixed, _Timed(self._t, self._tape, list(timed), list(timed.values()))


def _forward(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """In place of a module's own `forward`: what was prepared for this evaluation, or else what that gives.

    A method of the module, so that copies have one of theirs.
    """
    running = _running.get()
    if running is not None:
        for output in running.given.get(module, ()):
            return output
        if module in running.once:
            return running.run_once(module, args, kwargs)
    return type(module).forward(module, *args, **kwargs)


def _replaceable(module: nn.Module) -> bool:
    """Whether its `forward` is that of its class."""
    own = vars(module).get("forward")
    return own is None or getattr(own, "__func__", None) is _forward


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _is_random(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    if torch.Tag.nondeterministic_seeded not in func.tags or "attention" in func._schema.name:
        return False
    return _named(func, args, kwargs).get("train") is not False  # dropout that is off draws nothing


def _written(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """The arguments that an operation writes into."""
    names = [argument.name for argument in func._schema.arguments if _is_written(argument)]
    return [value for name, value in _named(func, args, kwargs).items() if name in names]


def _named(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an operation by name."""
    names = [argument.name for argument in func._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _memory(values: Any) -> list[UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor)]
