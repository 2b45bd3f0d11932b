"""The judge of the study of digits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

pytest.importorskip("sklearn", reason="the study of digits reads those of scikit-learn")


def test_real_digits_that_training_does_not_see_are_recognised_and_not_as_others() -> None:
    from sklearn.datasets import load_digits

    file = Path(__file__).parents[1] / "digits" / "recognised.py"
    spec = importlib.util.spec_from_file_location("recognised", file)
    assert spec is not None
    assert spec.loader is not None
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    digits = load_digits()
    kept = range(4, len(digits.target), 5)
    images = torch.from_numpy(digits.images[kept] * 255 / 16).to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    right = judge.per_prompt(images, [f"a {names[digit]}" for digit in digits.target[kept]])
    wrong = judge.per_prompt(images, [f"a {names[(digit + 1) % 10]}" for digit in digits.target[kept]])
    assert sum(right) / len(right) > 0.98
    assert sum(wrong) / len(wrong) < 0.01
