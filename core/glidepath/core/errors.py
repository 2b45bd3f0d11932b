"""The exceptions that glidepath raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class GlidepathError(Exception):
    """Base of every error that glidepath raises about its input, its parts or its files."""


class PartError(GlidepathError):
    """A part was asked for something it cannot do, or was given values that do not fit it."""


class UnreadablePrompt(PartError):
    """Prompts that a tokenizer cannot read.

    problems: what is wrong, a sentence for each prompt. remedy: what would help, alike for all of them.
    words: those that the tokenizer does not know, where it reads words.
    """

    def __init__(self, problems: Sequence[str], remedy: str = "", words: Sequence[str] = ()) -> None:
        self.problems = tuple(problems)
        self.remedy = remedy
        self.words = tuple(words)
        super().__init__("\n    ".join([*self.problems, *filter(None, [remedy])]))

    def __reduce__(self) -> tuple[type[UnreadablePrompt], tuple[tuple[str, ...], str, tuple[str, ...]]]:
        return UnreadablePrompt, (self.problems, self.remedy, self.words)

    @staticmethod
    def joined(errors: Iterable[UnreadablePrompt]) -> UnreadablePrompt:
        """All of some errors in one, each sentence once."""
        known = list(errors)
        problems = dict.fromkeys(problem for error in known for problem in error.problems)
        remedies = dict.fromkeys(error.remedy for error in known if error.remedy)
        words = dict.fromkeys(word for error in known for word in error.words)
        return UnreadablePrompt(list(problems), "\n    ".join(remedies), list(words))


class Diverged(GlidepathError):
    """Numbers became infinite or undefined: in training, or on the way to an image."""
