"""The folder of a judgement.

judgement.yaml      the rules, as they were stated
plan.json           the pictures, the items that are asked about, and the digest of the rules
pictures/00000.png  the pictures under numbers, as they were
raters/NAME.json    who judges, and what each is shown in which order
answers.jsonl       the log
.secret             what the addresses of raters and pictures are made with
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.judge.protocol import answers
from glidepath.plugins.judge.protocol.answers import Answer
from glidepath.plugins.judge.protocol.items import (
    Item,
    Shown,
    Task,
    chosen_for_checks,
    draw_tasks,
    make_items,
)
from glidepath.plugins.judge.protocol.pictures import Source
from glidepath.plugins.judge.protocol.rules import Rules, read_rules
from glidepath.registry import (
    Catalogue,
    lock_folder,
    picture_bytes,
    read_bytes,
    read_picture,
    write_text,
    write_whole,
)

RULES: Final = "judgement.yaml"
PLAN: Final = "plan.json"
FORMAT: Final = "glidepath-judgement-1"

RaterKind = Literal["person", "imported", "simulated", "model"]

_SECRET: Final = ".secret"
_MOST_BYTES: Final = 2**28
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class JudgementError(GlidepathError):
    """The folder of a judgement does not serve."""


@attrs.frozen
class Rater:
    """Someone who judges, and what they are shown. kind: whose answers are analysed together."""

    name: str
    kind: RaterKind
    tasks: tuple[Task, ...]


@attrs.frozen(eq=False)
class Judgement:
    """A judgement, as `open_judgement` reads it; what is read later is read anew."""

    folder: Path
    rules: Rules
    pictures: tuple[Shown, ...]
    items: tuple[Item, ...]
    stated: str
    """The digest of the rules when the judgement was made."""

    @cached_property
    def arms(self) -> list[str]:
        """Their names, in order."""
        return sorted({it.arm for it in self.pictures if it.arm})

    @cached_property
    def by_id(self) -> dict[str, Item]:
        """The items."""
        return {item.id: item for item in self.items}

    @property
    def planned(self) -> int:
        """How many answers were planned, without checks and repeats."""
        return sum(not it.check for it in self.items) * self.rules.design.per_pair

    def rules_changed(self) -> bool:
        """Whether the file of the rules is another than when the judgement was made."""
        return _digest_of(self.folder / RULES) != self.stated

    def raters(self) -> list[Rater]:
        """Who judges, by name.

        Raises:
            JudgementError: a file of one is damaged.
        """
        return [self._rater(path) for path in sorted((self.folder / "raters").glob("*.json"))]

    def _rater(self, path: Path) -> Rater:
        said = _read_json(path)
        try:
            tasks = tuple(Task(it["item"], tuple(it["shown"]), it["role"]) for it in said["tasks"])
            for task in tasks:
                if sorted(task.shown) != sorted(self.by_id[task.item].pictures):
                    raise ValueError(task.item)
            return Rater(path.stem, said["kind"], tasks)
        except (KeyError, TypeError, ValueError) as error:
            raise JudgementError(f"{path} is damaged: {type(error).__name__}: {error}") from error

    def answers(self) -> tuple[list[Answer], list[str]]:
        """Those of raters that there are, and what was passed over, in words."""
        found, notes = answers.read(self.folder)
        lengths = {rater.name: len(rater.tasks) for rater in self.raters()}
        known = [it for it in found if it.task < lengths.get(it.rater, 0)]
        if len(known) < len(found):
            notes.append(f"{len(found) - len(known)} answers are of no rater or task that there is")
        return known, notes

    def names_taken(self) -> set[str]:
        """Of raters who have a link, or have answered: a file that a killed import left is no rater."""
        answered = {answer.rater for answer in self.answers()[0]}
        return {it.name for it in self.raters() if it.kind == "person" or it.name in answered}

    def append(self, some: Sequence[Answer]) -> None:
        """Add answers to the log; see `answers.append`."""
        answers.append(self.folder, some)

    def write_rater(self, rater: Rater) -> None:
        """Write the file of a rater."""
        tasks = [attrs.asdict(it) for it in rater.tasks]
        text = json.dumps({"kind": rater.kind, "tasks": tasks}, indent=None, separators=(",", ":"))
        write_text(self.folder / "raters" / f"{rater.name}.json", text + "\n")

    def add_raters(self, count: int, kind: RaterKind = "person", left_out: Sequence[str] = ()) -> list[Rater]:
        """Draw the tasks of more raters, and write them. left_out: whose tasks do not count as taken."""
        known = self.raters()
        load: Counter[str] = Counter(
            task.item
            for rater in known
            if rater.kind == kind and rater.name not in left_out
            for task in rater.tasks
            if task.role == "ask"
        )
        prefix = "r" if kind == "person" else f"{kind}-"
        taken = {rater.name for rater in known}
        names = (f"{prefix}{number:03d}" for number in range(1, len(taken) + count + 1))
        made = []
        for name in [it for it in names if it not in taken][:count]:
            tasks = draw_tasks(self.items, self.rules, name, load)
            load.update(task.item for task in tasks if task.role == "ask")
            made.append(Rater(name, kind, tasks))
            self.write_rater(made[-1])
        return made

    def raters_needed(self) -> int:
        """How many raters the planned answers take."""
        asked = sum(not it.check for it in self.items)
        return -(-self.planned // min(asked, self.rules.design.per_rater))

    def sign(self, *words: object) -> str:
        """A name for an address that nobody can guess who has not the folder: 132 bits."""
        text = "\0".join(map(str, words)).encode()
        digest = hmac.new(self._secret, text, hashlib.sha256).digest()
        return urlsafe_b64encode(digest)[:22].decode()

    @cached_property
    def _secret(self) -> bytes:
        return read_bytes(self.folder / _SECRET, 2**10)

    def lock(self) -> AbstractContextManager[None]:
        """Held by the one process that writes answers.

        Raises:
            FolderInUse: another one does.
        """
        return lock_folder(
            self.folder,
            lambda holder: f"{holder} writes answers to {self.folder}: end it first (`judge serve` is one)",
        )


def open_judgement(folder: Path, catalogue: Catalogue) -> Judgement:
    """A judgement that was made before.

    Raises:
        JudgementError: there is none, or it is damaged.
        SpecError: its rules have problems.
    """
    if not (folder / PLAN).is_file():
        raise JudgementError(f"{folder} is no judgement: `glidepath judge new` makes one")
    rules = read_rules(folder / RULES, catalogue=catalogue)
    said = _read_json(folder / PLAN)
    try:
        if said["format"] != FORMAT:
            raise JudgementError(
                f"{folder / PLAN} is of {said['format']!r}, and this version reads {FORMAT!r}"
            )
        pictures = tuple(Shown(**it) for it in said["pictures"])
        items = tuple(Item(it["id"], tuple(it["pictures"]), it["check"]) for it in said["items"])
        if any(not 0 <= place < len(pictures) for item in items for place in item.pictures):
            raise ValueError("an item is of no picture")
        return Judgement(folder, rules, pictures, items, said["rules"])
    except (KeyError, TypeError, ValueError) as error:
        raise JudgementError(f"{folder / PLAN} is damaged: {type(error).__name__}: {error}") from error


def make_judgement(folder: Path, rules: Rules, sources: Sequence[Source]) -> Judgement:
    """Write a new judgement; the plan last, so that it is one when it is whole.

    Raises:
        JudgementError: the folder has something in it.
        GlidepathError: the pictures do not fit what is asked; nothing is written.
        ImageError: a picture cannot be read.
    """
    if folder.exists() and any(folder.iterdir()):
        raise JudgementError(f"{folder} has something in it: name another folder with --out")
    pictures = list(_shown(sources))
    items = make_items(pictures, rules)
    for number, place in enumerate(chosen_for_checks(items, rules)):
        file = f"pictures/{len(pictures):05d}.png"
        _spoil(sources[place].file, folder / file, f"{rules.judgement.seed}/{number}")
        pictures.append(Shown(file, "", pictures[place].prompt, pictures[place].noise))
        both = (place, len(pictures) - 1)
        pair = rules.judgement.kind == "pairs"
        items.append(Item(f"c{number:05d}", both if pair else both[1:], check=True))
    for source, picture in zip(sources, pictures, strict=False):
        data = picture_bytes(source.file)
        _write_bytes(folder / picture.file, data)
    with open(folder / _SECRET, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as secret:
        secret.write(secrets.token_bytes(32))
    write_text(folder / RULES, rules.text())
    plan = {
        "format": FORMAT,
        "made": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "rules": _digest_of(folder / RULES),
        "pictures": [attrs.asdict(it) for it in pictures],
        "items": [attrs.asdict(it) for it in items],
    }
    write_text(folder / PLAN, json.dumps(plan, ensure_ascii=False, indent=1) + "\n")
    return Judgement(folder, rules, tuple(pictures), tuple(items), str(plan["rules"]))


def _shown(sources: Sequence[Source]) -> Iterator[Shown]:
    for number, source in enumerate(sources):
        file = f"pictures/{number:05d}{source.file.suffix.lower()}"
        yield Shown(file, source.arm, source.prompt, source.noise, pixels_digest(read_picture(source.file)))


def pixels_digest(picture: Any) -> str:
    """The SHA-256 of the size and the pixels of a picture of PIL in RGB."""
    return hashlib.sha256(f"{picture.width}x{picture.height}".encode() + picture.tobytes()).hexdigest()


def _spoil(file: Path, into: Path, seed: str) -> None:
    """A picture of the same size and colours whose pixels stand anywhere: whoever looks sees noise."""
    import random

    from PIL import Image

    picture = read_picture(file)
    side = max(1, min(picture.size) // 32)  # of a large picture, blocks that are still seen
    small = picture.resize((max(1, picture.width // side), max(1, picture.height // side)))
    data = small.tobytes()
    pixels = [data[at : at + 3] for at in range(0, len(data), 3)]
    random.Random(seed).shuffle(pixels)
    spoilt = Image.frombytes("RGB", small.size, b"".join(pixels)).resize(
        picture.size, Image.Resampling.NEAREST
    )
    write_whole(into, lambda partial: spoilt.save(partial, format="PNG"))


def check_rater_name(name: str) -> str:
    """The name, if it can be that of a file.

    Raises:
        JudgementError: it cannot.
    """
    if not 1 <= len(name) <= 60 or not set(name) <= _NAME or name.startswith("."):
        raise JudgementError(
            f"{name!r} is no name of a rater: up to 60 lower-case letters, digits, hyphens, dots, underscores"
        )
    return name


def remove_unfinished(folder: Path) -> None:
    """Take away what `make_judgement` left when it failed."""
    if not (folder / PLAN).exists():
        shutil.rmtree(folder, ignore_errors=True)


def _write_bytes(path: Path, data: bytes) -> None:
    write_whole(path, lambda partial: partial.write_bytes(data))


def _digest_of(path: Path) -> str:
    return hashlib.sha256(read_bytes(path, _MOST_BYTES)).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(read_bytes(path, _MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise JudgementError(f"{path} is damaged, or cannot be read: {error}") from error
    if not isinstance(said, dict):
        raise JudgementError(f"{path} is damaged: it is no mapping")
    return said
