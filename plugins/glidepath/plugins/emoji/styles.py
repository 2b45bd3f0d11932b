"""The words that pictures are told apart by: styles, skin tones and colours."""

from typing import Final

#: Who drew a picture: Twemoji, Noto or Fluent, as captions say it.
STYLES: Final = ("flat", "noto", "3d")

#: Skin tones as captions say them; the first stands for a picture without one.
TONES: Final = ("", "light", "medium-light", "medium", "medium-dark", "dark")

#: The code points of the tones, in the same order (Unicode Technical Standard #51, section 2.4).
TONE_CODES: Final = ("", "1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff")

#: Colours in names, such as "a red apple".
COLOURS: Final = (
    "black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow",
)  # fmt: skip


def colour_and_shape(name: str) -> tuple[str, str]:
    """The colour that a name begins with or holds, and the name without it; "" where it holds none.

    "orange" alone is a fruit: a name that is nothing but a colour has none.
    """
    words = name.split()
    for colour in COLOURS:
        if colour in words and len(words) > 1:
            return colour, " ".join(word for word in words if word != colour)
    return "", name
