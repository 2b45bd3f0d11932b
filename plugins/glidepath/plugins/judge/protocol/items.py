"""What raters are asked about: pairs of pictures or single ones, and checks of their attention."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.judge.protocol.rules import Rules

Role = Literal["ask", "check", "repeat"]


@attrs.frozen
class Shown:
    """A picture that is judged: where it is in the folder of the judgement, and what it is of.

    arm: "" of one that was spoilt for a check. pixels: the SHA-256 of size and pixels.
    """

    file: str
    arm: str
    prompt: str
    noise: str
    pixels: str = ""


@attrs.frozen
class Item:
    """A pair of pictures, or one, by their places in the list. Of a check, the second is spoilt."""

    id: str
    pictures: tuple[int, ...]
    check: bool = False


@attrs.frozen
class Task:
    """What a rater is shown: the pictures from left to right."""

    item: str
    shown: tuple[int, ...]
    role: Role


def group(pictures: Sequence[Shown], seed: int) -> list[dict[str, int]]:
    """Pictures that belong together: for each prompt and noise, the place of one of each arm.

    Where the noise is not known, and where an arm has several pictures of one, they are put together by the
    seed. A prompt, or a picture, that only one arm has is alone.
    """
    places: dict[tuple[str, str], dict[str, list[int]]] = {}
    for place, picture in enumerate(pictures):
        places.setdefault((picture.prompt, picture.noise), {}).setdefault(picture.arm, []).append(place)
    found: list[dict[str, int]] = []
    left: dict[str, dict[str, list[int]]] = {}
    for (prompt, _noise), by_arm in sorted(places.items()):
        if len(by_arm) == 1 and prompt:  # no other arm has this noise: by the prompt alone
            ((arm, some),) = by_arm.items()
            left.setdefault(prompt, {}).setdefault(arm, []).extend(some)
        else:
            found += _together(by_arm, f"{seed}/{prompt}/{_noise}")
    for prompt, by_arm in sorted(left.items()):
        found += _together(by_arm, f"{seed}/{prompt}")
    return found


def _together(by_arm: Mapping[str, Sequence[int]], seed: str) -> list[dict[str, int]]:
    draw = random.Random(seed)
    shuffled = {arm: draw.sample(some, len(some)) for arm, some in sorted(by_arm.items())}
    most = max(map(len, shuffled.values()))
    return [{arm: some[at] for arm, some in shuffled.items() if at < len(some)} for at in range(most)]


def make_items(pictures: Sequence[Shown], rules: Rules) -> list[Item]:
    """What is asked, checks left out.

    Raises:
        GlidepathError: no two arms have pictures of one prompt, or what is asked needs what pictures lack.
    """
    about, against = rules.judgement, rules.design.against
    arms = sorted({it.arm for it in pictures})
    if against and against not in arms:
        raise GlidepathError(f"design.against is {against!r}, and the arms are {', '.join(arms)}")
    if about.question == "faithful" and not all(it.prompt for it in pictures):
        named = next(it.file for it in pictures if not it.prompt)
        raise GlidepathError(
            f"{named} has no prompt to be faithful to: use pictures that glidepath made, put the text beside "
            "each as NAME.txt, or ask another --question"
        )
    if about.kind == "ratings":
        return [Item(f"r{place:05d}", (place,)) for place in range(len(pictures))]
    if len(arms) < 2:
        raise GlidepathError(f"pairs need two arms, and all pictures are of {arms[0]!r}: name another folder")
    if rules.analysis.looks > 1 and len(arms) > 2:
        raise GlidepathError(
            f"analysis.looks is of two arms, and these are {len(arms)}: write looks: 1, or choose two --arm"
        )
    items: list[Item] = []
    for together in group(pictures, about.seed):
        for one, other in itertools.combinations(sorted(together), 2):
            if not against or against in (one, other):
                items.append(Item(f"p{len(items):05d}", (together[one], together[other])))
    if not items:
        silent = {it.arm for it in pictures} - {it.arm for it in pictures if it.prompt}
        why = (
            f"{', '.join(sorted(silent))} has pictures without a prompt, and the others with one: put the "
            "text beside each as NAME.txt, or give two pictures the same name"
            if silent and len(silent) < len(arms)
            else "no two arms have pictures of one prompt, or of one name"
        )
        raise GlidepathError(f"{why}; there is nothing to compare")
    return items


def chosen_for_checks(items: Sequence[Item], rules: Rules) -> list[int]:
    """The pictures that are set beside a spoilt copy of themselves, or shown spoilt, drawn by the seed."""
    draw = random.Random(f"{rules.judgement.seed}/checks")
    places = sorted({place for item in items for place in item.pictures})
    return sorted(draw.sample(places, min(rules.design.checks, len(places))))


def draw_tasks(items: Sequence[Item], rules: Rules, rater: str, load: Mapping[str, int]) -> tuple[Task, ...]:
    """What a rater is shown, in order; the same for the same arguments.

    The items that the fewest raters have had come first, drawn among equals, so that each is judged as often.
    Each time an item is judged again its sides are exchanged, so that they are balanced within it; which one
    is first is drawn by the seed. Checks stand anywhere; what is repeated stands in the second half, and was
    in the first.

    load: how many raters had an item before, by its id.
    """
    seed = rules.judgement.seed
    draw = random.Random(f"{seed}/{rater}")
    asked = [item for item in items if not item.check]
    draw.shuffle(asked)
    asked.sort(key=lambda item: load.get(item.id, 0))
    asked = asked[: rules.design.per_rater]
    draw.shuffle(asked)
    tasks = [Task(item.id, _sides(item, load.get(item.id, 0), seed), "ask") for item in asked]
    middle = (len(tasks) + 1) // 2
    first, second = tasks[:middle], tasks[middle:]
    again = draw.sample(first, min(rules.design.repeats, len(first)))
    for task in again:
        at = draw.randint(min(1, len(second)), len(second))  # not right after it was shown
        second.insert(at, Task(task.item, task.shown[::-1], "repeat"))
    whole = first + second
    for item in (it for it in items if it.check):
        sides = item.pictures if draw.random() < 0.5 else item.pictures[::-1]
        whole.insert(draw.randint(0, len(whole)), Task(item.id, sides, "check"))
    return tuple(whole)


def _sides(item: Item, before: int, seed: int) -> tuple[int, ...]:
    flip = random.Random(f"{seed}/{item.id}").random() < 0.5
    return item.pictures[::-1] if flip != bool(before % 2) else item.pictures
