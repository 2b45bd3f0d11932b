"""Settings of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

# One thread, in the processes that tests start too: the tensors are small, and the workers fill the cores.
# It is read once, when torch is imported. Whoever wants to see the suite on several threads sets it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# No deadline: the first call of a torch function is slow. Derandomised: a run of the suite is repeatable.
# The other profile is for `pytest -m "thorough or hypothesis" --hypothesis-profile=thorough`.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=20)
settings.register_profile("thorough", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("quick")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No worker processes where only files or single tests are asked for: to start them takes longer."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    return 0 if named and not any(Path(argument).is_dir() for argument in config.args) else None
