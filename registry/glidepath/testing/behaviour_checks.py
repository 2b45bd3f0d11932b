"""What holds of any use of any part: no hidden input, no hidden memory, no neighbour."""

from __future__ import annotations

import copy
import random as python_random
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glidepath.core.errors import GlidepathError
from glidepath.registry.assembly.build import build_part
from glidepath.registry.assembly.filling import Sparing
from glidepath.registry.assembly.weights import load_module
from glidepath.testing.check import CannotRun, Check, NotApplicable, check, require
from glidepath.testing.kinds import TRIALS
from glidepath.testing.part import Part, networks
from glidepath.testing.plugin_checks import supplied_trial
from glidepath.testing.trial import Trial, difference

ROUNDING = 1e-4
"""Relative: float32 sums in another order differ by less, anything that matters by more."""

_OTHER_DEVICE = 1e-2
"""The same between CPU and GPU, whose convolutions may round to ten bits."""

TYPED = (GlidepathError, ValueError, TypeError)
"""What a part may raise at a wrong input: exceptions that a caller can tell from a bug."""

_ROWS = (0, 1, 2)
_THREADS = 4


@check("builds")
def shapes(part: Part) -> None:
    """Shapes and attributes are those of the interface."""
    trial = _trial(part)
    with torch.no_grad():
        trial.require_shapes(part.build())


@check("builds", "shapes")
def provides(part: Part) -> None:
    """What the descriptor provides is what the built part is."""
    trial, built = _trial(part), part.build()
    provided = part.planned.provided()
    known = {key: read for key, read in trial.attributes.items() if key in provided}
    if not known:
        raise NotApplicable("its descriptor provides nothing that the interface shows")
    wrong = [
        f"{key} is {provided[key]!r} in the descriptor, and {read(built)!r} in what is built"
        for key, read in known.items()
        if provided[key] != read(built)
    ]
    require(not wrong, "; ".join(wrong))


@check("builds", "shapes")
def dtypes(part: Part) -> None:
    """What comes out has the dtype of the interface, also where a pipeline runs in bfloat16."""
    with torch.no_grad():
        _trial(part).require_dtypes(part.build())


@check("builds", "shapes")
def device(part: Part) -> None:
    """It computes on the device of its input: on a GPU, or where there is none, as far as shapes show it."""
    trial = _trial(part)
    if trial.on_host:
        raise NotApplicable(f"a {part.component.kind} works on the host")
    built = part.build()
    name = "cuda" if torch.cuda.is_available() else "meta"
    for network in networks(built):
        network.to(name)
    try:
        with torch.no_grad():
            there = trial.use(built, _ROWS, device=name)
    except RuntimeError as error:
        if "device" in str(error) and ("expected" in str(error) or "Expected" in str(error)):
            raise AssertionError(f"it mixes devices: {error}") from error
        if name == "cuda":
            raise
        raise NotApplicable(f"there is no GPU, and shapes alone do not do: {error}") from error
    places = {tensor.device.type for tensor in there}
    require(places == {name}, f"given tensors on {name}, it gives some on {', '.join(places - {name})}")
    if name == "cuda":
        here = _used(trial, part.build(), _ROWS)
        require(
            difference(here, there) < _OTHER_DEVICE,
            f"on a GPU it gives other numbers than on the CPU (relative {difference(here, there):.1e})",
        )


@check("builds", "shapes")
def same_seed(part: Part) -> None:
    """Built and used twice with the same input, it gives the same result."""
    trial = _trial(part)
    _require_same(
        _used(trial, part.build(), _ROWS),
        _used(trial, part.build(), _ROWS),
        "two of it, built alike and given the same, give different results",
    )


@check("builds", "shapes", "same-seed")
def global_random_state(part: Part) -> None:
    """Neither what it makes depends on the global random generators, nor do they move when it is used."""
    trial = _trial(part)
    results = []
    for seed in (1, 2):
        with _seeded(seed):
            before = _state_beside_torch()
            built = part.build()
            require(
                before == _state_beside_torch(),
                "building it draws from the global generator of `random` or numpy, which nobody seeds",
            )
            before = (*before, torch.random.get_rng_state().tolist())
            results.append(_no_grad(trial, built))
            require(
                before == (*_state_beside_torch(), torch.random.get_rng_state().tolist()),
                "using it draws from a global random generator; noise comes from the `noise` that it is "
                "given, anything else from a generator of its own with a fixed seed",
            )
    _require_same(results[0], results[1], "what it makes depends on the global random state")


@check("builds", "shapes", "same-seed")
def no_state(part: Part) -> None:
    """Nothing is left of one use that another would see."""
    trial, built = _trial(part), part.build()
    first = _used(trial, built, _ROWS)
    _used(trial, built, (3, 4))
    again = _used(trial, built, _ROWS)
    _require_same(first, again, "after another use, it gives something else for the same input")


@check("builds", "shapes", "same-seed", "global-random-state", "no-state")
def threads(part: Part) -> None:
    """Used by several threads at once, it gives each what it would give it alone."""
    trial, built = _trial(part), part.build()
    batches = [(row, row + 1) for row in range(_THREADS)]
    alone = [_used(trial, built, rows) for rows in batches]
    together = _at_once([partial(_no_grad, trial, built, rows) for rows in batches])
    for expected, actual in zip(alone, together, strict=True):
        _require_same(expected, actual, "two threads that use it at once disturb each other")


@check("builds")
def deepcopy(part: Part) -> None:
    """A deep copy of it can be made, and does the same."""
    built = part.build()
    try:
        copied = copy.deepcopy(built)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise AssertionError(f"copy.deepcopy fails: {message}") from error
    with suppress(CannotRun):
        trial = _trial(part)
        _require_same(
            _used(trial, built, _ROWS), _used(trial, copied, _ROWS), "its deep copy gives other results"
        )


@check("builds", "shapes", "same-seed")
def weights(part: Part) -> None:
    """Built without memory and given the weights of one that was built with it, it does the same as that."""
    built = part.build()
    state = built.state_dict() if isinstance(built, nn.Module) else {}
    if not state:
        raise NotApplicable("it has no weights")
    sparing = Sparing(torch.float32, channels_last=False)
    try:
        with _seeded(1):
            other = build_part(part.planned, part.catalogue, load=False, sparing=sparing, covered=True)
        load_module(other.eval(), state, part=part.id, file=Path("one built alike"))
        sparing.require_values()
    except GlidepathError as error:
        raise AssertionError(f"its own weights cannot be loaded: {error}") from error
    except Exception as error:
        raise NotApplicable("it is built with memory: its constructor reads what it initialises") from error
    trial = _trial(part)
    what = "with the weights of another it gives other results: it keeps something that they do not hold"
    _require_same(_used(trial, built, _ROWS), _used(trial, other, _ROWS), what)


@check("builds", "shapes", "same-seed", "no-state")
def batch_independence(part: Part) -> None:
    """What it makes of a sample does not depend on the others in the batch, nor on their order."""
    trial, built = _trial(part), part.build()
    whole = _used(trial, built, (0, 1, 2, 3))
    for rows in ((2,), (3, 1)):
        few = _used(trial, built, rows)
        chosen = [tensor[list(rows)] for tensor in whole]
        _require_same(chosen, few, "what it makes of a sample depends on the rest of the batch")


@check("builds", "shapes")
def bad_input(part: Part) -> None:
    """A wrong input is refused with an error that can be told from a bug."""
    attempts = list(_trial(part).bad_inputs(part.build()))
    if not attempts:
        raise NotApplicable(f"no wrong input is known for a {part.component.kind}")
    for what, call, must_refuse in attempts:
        try:
            with torch.no_grad():
                call()
        except TYPED:
            continue
        except Exception as error:
            message = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise AssertionError(
                f"{what}: it raises {message}; a PartError (glidepath.core) would say what is wrong"
            ) from error
        require(not must_refuse, f"{what}: it raises nothing; a PartError (glidepath.core) would tell")


CHECKS: tuple[Check, ...] = (
    shapes,
    provides,
    dtypes,
    device,
    same_seed,
    global_random_state,
    no_state,
    threads,
    deepcopy,
    weights,
    batch_independence,
    bad_input,
)


def _trial(part: Part) -> Trial:
    kind = part.component.kind
    known = TRIALS.get(kind) or supplied_trial(kind, part.catalogue)
    if known is None:
        raise CannotRun(
            f"nobody says how parts of kind {kind} are used; the plugin that adds the kind may, by a "
            "Trial that its hook checks(kind) supplies"
        )
    return known(part)


def _used(trial: Trial, built: Any, rows: Sequence[int]) -> list[Tensor]:
    """One use, with the global random state set: who draws from it is caught by a check of its own."""
    with _seeded(0):
        return _no_grad(trial, built, rows)


def _no_grad(trial: Trial, built: Any, rows: Sequence[int] = _ROWS) -> list[Tensor]:
    with torch.no_grad():
        return [tensor.detach().clone() for tensor in trial.use(built, rows)]


def _require_same(one: Sequence[Tensor], other: Sequence[Tensor], what: str) -> None:
    worst = difference(one, other)
    require(worst < ROUNDING, f"{what} (relative difference {worst:.1e})")


def _at_once(calls: Sequence[Callable[[], list[Tensor]]]) -> list[list[Tensor]]:
    """Run calls in threads that start together and change places often, and of a few tries each the worst."""
    barrier = Barrier(len(calls))
    interval = sys.getswitchinterval()

    def run(call: Callable[[], list[Tensor]]) -> list[list[Tensor]]:
        barrier.wait()
        return [call() for _ in range(3)]

    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            results = list(pool.map(run, calls))
    finally:
        sys.setswitchinterval(interval)
    return [max(tries, key=lambda tried: difference(tried, tries[0])) for tries in results]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Global random generators set to a seed, and put back afterwards."""
    kept = (python_random.getstate(), np.random.get_state())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        python_random.seed(seed)
        try:
            yield
        finally:
            python_random.setstate(kept[0])
            np.random.set_state(kept[1])


def _state_beside_torch() -> tuple[object, ...]:
    of_numpy = [word.tolist() if isinstance(word, np.ndarray) else word for word in np.random.get_state()]
    return (python_random.getstate(), of_numpy)
