"""What raters are given and what they hand in. Knows nothing of HTTP."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from glidepath.core import GlidepathError
from glidepath.plugins.judge.analysis.analysis import decided
from glidepath.plugins.judge.protocol.answers import SIDES, Answer
from glidepath.plugins.judge.protocol.folder import Judgement, Rater
from glidepath.registry import read_picture

_KEPT = 64
"""Pictures that are held as they are sent."""


class Unknown(GlidepathError):
    """A link, or a picture, that there is not."""


class NotNow(GlidepathError):
    """An answer to something else than is asked now."""


class Desk:
    """One for a server; safe for several threads. Who works with it holds the judgement's lock."""

    def __init__(self, judgement: Judgement) -> None:
        """Reads the log: each rater goes on where they stopped."""
        self.judgement = judgement
        self._by_link: dict[str, Rater] = {}
        self._answered: dict[str, set[int]] = {}
        self._known = -1
        self._meet()
        people = list(self._by_link.values())
        self._answers, _ = judgement.answers()
        for answer in self._answers:
            self._answered[answer.rater].add(answer.task)
        self._shown: dict[tuple[str, int], float] = {}
        self._lock = threading.Lock()
        self._pixels = lru_cache(maxsize=_KEPT)(self._encoded)
        self._asked = sum(
            rater.tasks[it].role == "ask" for rater in people for it in self._answered[rater.name]
        )
        self._look()

    def state(self, link: str) -> dict[str, Any]:
        """What a rater sees now. It names no arm and no file.

        Raises:
            Unknown: nobody has this link.
        """
        rater = self._rater(link)
        with self._lock:
            return self._state(rater)

    def record(self, link: str, said: object) -> dict[str, Any]:
        """Take an answer, {"task": NUMBER, "answer": ...}; what comes next, once it is on the disk.

        Raises:
            Unknown: nobody has this link.
            NotNow: another task is asked now; of one that was answered the first answer stays.
            GlidepathError: it is no answer to what was asked.
        """
        rater = self._rater(link)
        if not isinstance(said, Mapping) or type(task := said.get("task")) is not int:
            raise GlidepathError('an answer is {"task": its number, "answer": what was chosen}')
        choice = self._choice(said.get("answer"))
        with self._lock:
            current = self._current(rater)
            if current is None or task != current:
                raise NotNow("another task is asked now; an answer that was given stays")
            began = self._shown.get((rater.name, task))
            seconds = None if began is None else round(time.monotonic() - began, 3)
            answer = Answer(rater.name, task, choice, seconds, round(time.time(), 3))
            self.judgement.append([answer])
            self._answered[rater.name].add(task)
            self._answers.append(answer)
            self._asked += rater.tasks[task].role == "ask"
            if self._looks_due() > self._looked:
                self._look()
            return self._state(rater)

    def picture(self, link: str, name: str) -> bytes:
        """A picture that the rater is shown, was shown, or is shown next, as PNG without what it carries.

        Raises:
            Unknown: nobody has this link, or this picture is not for this rater now.
        """
        rater = self._rater(link)
        with self._lock:
            current = self._current(rater)
        last = len(rater.tasks) if current is None else current + 2
        for number, task in enumerate(rater.tasks[:last]):
            for side, place in enumerate(task.shown):
                if self._name(rater, number, side) == name:
                    return self._pixels(place)
        raise Unknown("there is no such picture")

    def _looks_due(self) -> int:
        looks = self.judgement.rules.analysis.looks
        return looks * self._asked // max(1, self.judgement.planned)

    def _look(self) -> None:
        """Whether what is there decides it; between two looks nothing changes that."""
        self._looked = self._looks_due()
        self._decided = decided(self.judgement, self._raters, self._answers)

    def _meet(self) -> None:
        """Read who judges, where somebody was added (`judge link`)."""
        changed = (self.judgement.folder / "raters").stat().st_mtime_ns
        if changed == self._known:
            return
        self._known = changed
        self._raters = self.judgement.raters()
        for rater in self._raters:
            self._answered.setdefault(rater.name, set())
            if rater.kind == "person":
                self._by_link.setdefault(self.judgement.sign("rater", rater.name), rater)

    def _rater(self, link: str) -> Rater:
        if link not in self._by_link:
            with self._lock:
                self._meet()
        rater = self._by_link.get(link)
        if rater is None:
            raise Unknown("this link is of nobody: ask for yours again")
        return rater

    def _current(self, rater: Rater) -> int | None:
        """The first task without an answer; None where there is none, or all is decided."""
        if self._decided:
            return None
        done = self._answered[rater.name]
        return next((it for it in range(len(rater.tasks)) if it not in done), None)

    def _state(self, rater: Rater) -> dict[str, Any]:
        about, current = self.judgement.rules.judgement, self._current(rater)
        state: dict[str, Any] = {
            "question": about.asked,
            "instructions": about.instructions,
            "kind": about.kind,
            "ties": about.ties,
            "scale": about.scale,
            "done": len(self._answered[rater.name]),
            "of": len(rater.tasks),
            "task": current,
            "prompt": "",
            "pictures": [],
            "next": [],
        }
        if current is None:
            return state
        self._shown.setdefault((rater.name, current), time.monotonic())
        task = rater.tasks[current]
        if about.question != "real":
            state["prompt"] = self.judgement.pictures[task.shown[0]].prompt
        state["pictures"] = self._names(rater, current)
        state["next"] = self._names(rater, current + 1) if current + 1 < len(rater.tasks) else []
        return state

    def _names(self, rater: Rater, task: int) -> list[str]:
        return [self._name(rater, task, side) for side in range(len(rater.tasks[task].shown))]

    def _name(self, rater: Rater, task: int, side: int) -> str:
        """Of a picture, another one each time that it is shown."""
        return self.judgement.sign("picture", rater.name, task, side)

    def _choice(self, said: object) -> str | int:
        about = self.judgement.rules.judgement
        if about.kind == "pairs":
            allowed = [it for it in SIDES if about.ties or it != "tie"]
            if isinstance(said, str) and said in allowed:
                return said
            raise GlidepathError(f"an answer is one of {', '.join(allowed)}")
        if type(said) is int and 1 <= said <= about.scale:
            return said
        raise GlidepathError(f"an answer is a whole number from 1 to {about.scale}")

    def _encoded(self, place: int) -> bytes:
        picture = read_picture(self.judgement.folder / self.judgement.pictures[place].file)
        picture.info = {}
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        return buffer.getvalue()
