"""How commands read their arguments: whole names of options, numbers within limits, and helpful messages."""

from __future__ import annotations

import argparse
import math
from typing import Any, NoReturn

from glidepath.registry.problems import nearest

_UNKNOWN = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that takes no abbreviations, and says which option an unknown one may mean."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **keywords})

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with status 2."""
        if message.startswith(_UNKNOWN):
            for word in message.removeprefix(_UNKNOWN).split():
                option = word.partition("=")[0]
                if option.startswith("-") and (near := nearest(option, self._option_string_actions)):
                    message += f"; did you mean {near}?"
                    break
        super().error(message)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """A whole number of at least 0."""
    return _whole(text, 0)


def share(text: str) -> float:
    """A number above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1")
    return value


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return value
