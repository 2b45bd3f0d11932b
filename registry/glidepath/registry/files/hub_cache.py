"""What huggingface_hub has downloaded before, found without asking the network and without importing it."""

from __future__ import annotations

import os
from pathlib import Path


def cached_repository(repository: str, revision: str = "main") -> Path | None:
    """The folder with the files of a repository, "owner/name", that are here; None where there is none.

    revision: a branch, a tag or a commit.
    """
    base = _cache() / f"models--{repository.replace('/', '--')}"
    try:
        commit = (base / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = revision
    folder = base / "snapshots" / commit
    return folder if folder.is_dir() else None


def _cache() -> Path:
    """Where huggingface_hub keeps what it downloads, by the variables that it reads."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    hugging = os.environ.get("HF_HOME") or os.path.join(home, "huggingface")
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expanduser(given or os.path.join(hugging, "hub")))
