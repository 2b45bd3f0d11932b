"""The parts that come with glidepath keep the contracts that the kit holds others to.

One part of each kind always runs, and all of them where it is thorough. Those that need an extra are apart.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.clip.tiny import write_clip

from glidepath.registry import load_catalogue
from glidepath.testing import parametrize_with_checks

DATA = Path(__file__).parent / "data"
CLIP = Path(tempfile.gettempdir()) / f"glidepath-clip-{os.getpid()}"


CHECKS = parametrize_with_checks(
    "glidepath-diffusion",
    examples={
        "dataset/captioned-folder": {"folder": str(DATA / "pictures"), "size": 16},
        **({"clip/transformers-clip": {"folder": str(CLIP)}} if find_spec("transformers") else {}),
        "tokenizer/bpe": {"vocabulary": str(DATA / "encoder.json"), "merges": str(DATA / "vocab.bpe")},
    },
)


CATALOGUE = load_catalogue(environ={}, no_plugins=True)
BROUGHT = {
    f"{it.component.kind}/{it.component.name}" for it in CATALOGUE.components() if it.component.requires
}
BROUGHT |= {"text_encoder/joined-text"}  # of two of them, in its example
"""The parts that need an extra."""


SLOW = {
    f"engine/local:{name}": pytest.mark.slow
    for name in ("no-state", "same-seed", "global-random-state", "threads", "deepcopy", "batch-independence")
}
"""Checks for which processes are started again and again."""


def _checks(*, brought: bool) -> list[Any]:
    """The parameters of the kit, marked unless they are of a plugin or of the first part of a kind.

    brought: those of the parts that need an extra, or all others.
    """
    sampled: dict[str, str] = {}
    parameters = []
    for parameter in CHECKS.args[1]:
        subject = parameter.id.partition(":")[0]
        if (subject in BROUGHT) is not brought:
            continue
        kind = subject.partition("/")[0]
        always = kind == "plugin" or sampled.setdefault(kind, subject) == subject
        marks = () if always else SLOW.get(parameter.id, pytest.mark.thorough)
        parameters.append(pytest.param(*parameter.values, id=parameter.id, marks=marks))
    return parameters


@pytest.fixture(scope="module")
def clip() -> Iterator[None]:
    """The folder of a small CLIP, where the package transformers is installed."""
    if find_spec("transformers"):
        write_clip(CLIP)
    yield
    shutil.rmtree(CLIP, ignore_errors=True)


@pytest.mark.parametrize("check", _checks(brought=False))
def test_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("check", _checks(brought=True))
def test_contract_of_a_part_that_an_extra_brings(
    check: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    if "transformers-clip" in request.node.callspec.id:
        request.getfixturevalue("clip")
    check()
