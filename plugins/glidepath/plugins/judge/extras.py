"""Packages that an analysis or a file needs: imported when used, asked for by name where missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from glidepath.core import GlidepathError


def needed(module: str, purpose: str, extra: str) -> Any:
    """The module; purpose says who needs it, in words that begin the message: "intervals".

    Raises:
        GlidepathError: it cannot be imported; the message names the extra that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise GlidepathError(
            f"{purpose} need {package}, which is not installed: pip install 'glidepath-diffusion[{extra}]'"
        ) from error


def special() -> Any:
    """scipy.special: distribution functions."""
    return needed("scipy.special", "intervals and powers of judgements", "studies")
