"""The parts that come with glidepath keep the contracts that the kit holds others to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glidepath.testing import parametrize_with_checks

DATA = Path(__file__).parent / "data"


@parametrize_with_checks(
    "glidepath-diffusion",
    examples={
        "dataset/captioned-folder": {"folder": str(DATA / "pictures"), "size": 16},
        "tokenizer/bpe": {"vocabulary": str(DATA / "encoder.json"), "merges": str(DATA / "vocab.bpe")},
    },
)
def test_contract(check: Callable[[], None]) -> None:
    check()
