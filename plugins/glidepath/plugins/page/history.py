"""The images that were made, as their folder has them: all that is remembered when the page is closed."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glidepath.core import GlidepathError
from glidepath.plugins.page.jobs import Job
from glidepath.registry import Manifest, image_in, picture_bytes

PAGE = 60
"""How many images are told of at once."""

_MOST_LETTERS = 400
_NAME = re.compile(r"[\w-][\w. -]{0,199}\.png")


class History:
    """A folder of images. models: as `Specs` has them."""

    def __init__(self, folder: Path, models: Sequence[str]) -> None:
        self.folder, self.models = folder, models
        self._known: dict[tuple[str, int, int], Mapping[str, Any] | None] = {}

    def new(self, job: Job, index: int) -> Path:
        """A file for an image of a job. Names sort by time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(job.created))
        return self.folder / f"{stamp}-{job.id[:8]}-{index:02d}.png"

    def file(self, name: str) -> Path:
        """An image of the folder by its name, which is no path.

        Raises:
            GlidepathError: there is no such image.
        """
        path = self.folder / name
        if not _NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise GlidepathError("there is no such image")
        return path

    def listed(self, before: str = "", find: str = "") -> list[Mapping[str, Any]]:
        """What the newest images tell of themselves.

        before: those older than this one. find: those that have all of these words in what they tell: of
        the prompt, the parts, the seed, the day as 2026-01-31.
        """
        words = find[:_MOST_LETTERS].casefold().split()
        found: list[tuple[float, Path]] = []
        if self.folder.is_dir():
            for path in self.folder.glob("*.png"):
                if _NAME.fullmatch(path.name) and not path.is_symlink() and path.is_file():
                    found.append((path.stat().st_mtime, path))
        found.sort(key=lambda it: (it[0], it[1].name), reverse=True)
        names = [path.name for _, path in found]
        start = names.index(before) + 1 if before in names else 0
        documents: list[Mapping[str, Any]] = []
        for _, path in found[start:]:
            if len(documents) == PAGE:
                break
            document = self._document(path)
            if document is not None and all(word in _searched(document) for word in words):
                documents.append(document)
        return documents

    def _document(self, path: Path) -> Mapping[str, Any] | None:
        stat = path.stat()
        key = (path.name, stat.st_mtime_ns, stat.st_size)
        if key not in self._known:
            try:
                picture, manifest, is_film = image_in(picture_bytes(path), path.name)
            except GlidepathError:
                self._known[key] = None
            else:
                self._known[key] = (
                    None
                    if is_film
                    else {
                        "file": path.name,
                        "made": stat.st_mtime,
                        **told(manifest, picture.size, self.models),
                    }
                )
        return self._known[key]


def _searched(document: Mapping[str, Any]) -> str:
    """What words are looked for in."""
    day = time.strftime("%Y-%m-%d", time.localtime(document["made"]))
    keys = ("prompts", "negative", "labels", "sampler", "guidance", "model", "file")
    text = " ".join(str(document[key] or "") for key in keys)
    return f"{text} {day} seed {document['seed']}".casefold()


def told(manifest: Manifest, size: Sequence[int], models: Sequence[str]) -> dict[str, Any]:
    """What a page shows of an image's manifest. size: width and height of its file. models: as in `Specs`."""
    images = manifest.images
    assert images is not None  # `image_in` saw to it
    first = images.keys[0]
    return {
        "prompts": list(dict.fromkeys(key.prompt for key in images.keys)),
        "negative": first.negative,
        "seed": first.seed,
        "first": first.sample,
        "labels": [key.label for key in images.keys if key.label is not None],
        "images": len(images.keys),
        "width": size[0] // images.scale,  # small images are enlarged in their files
        "height": size[1] // images.scale,
        "sampler": _use(manifest.spec, "sampler"),
        "steps": _first(manifest.spec, "sampler").get("steps"),
        "guidance": _guidance(manifest.spec),
        "model": next(filter(None, (_use(manifest.spec, slot) for slot in models)), ""),
    }


def _use(spec: Mapping[str, Any], slot: str) -> str:
    """The short name of a part of a resolved spec; of the first stage of a cascade."""
    return _short(_first(spec, slot))


def _guidance(spec: Mapping[str, Any]) -> str:
    """The guidances with their scales: "classifier-free 3.0, rescale"."""
    listed = _home(spec).get("guidance")
    parts = [it for it in listed if isinstance(it, dict)] if isinstance(listed, list) else []
    return ", ".join(f"{_short(it)} {it.get('scale', '')}".strip() for it in parts)


def _first(spec: Mapping[str, Any], slot: str) -> Mapping[str, Any]:
    part = _home(spec).get(slot)
    return part if isinstance(part, dict) else {"use": part}


def _home(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec, or the first stage of a cascade."""
    stages = spec.get("stages")
    if not isinstance(stages, dict) or not stages:
        return spec
    first = next(iter(stages.values()))
    return first if isinstance(first, dict) else {}


def _short(part: Mapping[str, Any]) -> str:
    return str(part.get("use") or "").rpartition("/")[2]
