"""What the JSON files of a store hold, as far as it is read: a file of another shape is damaged."""

from __future__ import annotations

import re
from typing import Any

_KEY = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1e18


def is_number(value: Any) -> bool:
    """Whether it is a number that can be counted with; a huge one is none, nor is a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_score(value: Any) -> bool:
    return value is None or ((isinstance(value, float) or is_number(value)) and not isinstance(value, bool))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and is_number(value) and value >= 0


def _are_keys(value: Any) -> bool:
    keys = value if isinstance(value, list) else [value]  # an earlier version wrote the only one
    return all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys)


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has a shape.

    A type or a test stands for itself, [SHAPE] for a list, {KEY: SHAPE} for a mapping that may have more
    keys. Of {str: SHAPE} every value has the shape.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return False
        if str in shape:
            return all(isinstance(key, str) and fits(it, shape[str]) for key, it in value.items())
        return all(key in value and fits(value[key], inner) for key, inner in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(it, shape[0]) for it in value)
    return isinstance(value, shape) if isinstance(shape, type) else bool(shape(value))


_SAMPLE = {"images": _is_count, "draw_seconds": is_number, "evaluations": is_number, "peak_bytes": is_number}
_MEASURE = {
    "scores": [_is_score],
    "name": str,
    "direction": lambda value: value in ("higher", "lower"),
    "unit": str,
}


def is_result(value: Any) -> bool:
    """Whether a result.json says what one of its stage does."""
    if not fits(value, {"seconds": is_number, "stage": str}) or not is_number(value.get("began", 0)):
        return False
    shape = {"train": {}, "embed": {}, "sample": _SAMPLE, "measure": _MEASURE}.get(value["stage"])
    return shape is not None and fits(value, shape)


PREIMAGE_SHAPE = {"stage": str, "reads": dict, "upstream": dict}

_TRIAL = {"arm": str, "train": _is_count, "sample": _is_count, "nodes": {str: _are_keys}}


def is_graph(value: Any) -> bool:
    """Whether a graph.json says of which study it is, and all places in its lists are there."""
    shape = {
        "study": str,
        "arms": [{"name": str}],
        "train_seeds": [_is_count],
        "sample_seeds": [_is_count],
        "prompts": [str],
        "trials": [_TRIAL],
    }
    if not fits(value, shape) or not fits(value.get("file", ""), str):
        return False
    if value.get("threads", 1) not in range(1, 1025):
        return False
    batches = value.get("batches", [])
    if not fits(batches, [{"prompts": [_is_count], "at": [_is_count]}]):
        return False
    train, sample = max(1, len(value["train_seeds"])), len(value["sample_seeds"])
    places = [place for batch in batches for place in batch["prompts"]]
    return (
        all(it["train"] < train and it["sample"] < sample for it in value["trials"])
        and all(len(it["prompts"]) == len(it["at"]) for it in batches)
        and sorted(places) == list(range(len(value["prompts"]) if batches else 0))
    )
