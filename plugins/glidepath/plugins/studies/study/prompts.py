"""The prompts of a study, and where each is written."""

from __future__ import annotations

import errno
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from glidepath.plugins.studies.study.sections import Data
from glidepath.registry import Document, ListNode, Place, Scalar, quoted, read_lines, yaml_text

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_MOST_BYTES = 2**23
_UNQUOTED = re.compile(r"[A-Za-z][A-Za-z ]*[A-Za-z]")


def read_prompts(data: Data, document: Document) -> tuple[str, ...]:
    """The prompts of a study: as listed, or the lines of a file."""
    place = document.place("data.prompts")
    if isinstance(data.prompts, Path):
        try:
            lines = read_lines(data.prompts, _MOST_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            what, hint = f"the prompts of {data.prompts} cannot be read: {error}", ""
            if isinstance(error, UnicodeDecodeError):
                what, hint = f"{data.prompts} is no text in UTF-8", "save it in that encoding"
            if isinstance(error, OSError) and error.errno in _NO_FILE:
                stated = document.node("data.prompts")
                text = stated.text if isinstance(stated, Scalar) else str(data.prompts)
                what = f"there is no file {quoted(text)}"
                written = text if _UNQUOTED.fullmatch(text) else yaml_text(text)
                hint = f"for prompts themselves write a list: [{written}]"
            document.problems.add(what, place, "data.prompts", hint)
            return ()
        texts = [line.strip() for line in lines if line.strip()]
    else:
        texts = list(data.prompts)
    if not texts:
        what = f"{data.prompts} holds none" if isinstance(data.prompts, Path) else "there is none"
        document.problems.add(f"a study needs at least one prompt, and {what}", place, "data.prompts")
    doubles = sorted(text for text, count in Counter(texts).items() if count > 1)
    if doubles:
        what = f"the prompt {quoted(doubles[0])} is there twice"
        document.problems.add(what, place, "data.prompts", "per_prompt says how many images each prompt has")
    return tuple(texts)


def prompt_places(prompts: Sequence[str], document: Document) -> list[Place]:
    """Where each prompt is written; of those in a file, where the file is named."""
    stated = document.node("data.prompts")
    if isinstance(stated, ListNode) and len(stated.items) == len(prompts):
        return [item.place for item in stated.items]
    return [document.place("data.prompts")] * len(prompts)
