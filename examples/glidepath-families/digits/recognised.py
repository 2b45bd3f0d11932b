"""Whether a classifier of real digits reads in an image what its prompt says; and its features, the pixels.

A support vector machine (Cortes and Vapnik 1995), of the pictures that training sees. Of the others it
recognises 99.2 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import Tensor

name = "recognised"
direction = "higher"
unit = "share"

_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@cache
def _judge() -> Any:
    digits = load_digits()
    seen = np.arange(len(digits.target)) % 5 != 4
    return SVC(C=10).fit(digits.images.reshape(-1, 64)[seen] / 16, digits.target[seen])


def features(images: Tensor) -> Any:
    """[N, 3, 8, 8] in 0 to 255 to [N, 64] in 0 to 1."""
    return images.float().mean(dim=1).flatten(1) / 255


def per_prompt(images: Tensor, prompts: Sequence[str]) -> list[float]:
    """1 where the digit is that of the prompt, 0 where it is another."""
    read = _judge().predict(features(images).cpu().numpy())
    return [float(_NAMES[digit] == prompt.split()[-1]) for digit, prompt in zip(read, prompts, strict=True)]
