"""Prompts with marks that weight their words, as in "a (red:1.3) [old] castle"."""

from __future__ import annotations

import re

_STEP = {"(": 1.1, "[": 1 / 1.1}
_OPENING = {")": "(", "]": "["}
_ESCAPED = re.compile(r"\\([()\[\]\\])")
_WEIGHT = re.compile(r":\s*([+-]?(?:\d{1,3}\.?\d{0,9}|\.\d{1,9}))\s*\)")


def read_marks(prompt: str) -> tuple[str, list[float]]:
    r"""A prompt without its marks, and the weight of each of its characters.

    `(words:1.2)` multiplies their weight by 1.2, `(words)` by 1.1, `[words]` by 1/1.1; marks may stand within
    others, and one that is not closed reaches to the end. `\(`, `\)`, `\[`, `\]` and `\\` are text, and so is
    a bracket that closes nothing. The syntax is that of AUTOMATIC1111's stable-diffusion-webui
    (`parse_prompt_attention`).
    """
    text: list[str] = []
    weights: list[float] = []
    opened: dict[str, list[int]] = {bracket: [] for bracket in _STEP}  # how much of the text is before each
    at = 0
    while at < len(prompt):
        letter = prompt[at]
        said = _WEIGHT.match(prompt, at)
        bracket = "(" if said else _OPENING.get(letter, "")
        if opened.get(bracket):
            _multiply(weights, opened[bracket].pop(), float(said[1]) if said else _STEP[bracket])
            at = said.end() if said else at + 1
        elif letter in opened:
            opened[letter].append(len(text))
            at += 1
        else:
            escaped = _ESCAPED.match(prompt, at)
            text.append(escaped[1] if escaped else letter)
            weights.append(1.0)
            at = escaped.end() if escaped else at + 1
    for bracket, begins in opened.items():
        for begin in begins:
            _multiply(weights, begin, _STEP[bracket])
    return "".join(text), weights


def _multiply(weights: list[float], begin: int, factor: float) -> None:
    weights[begin:] = [weight * factor for weight in weights[begin:]]
