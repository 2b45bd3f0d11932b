"""What a dataset holds, and what may be wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from glidepath.core import Tokenizer, UnreadablePrompt
from glidepath.plugins.train.data.dataset import CaptionedDataset, captions_of, notes_of
from glidepath.plugins.train.data.duplicates import Bits, look, near
from glidepath.plugins.train.data.pictured import PicturedDataset
from glidepath.registry import ImageError, decode_picture, list_names

_MOST = 5
_QUARTERS = (0, 0.25, 0.5, 0.75, 1)


@attrs.frozen
class Report:
    """Figures of a dataset.

    pictures: how many there are; None of a dataset that draws them. held_out: of them, kept from training.
    damaged: why pictures cannot be read. notes: what is passed over.
    exact, near: groups of names of pictures of the same bytes, and of pictures that look alike.
    sizes: how many pictures are of each size in pixels. labels: how many are of each class.
    batch_sizes: how many are trained on at each size, (height, width).
    captions: how many were looked at. words, tokens: of a caption, from the fewest to the most, in quarters.
    context: how many tokens the text encoder reads; None without one. cut, unreadable: captions longer than
        that, and with words that it does not know. cut_at, unreadable_at: where the first of those are.
    unknown: how often each word comes that the text encoder does not know.
    """

    pictures: int | None
    held_out: int
    damaged: Sequence[str]
    notes: Sequence[str]
    exact: Sequence[Sequence[str]]
    near: Sequence[Sequence[str]]
    sizes: Counter[str]
    batch_sizes: Counter[str]
    labels: Counter[str]
    captions: int
    words: Sequence[int]
    tokens: Sequence[int]
    context: int | None
    cut: int
    unreadable: int
    cut_at: Sequence[str] = ()
    unreadable_at: Sequence[str] = ()
    unknown: Counter[str] = attrs.field(factory=Counter)


def report_on(
    dataset: CaptionedDataset,
    reader: Any = None,
    seed: int = 0,
    shown: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _what: items,
) -> Report:
    """Read every picture and caption of a dataset, or of those that are mixed, once.

    reader: the text encoder, if there is one. shown: goes through items as it is told, showing how far it is.
    """
    pictures = _Pictures()
    mixed: Sequence[Any] = getattr(dataset, "datasets", [dataset])
    listed = [part for part in mixed if isinstance(part, PicturedDataset)]
    for part in listed:
        for example, size in shown(part.everything(), "reading pictures"):
            pictures.add(part, example, size)
    words, tokens = [], []
    cut: list[str] = []
    unreadable: list[str] = []
    unknown: Counter[str] = Counter()
    for place, caption in shown(captions_of(dataset, seed), "reading captions"):
        words.append(len(caption.split()))
        if reader is None:
            continue
        try:
            if isinstance(tokenizer := getattr(reader, "tokenizer", None), Tokenizer):
                tokens.append(len(tokenizer.encode(caption)))
            if reader.truncated(caption):
                cut.append(place)
        except UnreadablePrompt as error:
            unreadable.append(place)
            unknown.update(error.words)
    return Report(
        pictures=pictures.count if listed else None,
        held_out=pictures.held,
        damaged=pictures.damaged,
        notes=notes_of(dataset),
        exact=pictures.exact(),
        near=pictures.near(),
        sizes=pictures.sizes,
        batch_sizes=pictures.batch_sizes,
        labels=pictures.labels,
        captions=len(words),
        words=_quarters(words),
        tokens=_quarters(tokens),
        context=getattr(reader, "context", None),
        cut=len(cut),
        unreadable=len(unreadable),
        cut_at=cut[:_MOST],
        unreadable_at=unreadable[:_MOST],
        unknown=unknown,
    )


def told(report: Report) -> list[str]:
    """The report in lines."""
    lines = [*report.notes]
    if report.pictures is None:
        lines.append("the dataset draws its pictures, or does not list them")
    else:
        lines.append(f"{_many(report.pictures, 'picture')}, {report.held_out} of them held out")
        lines += [f"sizes: {_counts(report.sizes)}", f"trained on as: {_counts(report.batch_sizes)}"]
    if report.labels:
        lines.append(f"classes: {_counts(report.labels)}")
    if report.damaged:
        lines.append(f"{_many(len(report.damaged), 'picture')} cannot be read:")
        lines += [f"  {problem}" for problem in report.damaged[:_MOST]]
    for groups, what in ((report.exact, "the same bytes"), (report.near, "nearly the same look")):
        if groups:
            lines.append(f"{_many(len(groups), 'group')} of pictures with {what}:")
            lines += [f"  {list_names(group)}" for group in groups[:_MOST]]
    lines.append(f"{_many(report.captions, 'caption')} of {_span(report.words)} words")
    if report.context is not None:
        read = f", of {_span(report.tokens)} tokens" if report.tokens else ""
        lines.append(
            f"the text encoder reads {report.context} tokens{read}: {report.cut} are cut, "
            f"{report.unreadable} have words that it does not know"
        )
        for places, what in ((report.cut_at, "cut"), (report.unreadable_at, "with unknown words")):
            if places:
                lines.append(f"  {what}: {list_names(places)}")
        if report.unknown:
            lines.append(f"  unknown words: {_counts(report.unknown)}")
    return lines


class _Pictures:
    """What is gathered from picture to picture."""

    def __init__(self) -> None:
        self.count = self.held = 0
        self.damaged: list[str] = []
        self.sizes: Counter[str] = Counter()
        self.batch_sizes: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self._names: dict[str, list[str]] = defaultdict(list)
        self._looks: dict[str, Bits] = {}
        self._sides: dict[str, str] = {}

    def add(self, dataset: PicturedDataset, example: Any, size: tuple[int, int]) -> None:
        self.count += 1
        self.held += example.held
        self.batch_sizes[f"{size[1]}x{size[0]}"] += 1
        if example.label is not None:
            self.labels[str(example.label)] += 1
        try:
            data = dataset.pictures.read(example)
            digest = hashlib.sha256(data).hexdigest()
            if example.name not in self._names[digest]:
                self._names[digest].append(example.name)
            if digest not in self._looks:
                picture = decode_picture(data, dataset.pictures.place(example))
                self._looks[digest], self._sides[digest] = look(picture), f"{picture.width}x{picture.height}"
            self.sizes[self._sides[digest]] += 1
        except ImageError as error:
            self.damaged.append(str(error))

    def exact(self) -> list[list[str]]:
        return [names for names in self._names.values() if len(names) > 1]

    def near(self) -> list[list[str]]:
        names = [self._names[digest][0] for digest in self._looks]
        return [[names[index] for index in group] for group in near([*self._looks.values()])]


def _quarters(values: Sequence[int]) -> list[int]:
    ordered = sorted(values)
    return [ordered[round(share * (len(ordered) - 1))] for share in _QUARTERS] if ordered else []


def _span(quarters: Sequence[int]) -> str:
    if not quarters:
        return "no"
    if quarters[0] == quarters[-1]:
        return str(quarters[0])
    return f"{quarters[0]} to {quarters[-1]} (half of them {quarters[1]} to {quarters[3]})"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _counts(counts: Counter[str]) -> str:
    most = counts.most_common(_MOST)
    rest = len(counts) - len(most)
    more = [f"{rest} others"] if rest else []
    return ", ".join([*(f"{name} ({count:,})" for name, count in most), *more]) or "none"
