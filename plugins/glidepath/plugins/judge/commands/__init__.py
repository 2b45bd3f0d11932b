"""The subcommands of `glidepath judge`."""


def counted(number: int, what: str) -> str:
    """A number of things: "1 rater", "2 raters"."""
    return f"{number} {what}{'' if number == 1 else 's'}"
