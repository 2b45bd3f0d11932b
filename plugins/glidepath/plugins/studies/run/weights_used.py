"""Which weights the images of a study were drawn with, as the records of its trials say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from glidepath.plugins.studies.engines.tasks import MANIFEST
from glidepath.plugins.studies.store.files import read_json
from glidepath.plugins.studies.store.store import Attempt

_DIGITS: Final = 16
_MOST_SHOWN: Final = 4


def weights_used(attempts: Iterable[Attempt]) -> dict[str, str]:
    """By the name of a file of weights, the first digits of its SHA-256; empty where no record says.

    Several files of one name, as those that a study trained, are told apart: four of them, and how many more
    there are.
    """
    found: dict[str, dict[str, None]] = {}
    for attempt in attempts:
        if attempt.record.get("stage") == "sample":
            manifest = read_json(attempt.folder / MANIFEST, {"weights": dict, "spec": dict}) or {}
            for path, digest in manifest.get("weights", {}).items():
                found.setdefault(_file(manifest.get("spec", {}), path), {})[str(digest)[:_DIGITS]] = None
    return {name: _listed(list(digests)) for name, digests in sorted(found.items())}


def _listed(digests: list[str]) -> str:
    more = len(digests) - _MOST_SHOWN
    return ", ".join(digests[:_MOST_SHOWN]) + (f", and {more} more" if more > 0 else "")


def _file(spec: Mapping[str, Any], path: str) -> str:
    """The name of the file that a spec has for a part, by the part's dotted path; "" where it has none."""
    node: Any = spec
    for key in re.findall(r"[^.\[\]]+", path):
        try:
            node = node[int(key)] if isinstance(node, list) else node[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return ""
    address = node.get("weights") if isinstance(node, Mapping) else None
    if isinstance(address, Mapping):
        address = address.get("path")
    return re.split(r"[/\\:]", str(address))[-1] if address else ""
