"""What a list says of each picture, checked: captions, weight, class, facts, whether it is held out."""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import attrs
import numpy as np

from glidepath.core import PartError
from glidepath.registry import did_you_mean, list_names

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import ColumnsConfig, ListedConfig

MOST = 10
"""Problems that are told, each with the nearest of so many names."""

_MOST_NEAR = 1000
_WRITTEN = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


class RowError(ValueError):
    """What is wrong with one row, without its place."""


@attrs.frozen
class Example:
    """A captioned picture.

    name: of its file, from the folder of the dataset on; or what else tells it from others.
    captions: one or more; each time one of them is drawn.
    place: where that is written.
    weight: how often it comes, relative to others. label: its class. facts: an answer to each question.
    held: whether it is kept from training.
    chunk: which of the pieces that are read one at a time it lies in; 0 where there are none.
    """

    name: str
    captions: tuple[str, ...]
    place: str
    weight: float = 1.0
    label: int | str | None = None
    facts: tuple[str, ...] = ()
    held: bool = False
    chunk: int = 0

    @property
    def caption(self) -> str:
        """The first caption."""
        return self.captions[0]

    def said(self) -> str:
        """All that is said of it, as a run lists it: the caption where that is all."""
        plain = Example(self.name, self.captions[:1], self.place, chunk=self.chunk)
        return self.caption if self == plain else json.dumps(attrs.astuple(attrs.evolve(self, place=""))[1:])


class Examples(Sequence[Example]):
    """A list of examples that takes some tens of bytes for each beside its texts; an object takes hundreds.

    What is said of an example lies as JSON behind what is said of the one before.
    """

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        self._texts, self._ends = bytearray(), array("q", [0])
        self._weights, self._chunks, self._held = array("d"), array("i"), array("b")
        for example in examples:
            self.append(example)

    def append(self, example: Example) -> None:
        """Add one at the end."""
        texts = (example.name, example.captions, example.place, example.label, example.facts)
        self._texts += _PACKED.encode(texts).encode(errors="surrogatepass")
        self._ends.append(len(self._texts))
        self._weights.append(example.weight)
        self._chunks.append(example.chunk)
        self._held.append(example.held)

    @property
    def weights(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """[N] float64. While this or one of the next two is in use, nothing can be appended."""
        return np.frombuffer(self._weights, np.float64)

    @property
    def chunks(self) -> np.ndarray[Any, np.dtype[np.intc]]:
        """[N] int32."""
        return np.frombuffer(self._chunks, np.intc)

    @property
    def held(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """[N] bool."""
        return np.frombuffer(self._held, np.bool_)

    def __len__(self) -> int:
        return len(self._weights)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[it] for it in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        text = self._texts[self._ends[at] : self._ends[at + 1]].decode(errors="surrogatepass")
        name, captions, place, label, facts = json.loads(text)
        return Example(
            name,
            tuple(captions),
            place,
            self._weights[at],
            label,
            tuple(facts),
            bool(self._held[at]),
            self._chunks[at],
        )


_PACKED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def example_of(
    row: Mapping[str, Any], config: ColumnsConfig, name: str, place: str, chunk: int = 0
) -> Example:
    """What a row says of a picture: its captions and its class.

    Raises:
        RowError: a column is missing, or does not hold what it is for.
    """
    captions = _captions(_value(row, config.text), config.text)
    label = _label(_value(row, config.label), config.label) if config.label else None
    return Example(name, captions, place, label=label, chunk=chunk)


def listed_example_of(
    row: Mapping[str, Any], config: ListedConfig, name: str, place: str, chunk: int = 0
) -> Example:
    """What a row of a list says of a picture.

    Raises:
        RowError: a column is missing, or does not hold what it is for.
    """
    return attrs.evolve(
        example_of(row, config, name, place, chunk),
        weight=_weight(_value(row, config.weight), config.weight) if config.weight else 1.0,
        facts=tuple(_fact(row.get(column), column) for column in config.facts),
        held=bool(config.held_out) and _held(row.get(config.held_out), config.held_out),
    )


def finished(examples: Examples, config: ListedConfig, where: str) -> Examples:
    """Those of a list, with the share that a rule holds out, and their classes as numbers.

    Raises:
        PartError: the columns do not fit together, or nothing is left to train on.
    """
    share = config.held_out_share
    names = {it.label for it in examples} if config.label else set()
    numbers: dict[int | str | None, int] = {}
    if any(isinstance(label, str) for label in names):
        if not all(isinstance(label, str) for label in names):
            raise PartError(f"{where}: column {config.label} holds both numbers and names of classes")
        numbers = {name: number for number, name in enumerate(sorted(map(str, names)))}
    for index, column in enumerate(config.facts):
        if not any(it.facts[index] for it in examples):
            raise PartError(f"{where}: column {column} of `facts` answers nothing, in any row")
    found = examples
    if share or numbers:
        found = Examples(
            attrs.evolve(
                it, held=it.held or held_by_name(it.name, share), label=numbers.get(it.label, it.label)
            )
            for it in examples
        )
    if not found.weights[~found.held].any():
        raise PartError(f"{where}: nothing is left to train on; every picture is held out or has no weight")
    return found


def held_by_name(name: str, share: float) -> bool:
    """Whether a name is among the share that is held out: what others there are changes nothing."""
    hashed = hashlib.sha256(composed(name).encode(errors="surrogateescape")).digest()
    return bool(share) and int.from_bytes(hashed[:7]) < share * 2**56


def raise_all(problems: Sequence[str]) -> None:
    """Tell the first problems of a list together.

    Raises:
        PartError: there are any.
    """
    if problems:
        more = [f"and {len(problems) - MOST} more"] if len(problems) > MOST else []
        raise PartError("\n    ".join([*problems[:MOST], *more]))


def composed(name: str) -> str:
    """A name as Unicode composes its letters (NFC): two that look alike are one."""
    return unicodedata.normalize("NFC", name)


def normal(name: str) -> str:
    """A name as other systems write it: composed, with slashes, without steps that lead nowhere."""
    return composed(posixpath.normpath(name.replace("\\", "/")))


def missing(name: str, fault: Callable[[str], str], names: Sequence[str], tell_near: bool) -> str:
    """What keeps a name from being one of the pictures; "" if nothing does."""
    what = fault(name)
    near = did_you_mean(name, names[:_MOST_NEAR]) if what and tell_near else ""
    return "; ".join(filter(None, (what, near)))


def _value(row: Mapping[str, Any], column: str) -> Any:
    value = row.get(column)
    if value is None:
        raise RowError(f"it has no {column!r}; it has {list_names(sorted(map(str, row)))}")
    return value


def _captions(value: Any, column: str) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise RowError(f"{column!r} is a caption, or a list of them")
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON allows half of a surrogate pair, which is no text
            raise RowError(f"{column!r} is no text: {error.reason}") from error
    return tuple(text.strip() for text in texts)


def _weight(value: Any, column: str) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 <= weight < math.inf or isinstance(value, bool):
        raise RowError(f"{column!r} is a number of at least 0, and not {value!r}")
    return weight


def _label(value: Any, column: str) -> int | str:
    if isinstance(value, str) and not value.strip().isdecimal():
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | str) or int(value) < 0:
        raise RowError(f"{column!r} is the name of a class, or its number from 0, and not {value!r}")
    return int(value)


def _fact(value: Any, column: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | type(None)):
        raise RowError(f"{column!r} of `facts` is a text, and not {value!r}")
    return "" if value is None else str(value).strip()


def _held(value: Any, column: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    held = _WRITTEN.get(str(value).strip().lower())
    if held is None:
        raise RowError(f"{column!r} is true or false, and not {value!r}")
    return held
