"""The images of a study as PNG files, each with what made it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from glidepath.plugins.studies.engines.tasks import MANIFEST
from glidepath.plugins.studies.store.files import StoreError, load_images, read_json
from glidepath.plugins.studies.store.store import ORDER, Attempt, Store
from glidepath.plugins.studies.store.summary import listed
from glidepath.registry import CannotWrite, Manifest, require_writable, save_png, write_text

LIST = "pictures.jsonl"
"""The list beside exported pictures: file, arm, prompt, training seed, sampling seed and sample of each."""

_STEPS = {"steps": [{"stage": str}]}


def manifest_of(whole: Mapping[str, Any], place: int, size: int) -> dict[str, Any]:
    """What one image of an attempt carries, with those of its batch, so that it comes out bit for bit.

    Raises:
        ValueError: the manifest of the attempt is damaged.
    """
    manifest = Manifest.from_json(whole)
    if manifest.images is None:
        raise ValueError("it tells of no images")
    return attrs.evolve(manifest, images=manifest.images.alone(place, size)).to_json()


def write_png(pixels: Any, manifest: Mapping[str, Any], file: Path) -> None:
    """Write pixels [3, H, W] uint8 with their manifest."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(np.transpose(pixels, (1, 2, 0))))
    save_png(picture, file, manifest)


def export_pictures(store: Store, folder: Path) -> int:
    """Write every image that the last run of a study has drawn; returns how many.

    They are in a folder for each arm, and `pictures.jsonl`, which is written last, has a line for each:
    {"file", "arm", "prompt", "train_seed", "seed", "sample"}. Images of one prompt, seeds and sample started
    from the same noise in every arm.

    Raises:
        StoreError: what is known of the run is damaged.
        CannotWrite: the folder has pictures already, or cannot be written to.
    """
    graph = store.graph()
    if (folder / LIST).exists():
        raise CannotWrite(f"{folder / LIST} is there: name a folder without pictures")
    require_writable(folder / LIST)
    seeds = graph["train_seeds"] or [0]
    names = _folders([arm["name"] for arm in graph["arms"]])
    lines = []
    for trial in graph["trials"]:
        for key in listed(trial["nodes"]["sample"]):
            attempt = store.done(key)
            if attempt is None:
                continue
            for place, (pixels, manifest) in enumerate(_images(attempt)):
                (shot,) = manifest["shots"]
                name = f"{trial['train']}-{trial['sample']}-{shot['sample']:05d}-{place:02d}.png"
                file = f"{names[trial['arm']]}/{name}"
                write_png(pixels, manifest, folder / file)
                lines.append(
                    {
                        "file": file,
                        "arm": trial["arm"],
                        "prompt": shot["prompt"],
                        "train_seed": seeds[trial["train"]],
                        "seed": shot["seed"],
                        "sample": shot["sample"],
                    }
                )
    write_text(folder / LIST, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))
    return len(lines)


def _images(attempt: Attempt) -> list[tuple[Any, dict[str, Any]]]:
    """The images of an attempt, each with its manifest."""
    whole, images = read_json(attempt.folder / MANIFEST), load_images(attempt.folder)
    order = read_json(attempt.folder / ORDER, _STEPS) or {"steps": []}
    size = next((it["batch"] for it in order["steps"] if it["stage"] == "sample"), len(images))
    if whole is None:
        raise StoreError(f"{attempt.folder / MANIFEST} is damaged, or is not there")
    try:
        return [(pixels, manifest_of(whole, place, size)) for place, pixels in enumerate(images)]
    except (ValueError, IndexError, TypeError) as error:
        raise StoreError(f"{attempt.folder / MANIFEST} is damaged: {error}") from error


def _folders(arms: list[str]) -> dict[str, str]:
    """A name of a folder for each arm, no two alike."""
    found: dict[str, str] = {}
    for number, arm in enumerate(arms):
        plain = re.sub(r"[^\w.,+=~-]", "-", arm)[:80].lstrip(".") or "arm"
        found[arm] = plain if plain not in found.values() else f"{plain}-{number}"
    return found
