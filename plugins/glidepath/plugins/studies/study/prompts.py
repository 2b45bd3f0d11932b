"""The prompts of a study, and where each is written."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path

from glidepath.plugins.studies.study.places import node_at, place_of
from glidepath.plugins.studies.study.sections import Data
from glidepath.registry import Place, yaml_text
from glidepath.registry.text.problems import Problems, shown
from glidepath.registry.text.tree import ListNode, MappingNode, Scalar

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_UNQUOTED = re.compile(r"[A-Za-z][A-Za-z ]*[A-Za-z]")


def read_prompts(data: Data, root: MappingNode, problems: Problems) -> tuple[str, ...]:
    """The prompts of a study: as listed, or the lines of a file."""
    place = place_of(root, "data.prompts")
    if isinstance(data.prompts, Path):
        try:
            lines = data.prompts.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            what, hint = f"the prompts cannot be read: {error}", ""
            if isinstance(error, OSError) and error.errno in _NO_FILE:
                stated = node_at(root, "data.prompts")
                text = stated.text if isinstance(stated, Scalar) else str(data.prompts)
                what = f"there is no file {shown(text)}"
                written = text if _UNQUOTED.fullmatch(text) else yaml_text(text)
                hint = f"for prompts themselves write a list: [{written}]"
            problems.add(what, place, "data.prompts", hint)
            return ()
        texts = [line.strip() for line in lines if line.strip()]
    else:
        texts = list(data.prompts)
    if not texts:
        problems.add("a study needs at least one prompt", place, "data.prompts")
    doubles = sorted({text for text in texts if texts.count(text) > 1}) if len(texts) < 5000 else []
    if doubles:
        what = f"the prompt {shown(doubles[0])} is there twice"
        problems.add(what, place, "data.prompts", "per_prompt says how many images each prompt has")
    return tuple(texts)


def prompt_places(prompts: Sequence[str], root: MappingNode) -> list[Place]:
    """Where each prompt is written; of those in a file, where the file is named."""
    data = root.get("data")
    stated = data.get("prompts") if isinstance(data, MappingNode) else None
    if isinstance(stated, ListNode) and len(stated.items) == len(prompts):
        return [item.place for item in stated.items]
    return [place_of(root, "data.prompts")] * len(prompts)
