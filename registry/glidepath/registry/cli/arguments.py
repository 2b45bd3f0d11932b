"""How commands read their arguments: whole names of options, numbers within limits, and helpful messages."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from glidepath.core.size import parse_size
from glidepath.registry.text.problems import nearest

_UNKNOWN = "unrecognized arguments: "


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser for commands of glidepath, those of plugins too.

    It takes no abbreviations, prints descriptions and epilogs as they are written, and names the nearest
    option or choice in the message for one that it does not know.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        own = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(*arguments, **{**own, **keywords})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but that an `OptionalFile` takes the next word only if it can be its file."""
        if args is not None:
            args = list(self._with_files_apart(args))
        return super().parse_known_args(args, namespace)

    def _with_files_apart(self, words: Sequence[str]) -> Iterator[str]:
        for index, word in enumerate(words):
            action = self._option_string_actions.get(word)
            following = words[index + 1] if index + 1 < len(words) else ""
            if isinstance(action, OptionalFile) and not following.endswith(action.suffix):
                yield f"{word}="
            else:
                yield word

    def error(self, message: str) -> NoReturn:
        """Print the message, and exit with status 2."""
        if message.startswith(_UNKNOWN):
            options = [word.partition("=")[0] for word in message.removeprefix(_UNKNOWN).split()]
            near = (nearest(word, self._option_string_actions) for word in options if word.startswith("-"))
            message += next((f"; did you mean {option}?" for option in near if option), "")
        self.exit(2, f"{self.prog}: error: {message}\n`{self.prog} --help` tells what it takes\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            if near := nearest(str(value), map(str, action.choices or ())):
                error.message += f"; did you mean {near}?"
            raise


class OptionalFile(argparse.Action):
    """An option with a file behind it or none, in front of any argument: "" stands for none.

    suffix: how the name of such a file ends.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, *, suffix: str, **keywords: Any) -> None:
        super().__init__(option_strings, dest, **keywords, nargs="?", const="")
        self.suffix = suffix

    def __call__(
        self, _parser: object, namespace: argparse.Namespace, value: Any, _option: object = None
    ) -> None:
        """Keep the file."""
        setattr(namespace, self.dest, value)


def positive_int(text: str) -> int:
    """The `type` of an argument that is a whole number of at least 1."""
    return _whole(text, 1)


def natural_int(text: str) -> int:
    """The `type` of an argument that is a whole number of at least 0."""
    return _whole(text, 0)


def fraction(text: str) -> float:
    """The `type` of an argument that is a number above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1")
    return value


def key_value(text: str) -> str:
    """The `type` of an argument that is KEY=VALUE, kept as it is written."""
    if text.find("=") < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY=VALUE: there is no = in it")
    return text


def named_file(text: str) -> tuple[str, Path]:
    """The `type` of an argument that is a picture with its name, NAME=FILE."""
    name, _, file = text.partition("=")
    if not file or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=FILE, such as control=edges.png")
    return name, Path(file)


def named_text(text: str) -> tuple[str, str]:
    """The `type` of an argument that is a text with its name, NAME=TEXT."""
    name, equals, said = text.partition("=")
    if not equals or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=TEXT, such as prompt_2=oil")
    return name, said


def pixel_size(text: str) -> tuple[int, int]:
    """The `type` of an argument that is a size in pixels: WIDTHxHEIGHT, given as (height, width)."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return value
