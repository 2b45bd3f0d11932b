"""How commands read their arguments: whole names of options, numbers within limits, and helpful messages."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from glidepath.registry.text.problems import nearest

_UNKNOWN = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that takes no abbreviations, and says what an unknown option or choice may mean.

    meaning: what may be meant by an option that is not there, with the word behind it, as a hint; "" for
        nothing.
    gathers: the positional of any number of words that also takes those which stand behind options; "" for
        none.
    """

    meaning: Callable[[str, str], str] | None = None
    gathers: str = ""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **keywords})
        self._words: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but for `OptionalFile`, which takes the next word only if it can be its file.

        argparse itself gives a positional the first words that stand together, and no others.
        """
        if args is not None:
            self._words = args = list(self._with_files_apart(args))
        found, rest = super().parse_known_args(args, namespace)
        if self.gathers and not any(word.startswith("-") for word in rest):
            setattr(found, self.gathers, [*getattr(found, self.gathers), *rest])
            rest = []
        return found, rest

    def _with_files_apart(self, words: Sequence[str]) -> Iterator[str]:
        for index, word in enumerate(words):
            action = self._option_string_actions.get(word)
            following = words[index + 1] if index + 1 < len(words) else ""
            if isinstance(action, OptionalFile) and not following.endswith(action.suffix):
                yield f"{word}="
            else:
                yield word

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with status 2."""
        if message.startswith(_UNKNOWN):
            for word in message.removeprefix(_UNKNOWN).split():
                option, _, value = word.partition("=")
                if option.startswith("-") and (hint := self._hint(option, value or self._behind(word))):
                    message += f"; {hint}"
                    break
        super().error(message)

    def _hint(self, option: str, value: str) -> str:
        if self.meaning is not None and (meant := self.meaning(option, value)):
            return meant
        near = nearest(option, self._option_string_actions)
        return f"did you mean {near}?" if near else ""

    def _behind(self, option: str) -> str:
        """The word behind an option, as far as it may be its value."""
        place = self._words.index(option) + 1 if option in self._words else len(self._words)
        return self._words[place] if self._words[place:] and not self._words[place].startswith("-") else ""

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
