"""Packages of extras: imported when used, asked for by name where missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from glidepath.core.errors import GlidepathError


class MissingExtra(GlidepathError):
    """A package that an extra brings is not installed."""


def needed(module: str, purpose: str, *, extra: str) -> Any:
    """The module; purpose says who needs it, in words that begin the message: "intervals", "figures".

    extra: of glidepath, that installs it.

    Raises:
        MissingExtra: it cannot be imported; the message says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtra(
            f"{purpose} need {package}, which is not installed: pip install 'glidepath-diffusion[{extra}]'"
        ) from error
