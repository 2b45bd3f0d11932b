"""What a run is trained on: checked before its first step, listed, and compared when the run is resumed."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar

from tqdm import tqdm

from glidepath.core import PartError, Tokenizer, UnreadablePrompt
from glidepath.plugins.train.data.dataset import Entry, captions_of, contents_of, notes_of
from glidepath.plugins.train.run.checkpoint import CheckpointError, Newest
from glidepath.plugins.train.run.run import Run
from glidepath.registry import list_names, open_file, write_whole

_T = TypeVar("_T")

CONTENTS = "dataset.jsonl"
_MOST = 5
_SECONDS = 2  # a check that takes longer shows how far it is
_WORDS = "`glidepath data SPEC --words FILE` writes all words of the captions that it does not know to a file"


class Reader(Protocol):
    """What reads captions."""

    def truncated(self, prompt: str) -> str:
        """The end of a caption that is not read because it is too long; empty where all of it is."""


def check_captions(run: Run, readers: Sequence[Reader], seed: int, samples: Sequence[str] = ()) -> None:
    """Tell what is left out of the dataset, and how many captions are not read, or not to their end.

    samples: prompts of the sheets of samples, which are to be readable too.

    Raises:
        UnreadablePrompt: captions have words that cannot be read; the first are named with their places.
    """
    for note in notes_of(run.dataset):
        run.warn(note)
    if not readers:
        return
    rests: dict[str, str] = {}
    unreadable: dict[str, tuple[UnreadablePrompt, list[str]]] = {}
    cut: list[str] = []
    empty: list[str] = []
    prompts = (("train.samples", prompt) for prompt in samples)
    for place, caption in chain(prompts, _shown(captions_of(run.dataset, seed), "checking captions")):
        if caption not in rests and caption not in unreadable:
            try:
                rests[caption] = next(filter(None, (reader.truncated(caption) for reader in readers)), "")
            except UnreadablePrompt as error:
                if len(unreadable) == _MOST:  # to say what was meant takes time
                    break
                unreadable[caption] = error, []
        if caption in unreadable:
            unreadable[caption][1].append(place)
        elif rests[caption]:
            cut.append(f"{place}, of which {rests[caption]!r} is not read")
        elif not any(_reads_some(reader, caption) for reader in readers):
            empty.append(place)
    if unreadable:
        raise UnreadablePrompt.joined(
            UnreadablePrompt(
                [f"{list_names(places)}: {it}" for it in error.problems],
                "\n    ".join(filter(None, (error.remedy, _WORDS if error.words else ""))),
            )
            for error, places in unreadable.values()
        )
    if cut:
        captions = "1 caption is" if len(cut) == 1 else f"{len(cut)} captions are"
        run.warn(f"{captions} longer than the text encoder reads, such as {cut[0]}")
    if empty:
        captions = "1 caption holds" if len(empty) == 1 else f"{len(empty)} captions hold"
        run.warn(f"{captions} nothing that the text encoder reads, such as {empty[0]}")


def _reads_some(reader: Reader, caption: str) -> bool:
    """Whether a reader finds words in a caption; one that shows no tokenizer finds some in all but space."""
    tokenizer = getattr(reader, "tokenizer", None)
    return bool(tokenizer.encode(caption) if isinstance(tokenizer, Tokenizer) else caption.strip())


def check_contents(run: Run, newest: Newest | None) -> str | None:
    """The hash of all that is trained on, each image read once; "" of a dataset that does not lie in files.

    The names, captions and hashes are kept in `dataset.jsonl` of the run's folder. None: told to stop before.

    Raises:
        PartError: images cannot be read; the first are named.
        CheckpointError: `newest` was trained on others; what has changed is named.
        CannotWrite: the listing cannot be written.
    """
    file = run.folder / CONTENTS
    before = _read(file)
    listed = contents_of(run.dataset, {entry.name: entry for entry in before})
    if listed is None:
        return ""
    listing, digest, problems, count = bytearray(), hashlib.sha256(), list[str](), 0
    for entry in _shown(listed, "checking images"):
        count += 1
        listing += _line(entry)
        digest.update(_hashed(entry))
        if entry.problem:
            problems.append(entry.problem)
        if run.stop():
            return None
    if problems:
        what = f"{len(problems)} of {count} images cannot be read:"
        raise PartError("\n    ".join([what, *problems[:_MOST], *(["..."] if len(problems) > _MOST else [])]))
    found = digest.hexdigest()
    then = newest.checkpoint.meta.get("dataset") if newest is not None else ""
    if newest is not None and then and then != found:
        known = _digest(map(_hashed, before)) == then
        lines = [
            f"{newest.path} belongs to a run of other images or captions:",
            *(
                changes(before, _entries(listing.splitlines()))
                if known
                else [f"which ones is not known without its {CONTENTS}"]
            ),
            "bring these back to resume, or choose another folder, or delete the checkpoints to start anew",
        ]
        raise CheckpointError("\n    ".join(lines))
    if _digest([listing]) != _digest(map(_line, before)):
        write_whole(file, lambda partial: partial.write_bytes(listing))
    return found


def changes(then: Sequence[Entry], now: Sequence[Entry]) -> Iterator[str]:
    """What differs between two listings, a line for each way of differing."""
    old, new = (_by_name(entries) for entries in (then, now))
    for names, what in (
        (old.keys() - new.keys(), "gone"),
        (new.keys() - old.keys(), "new"),
        (
            {name for name in old.keys() & new.keys() if old[name] != new[name]},
            "not what it was, or its caption",
        ),
    ):
        if names:
            count = "1 image is" if len(names) == 1 else f"{len(names)} images are"
            yield f"{count} {what}: {list_names(sorted(names))}"
    if old == new:
        yield "their order is another"


def _by_name(entries: Iterable[Entry]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in entries:
        found.setdefault(entry.name, []).append((entry.caption, entry.sha256))
    return found


def _digest(pieces: Iterable[bytes | bytearray]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _hashed(entry: Entry) -> bytes:
    return json.dumps([entry.name, entry.caption, entry.sha256]).encode() + b"\n"


def _read(file: Path) -> list[Entry]:
    """The listing of an earlier check; empty where there is none that can be read."""
    try:
        with open_file(file) as lines:
            return _entries(lines)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []


def _entries(lines: Iterable[bytes | bytearray]) -> list[Entry]:
    values = (json.loads(line) for line in lines if line.strip())
    return [Entry(it["name"] + "", it["caption"] + "", it["sha256"] + "", (*it["stamp"],)) for it in values]


def _line(entry: Entry) -> bytes:
    values = {"name": entry.name, "caption": entry.caption, "sha256": entry.sha256, "stamp": entry.stamp}
    return json.dumps(values).encode() + b"\n"


def _shown(items: Iterable[_T], what: str) -> Iterable[_T]:
    terminal = sys.stderr is not None and sys.stderr.isatty()
    interval = 0.1 if terminal else 60.0
    shown: Iterable[_T] = tqdm(items, what, leave=False, delay=_SECONDS, mininterval=interval)
    return shown
