"""The text of a plan's tree: the same for the same values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# what YAML forbids, or takes for the end of a line
_NEEDS_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def canonical_json(value: object, indent: int | None = None) -> str:
    """JSON of a `Plan.tree`, the same for the same values: to be hashed, kept, or read as a spec again.

    Keys are sorted, but for the stages of a cascade, whose order says something. Not `json.dumps` as it is:
    YAML does not know JSON's escapes of characters beyond the first 65,536.
    """
    separators = (",", ": " if indent else ":")
    text = json.dumps(_ordered(value), separators=separators, ensure_ascii=False, indent=indent)
    return _NEEDS_ESCAPE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _ordered(value: object, is_top: bool = True) -> object:
    if isinstance(value, list | tuple):
        return [_ordered(item, False) for item in value]
    if not isinstance(value, Mapping):
        return value
    ordered = {key: _ordered(value[key], False) for key in sorted(value)}
    if is_top and isinstance(value.get("stages"), Mapping):
        ordered["stages"] = {name: _ordered(stage, False) for name, stage in value["stages"].items()}
    return ordered
