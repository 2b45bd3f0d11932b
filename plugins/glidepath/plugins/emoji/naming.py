"""The things that are drawn, with their names and keywords, from what two packages say of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from glidepath.plugins.emoji.legible import is_legible, is_role
from glidepath.plugins.emoji.packages import code_of
from glidepath.plugins.emoji.styles import TONE_CODES
from glidepath.plugins.emoji.things import Thing

_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LEAST_USES: Final = 2


@attrs.frozen
class Drawn:
    """A thing and the codes of its pictures: one for each tone that it comes in, by the index of the tone.

    role: whether its tones are those of a person in a role.
    """

    thing: Thing
    codes: Mapping[int, str]
    role: bool


def read_things(emoji_json: bytes, emojilib_json: bytes) -> list[Drawn]:
    """Everything legible, in the order of the first package.

    emoji_json: of emoji-datasource-google: codes, categories, skin tones.
    emojilib_json: of emojilib: of each character a name, and keywords.
    """
    spoken = {_bare(character): words for character, words in json.loads(emojilib_json).items()}
    things: dict[str, Drawn] = {}
    for entry in json.loads(emoji_json):
        texts = spoken.get(_bare(_characters(entry["unified"])))
        if not texts:
            continue
        name = plain(texts[0])
        if name in things or not is_legible(name, entry["category"], entry["subcategory"]):
            continue
        keywords = tuple(dict.fromkeys(word for word in map(plain, texts[1:]) if word and word != name))
        thing = Thing(name, keywords, entry["category"], entry["subcategory"])
        things[name] = Drawn(thing, dict(_codes(entry)), is_role(entry["subcategory"]))
    return _with_shared_keywords(list(things.values()))


def plain(text: str) -> str:
    """The words of a text, in lower case, with single spaces between them."""
    return " ".join(_WORD.findall(text.lower().replace("_", " ").replace("’", "'")))


def _with_shared_keywords(drawn: list[Drawn]) -> list[Drawn]:
    """Without the keywords that hold a word of one thing only: it would be learned as another name of it."""
    uses: Counter[str] = Counter()
    for drawing in drawn:
        uses.update({word for text in (drawing.thing.name, *drawing.thing.keywords) for word in text.split()})
    named = {word for drawing in drawn for word in drawing.thing.name.split()}

    def is_shared(keyword: str) -> bool:
        return all(word in named or uses[word] >= _LEAST_USES for word in keyword.split())

    return [
        attrs.evolve(
            drawing,
            thing=attrs.evolve(drawing.thing, keywords=tuple(filter(is_shared, drawing.thing.keywords))),
        )
        for drawing in drawn
    ]


def _codes(entry: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    yield 0, code_of(entry["image"])
    for tones, variation in entry.get("skin_variations", {}).items():
        if "-" not in tones:  # two people of two tones have two
            yield TONE_CODES.index(tones.lower()), code_of(variation["image"])


def _characters(unified: str) -> str:
    return "".join(chr(int(point, 16)) for point in unified.split("-"))


def _bare(characters: str) -> str:
    return characters.replace("\ufe0f", "")
