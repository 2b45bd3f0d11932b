"""The parts that come with glidepath keep the contracts that the kit holds others to.

One part of each kind always runs, and all of them where it is thorough.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glidepath.testing import parametrize_with_checks

DATA = Path(__file__).parent / "data"


CHECKS = parametrize_with_checks(
    "glidepath-diffusion",
    examples={
        "dataset/captioned-folder": {"folder": str(DATA / "pictures"), "size": 16},
        "tokenizer/bpe": {"vocabulary": str(DATA / "encoder.json"), "merges": str(DATA / "vocab.bpe")},
    },
)


def _checks() -> list[Any]:
    """The parameters of the kit, marked unless they are of a plugin or of the first part of a kind."""
    sampled: dict[str, str] = {}
    parameters = []
    for parameter in CHECKS.args[1]:
        subject = parameter.id.partition(":")[0]
        kind = subject.partition("/")[0]
        always = kind == "plugin" or sampled.setdefault(kind, subject) == subject
        marks = () if always else pytest.mark.thorough
        parameters.append(pytest.param(*parameter.values, id=parameter.id, marks=marks))
    return parameters


@pytest.mark.parametrize("check", _checks())
def test_contract(check: Callable[[], None]) -> None:
    check()
