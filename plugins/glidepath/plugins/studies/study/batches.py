"""Which prompts are drawn together, and where the noise of each is: both stay while a study grows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import attrs


@attrs.frozen
class Batch:
    """Prompts whose images are one piece of work.

    prompts: their places in the study's list. at: the place of each that decides its noise, the same one in
    every arm.
    """

    prompts: tuple[int, ...]
    at: tuple[int, ...]

    def samples(self, per_prompt: int) -> list[int]:
        """The index of each image's noise, the images of a prompt one after the other."""
        return [place * per_prompt + index for place in self.at for index in range(per_prompt)]


def make_batches(
    prompts: Sequence[str], size: int, earlier: Iterable[Mapping[str, int]] = ()
) -> tuple[Batch, ...]:
    """The batches of some prompts.

    A batch of an earlier run stays as it was where all of its prompts are still asked for, so that a new
    prompt draws its own images only. A prompt whose batch does not stay keeps its noise.

    size: prompts of a new batch. earlier: for each earlier batch, where the noise of its prompts is.
    """
    index = {prompt: number for number, prompt in enumerate(prompts)}
    kept: list[Mapping[str, int]] = []
    places: dict[str, int] = {}
    others: dict[str, int] = {}
    for batch in earlier:
        taken = set(places.values())
        if batch.keys() <= index.keys() - places.keys() and taken.isdisjoint(batch.values()):
            kept.append(batch)
            places.update(batch)
        else:
            others = {**batch, **others}
    new = [prompt for prompt in prompts if prompt not in places]
    taken = set(places.values())
    for prompt in new:
        place = others.get(prompt)
        if place is not None and place not in taken:
            places[prompt] = place
            taken.add(place)
    free = (place for place in itertools.count() if place not in taken)
    for prompt in new:
        if prompt not in places:
            places[prompt] = next(free)
    kept += [{it: places[it] for it in new[first : first + size]} for first in range(0, len(new), size)]
    return tuple(Batch(tuple(index[it] for it in batch), tuple(batch.values())) for batch in kept if batch)
