"""A tokenizer of whole words, for small vocabularies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from glidepath.core import PartError, UnreadablePrompt
from glidepath.plugins.text.configs import WordsConfig
from glidepath.plugins.text.merging import MOST_BYTES
from glidepath.plugins.text.plugin import words_faults
from glidepath.registry import did_you_mean, list_names, read_lines

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_MOST_LISTED = 60
_MOST_UNKNOWN = 10  # each is compared with all words
_ALIKE = 0.65  # a slip of a letter in three is; `star` is less like `square`, and is no slip of it


class WordsTokenizer:
    """One id for each word of a list, in its order; the id after the last word pads.

    Text is lower-cased. Words are runs of letters and digits, joined by single apostrophes or hyphens;
    everything else separates them, and is dropped.
    """

    def __init__(self, config: WordsConfig) -> None:
        self._words = _vocabulary(config)
        self._ids = {word: index for index, word in enumerate(self._words)}
        self._ignore_unknown = config.unknown == "ignore"
        self._known = _known_words(self._words, config.file)

    @classmethod
    def learn(cls, captions: Iterable[str]) -> WordsTokenizer:
        """A tokenizer of all the words of some captions, in alphabetical order."""
        words = sorted({word for caption in captions for word in split(caption)})
        return cls(WordsConfig(vocabulary=tuple(words)))

    @property
    def words(self) -> tuple[str, ...]:
        """The words, in the order of their ids."""
        return self._words

    @property
    def vocabulary_size(self) -> int:
        """How many different ids there are: the words and the padding."""
        return len(self._words) + 1

    @property
    def padding_id(self) -> int:
        """The id after the last word."""
        return len(self._words)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's words.

        Raises:
            UnreadablePrompt: a word is not in the vocabulary, and `unknown` is `error`.
        """
        words = split(text)
        unknown = [word for word in dict.fromkeys(words) if word not in self._ids]
        if unknown and not self._ignore_unknown:
            raise UnreadablePrompt([_unknown_words(text, unknown, self._words)], self._known, unknown)
        return [self._ids[word] for word in words if word in self._ids]

    def decode(self, ids: Sequence[int]) -> str:
        """The words of some ids, separated by spaces; padding is left out."""
        return " ".join(self._words[index] for index in ids if index != self.padding_id)


def split(text: str) -> list[str]:
    """A text's words, lower-cased."""
    return _WORD.findall(text.lower())


def _vocabulary(config: WordsConfig) -> tuple[str, ...]:
    for field, fault in words_faults(config):
        raise PartError(f"tokenizer words: {field}: {fault}")
    if config.vocabulary is not None:
        words = tuple(config.vocabulary)
    else:
        assert config.file is not None  # words_faults saw to it
        words = tuple(_read(config.file))
    never = [word for word in words if split(word) != [word]]
    if never:
        raise PartError(
            f"tokenizer words: no text holds {never[0]!r} as a word: words are lower-case and hold no signs"
        )
    twice = [word for word, count in Counter(words).items() if count > 1]
    if twice:
        raise PartError(
            f"tokenizer words: the vocabulary lists {list_names(map(repr, twice))} more than once"
        )
    return words


def _read(file: Path) -> list[str]:
    try:
        lines = read_lines(file, MOST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise PartError(f"tokenizer words cannot read {file}: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def _unknown_words(text: str, unknown: Sequence[str], known: Sequence[str]) -> str:
    said = []
    for word in unknown[:_MOST_UNKNOWN]:
        hint = did_you_mean(word, known, _ALIKE)
        said.append(f"{word!r} ({hint})" if hint else repr(word))
    more = f", and {len(unknown) - len(said)} more" if len(unknown) > len(said) else ""
    return f"the prompt {text!r} has words that the text encoder was not taught: {', '.join(said)}{more}"


def _known_words(words: Sequence[str], file: Path | None) -> str:
    """The words, or where they are when they are more than a person reads."""
    if len(words) <= _MOST_LISTED:
        return f"it knows {len(words)} words: {', '.join(words)}"
    where = file if file is not None else "the vocabulary of the spec: `glidepath plan SPEC --json` has it"
    return f"it knows {len(words):,} words, all of them in {where}"
