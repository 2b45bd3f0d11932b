"""What an application has set in torch changes no image, and is so again afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tests.registry.tiny import write_cascade, write_tiny

from glidepath.registry import assemble


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    yield
    torch.set_default_device(None)


SET = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "a default device": lambda: default_device("meta"),
    "a device around it": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no gradients": torch.inference_mode,
}


def state() -> tuple[object, ...]:
    autocast = torch.is_autocast_enabled("cpu")
    return torch.get_default_dtype(), torch.get_default_device(), autocast, torch.is_inference_mode_enabled()


@pytest.mark.thorough
@pytest.mark.parametrize("write", [write_tiny, write_cascade])
@pytest.mark.parametrize("name", SET)
def test_the_image_is_the_same_and_so_is_the_state_between_two_steps(
    name: str, write: Callable[[Path], Path], tmp_path: Path
) -> None:
    spec, application = write(tmp_path), SET[name]
    before = assemble(spec, ["runtime.device=cpu"])
    wanted = before(["a star"], seed=1)
    with application():
        its_own = state()
        for pipeline in (before, assemble(spec, ["runtime.device=cpu"])):
            walk = pipeline.states(["a star"], seed=1)
            states = [(step, state()) for step in walk]
            assert {at_step for _, at_step in states} == {its_own}
            assert torch.equal(pipeline.images(states[-1][0]), wanted)
        assert state() == its_own
