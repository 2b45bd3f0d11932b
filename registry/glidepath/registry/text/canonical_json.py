"""JSON: the same text for the same values, and what is read from strangers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from glidepath.registry.text.tree import MAX_DEPTH

# what YAML forbids, or takes for the end of a line
_NEEDS_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def canonical_json(value: object, indent: int | None = None) -> str:
    """JSON of a `Plan.tree`, the same for the same values: to be hashed, kept, or read as a spec again.

    Keys are sorted, but for the stages of a cascade, whose order says something.
    """
    return json_text(_ordered(value), indent)


def json_text(value: object, indent: int | None = None) -> str:
    """JSON that UTF-8 can hold, whatever is in it. Not `json.dumps` as it is.

    YAML does not know JSON's escapes of characters beyond the first 65,536.

    Raises:
        ValueError: there is a number in it that JSON does not know, NaN or infinite.
    """
    separators = (",", ": " if indent else ":")
    text = json.dumps(value, separators=separators, ensure_ascii=False, allow_nan=False, indent=indent)
    return _NEEDS_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def read_json(text: str | bytes) -> Any:
    """What a JSON document of a stranger holds: no NaN, nothing infinite, no more levels than a spec has.

    Raises:
        ValueError: it is no such document.
    """
    too_deep = f"it is nested more than {MAX_DEPTH} levels deep"
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(too_deep) from None
    level = [[value]]
    for _ in range(MAX_DEPTH):
        inner = [item for items in level for item in items]
        if any(isinstance(item, float) and not math.isfinite(item) for item in inner):
            _refuse("a number beyond what float64 holds")
        level = [
            list(item.values()) if isinstance(item, dict) else item
            for item in inner
            if isinstance(item, dict | list)
        ]
    if level:
        raise ValueError(too_deep)
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}, which JSON does not know")


def _ordered(value: object, is_top: bool = True) -> object:
    if isinstance(value, list | tuple):
        return [_ordered(item, False) for item in value]
    if not isinstance(value, Mapping):
        return value
    ordered = {key: _ordered(value[key], False) for key in sorted(value)}
    if is_top and isinstance(value.get("stages"), Mapping):
        ordered["stages"] = {name: _ordered(stage, False) for name, stage in value["stages"].items()}
    return ordered
