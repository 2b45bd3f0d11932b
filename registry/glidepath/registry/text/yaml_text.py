"""Plain values as YAML."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from typing import Any, cast

import attrs


def yaml_text(value: object) -> str:
    """A plain value as YAML, on one line."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value not in _WORDS:
        return value
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{yaml_text(key)}: {yaml_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(yaml_text(item) for item in value) + "]"
    if attrs.has(type(value)):
        return yaml_text(attrs.asdict(cast(attrs.AttrsInstance, value), recurse=False))
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for a word, and 1.0e-05 for a number
        text = repr(value) if "." in repr(value) else repr(value).replace("e", ".0e")
        return _NOT_FINITE.get(text, text)
    quoted = json.dumps(str(value), ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)


def yaml_block(mapping: Mapping[str, Any], margin: str = "") -> str:
    """A mapping as YAML, each key on a line of its own; lists are on one line."""
    lines = []
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{margin}{yaml_text(key)}:", yaml_block(value, margin + "  ")]
        else:
            lines.append(f"{margin}{yaml_text(key)}: {yaml_text(value)}")
    return "\n".join(lines)


_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)
_WORDS = frozenset(
    form for word in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
    for form in (word, word.capitalize(), word.upper())
)  # fmt: skip
_NOT_FINITE = {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}
