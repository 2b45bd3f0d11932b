"""What statistics and reports need of the extra `studies`."""

from __future__ import annotations

from typing import Any

from glidepath.registry import needed


def special() -> Any:
    """scipy.special: distribution functions."""
    return needed("scipy.special", "the statistics of a study", extra="studies")
