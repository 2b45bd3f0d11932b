"""Code blocks of a Markdown page, and what each of them asks of a test.

    ```sh       commands; run in one shell for the whole page
    ```python   run in one namespace for the whole page
    ```text     what the block before it prints; `...` stands for any text, alone on a line for any lines
    ```math     a formula, in LaTeX; shown
    ```         shown and not run: trees of folders, commands that publish

A block of any language whose first line is `# file: NAME` is a file, and is written. One whose first line is
`# from: NAME` is an excerpt of a file of the project, which must have these lines; `# ...` stands for lines
that are left out, and nothing is run. Before a block, `<!-- exits with N -->` says with which status its
commands end, when it is not 0.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import attrs

LANGUAGES = {"sh", "python", "text", "yaml", "toml", "math", ""}

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[^\s`]*)[^`]*$")
_STATUS = re.compile(r"^ *<!-- exits with (\d+) -->$")
_FILE = re.compile(r"^# file: (\S+)$")
_FROM = re.compile(r"^# from: (\S+)$")


@attrs.frozen
class Block:
    """A fenced block of a page; line is that of its first line of text, counted from 1."""

    page: Path
    line: int
    language: str
    text: str
    status: int = 0

    @property
    def file(self) -> str:
        """The file that it is to be written to, "" for none."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found[1] if found else ""

    @property
    def source(self) -> str:
        """The file of the project that it shows, "" for none."""
        found = _FROM.match(self.text.partition("\n")[0])
        return found[1] if found else ""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    status, start, body = 0, 0, [""]
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if opened is None:
            said = _STATUS.match(line)
            if said:
                status = int(said[1])
            elif opened := _FENCE.match(line):
                start, body = number + 1, []
        elif line.strip() == opened["ticks"]:
            text = textwrap.dedent("\n".join(body))
            found.append(Block(page, start, opened["language"], text, status))
            opened, status = None, 0
        else:
            body.append(line)
    assert opened is None, f"{page.name}:{start}: this block is not closed"
    return found


def is_excerpt(text: str, whole: str) -> bool:
    """Whether the lines of a text stand in another, in order; a line `# ...` stands for any others."""
    position = 0
    for piece in re.split(r"^# \.\.\.$", text, flags=re.MULTILINE):
        lines = piece.strip("\n")
        found = f"\n{whole}".find(f"\n{lines}\n" if lines else "", position)
        if found < 0:
            return False
        position = found + len(lines)
    return True


def matches(expected: str, printed: str) -> bool:
    """Whether a text is what was expected, up to `...` and to spaces at the ends of lines."""
    pieces = []
    for line in expected.rstrip().splitlines():
        if line.strip() == "...":
            pieces.append(r"(?:[^\n]*\n)*?")
        else:
            pieces.append(r"[^\n]*".join(map(re.escape, line.rstrip().split("..."))) + r"\n")
    stripped = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return re.fullmatch("".join(pieces), stripped) is not None
