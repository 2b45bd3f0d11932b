"""What YAML 1.1 makes of a word without quotes, and by which of its rules.

The rule is kept because it matters where text was meant: `no` is a truth value, 012 is octal, 12:30 counts in
base 60. Numbers with an exponent need no point here (1e-4), as in YAML 1.2. Dates stay text.
"""

from __future__ import annotations

import re

Value = str | int | float | bool | None

_LONGEST_NUMBER = 400

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_MAYBE_NUMBER = frozenset("+-.0123456789")
_DIGITS = "[0-9](?:_?[0-9])*"  # an underscore stands between two digits
_INT = re.compile(rf"[-+]?(?:0|(?=[1-9]){_DIGITS})")
_OCTAL = re.compile(r"[-+]?0(?:_?[0-7])+")
_HEX = re.compile(r"[-+]?0x[0-9a-fA-F](?:_?[0-9a-fA-F])*")
_BINARY = re.compile(r"[-+]?0b[01](?:_?[01])*")
_BASE_60 = re.compile(
    rf"[-+]?(?:(?=[1-9]){_DIGITS}(?::[0-5]?[0-9])+|{_DIGITS}(?::[0-5]?[0-9])+\.(?:{_DIGITS})?)"
)
_FLOAT = re.compile(rf"[-+]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?(?:\.inf|\.Inf|\.INF|Infinity)")
_NAN = frozenset({".nan", ".NaN", ".NAN", "NaN"})

NULL = "null"
BOOL = "bool"
INT = "int"
FLOAT = "float"
OCTAL = "octal"
BASE_60 = "base 60"
TEXT = ""


def resolve(text: str) -> tuple[Value, str]:
    """The value of a plain scalar, and the rule that gave it: one of the constants above, TEXT for none."""
    if text in _NULL:
        return None, NULL
    if text in _TRUE:
        return True, BOOL
    if text in _FALSE:
        return False, BOOL
    if text[0] in _MAYBE_NUMBER or text in ("Infinity", "NaN"):
        try:
            return _number(text)
        except ValueError:
            return text, TEXT
    return text, TEXT


def _number(text: str) -> tuple[Value, str]:
    if len(text) > _LONGEST_NUMBER:
        return text, TEXT
    digits = text.replace("_", "")
    if _INT.fullmatch(text):
        return int(digits), INT
    if _HEX.fullmatch(text):
        return int(digits, 16), INT
    if _BINARY.fullmatch(text):
        return int(digits, 2), INT
    if _OCTAL.fullmatch(text):
        return int(digits, 8), OCTAL
    if _BASE_60.fullmatch(text):
        return _base_60(digits), BASE_60
    if _INFINITE.fullmatch(text):
        return float("-inf" if text.startswith("-") else "inf"), FLOAT
    if text in _NAN:
        return float("nan"), FLOAT
    # 089 is no octal number, and in YAML 1.1 no number at all
    if _FLOAT.fullmatch(text) and not digits.lstrip("+-").isdigit():
        return float(digits), FLOAT
    return text, TEXT


def _base_60(digits: str) -> int | float:
    sign = -1 if digits.startswith("-") else 1
    total: int | float = 0
    for part in digits.lstrip("+-").split(":"):
        total = total * 60 + (float(part) if "." in part else int(part))
    return sign * total
