"""What an analysis needs of the extra `studies`."""

from __future__ import annotations

from typing import Any

from glidepath.registry import needed


def special() -> Any:
    """scipy.special: distribution functions."""
    return needed("scipy.special", "intervals and powers of judgements", extra="studies")
