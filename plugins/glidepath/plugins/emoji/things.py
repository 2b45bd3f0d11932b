"""What a picture shows."""

from __future__ import annotations

from collections.abc import Iterator

import attrs


@attrs.frozen
class Thing:
    """One object.

    name: of words, such as "red apple".
    keywords: other words for it, such as "fruit".
    category, group: as Unicode sorts it, such as "Food & Drink" and "food-fruit".
    """

    name: str
    keywords: tuple[str, ...]
    category: str
    group: str

    def words(self) -> Iterator[str]:
        """Every word that its captions may hold, beside those of style and tone."""
        for text in (self.name, *self.keywords):
            yield from text.split()
