"""Numbers as a report prints them: as many digits as their interval warrants, a true minus, p never 0."""

from __future__ import annotations

import math
from typing import Final

#: What is printed where there is no number.
NONE: Final = "–"
_MINUS: Final = "\N{MINUS SIGN}"
# How far a mean is from the middle of its interval, in halves of it, where +- would mislead.
_ASKEW: Final = 0.02


def number(value: float | None, precision: float | None = None, *, signed: bool = False) -> str:
    """A number as precise as its precision (half an interval) warrants, or to three digits where it has none.

    Of the precision one digit is kept, or two where it begins with 1 or 2. What is not 0 keeps a digit, and
    so its sign, however small it is.
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return f"{_MINUS if value < 0 else ''}\N{INFINITY}"
    if precision and math.isfinite(precision):
        places = -math.floor(math.log10(abs(precision) / 3))
        if value != 0 and abs(value) < 0.5 * 10.0**-places:
            places = -math.floor(math.log10(abs(value)))
    else:
        places = 0 if value == 0 else 2 - math.floor(math.log10(abs(value)))
    if abs(value) >= 1e6 or (value != 0 and places > 7):
        text = f"{value:.2e}"
    else:
        text = f"{value:,.{max(0, places)}f}"
    plus = "+" if signed and not text.startswith("-") and value != 0 else ""
    return plus + text.replace("-", _MINUS)


def interval(low: float, high: float) -> str:
    """[low, high], to one precision."""
    if math.isnan(low) or math.isnan(high):
        return NONE
    half = (high - low) / 2 or None
    return f"[{number(low, half)}, {number(high, half)}]"


def estimate(mean: float, low: float, high: float) -> str:
    """mean +- half an interval, or beside one that lies askew; the mean alone where there is no interval."""
    half = (high - low) / 2
    if math.isnan(half) or half == 0:
        return number(mean)
    if abs((low + high) / 2 - mean) > _ASKEW * half:
        return f"{number(mean, half)} {interval(low, high)}"
    return f"{number(mean, half)} ± {number(half, half)}"


def p_value(p: float | None) -> str:
    """A p value: two digits, and "< 0.0001" below that."""
    if p is None or math.isnan(p):
        return NONE
    if p < 1e-4:
        return "< 0.0001"
    return f"{p:.4f}" if p < 0.001 else f"{p:.3f}"


def share(value: float) -> str:
    """A share in percent."""
    return NONE if math.isnan(value) else f"{value:.0%}" if value in (0, 1) else f"{value:.1%}"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours."""
    if seconds is None or math.isnan(seconds):
        return NONE
    if seconds < 120:
        return f"{number(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(count: int | None) -> str:
    """Bytes, in MiB or GiB."""
    if count is None:
        return NONE
    return f"{count / 2**20:,.0f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"
