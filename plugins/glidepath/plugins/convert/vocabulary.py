"""The files of a tokenizer, which no checkpoint holds: GPT-2's two for GLIDE, CLIP's one for its CLIP."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

GPT2_TOKENS = 50257
_GPT2: dict[str, tuple[str, ...]] = {
    "vocabulary": ("encoder.json", "encoder.json.gz"),
    "merges": ("vocab.bpe", "vocab.bpe.gz"),
}
_CLIP: dict[str, tuple[str, ...]] = {
    "vocabulary": ("bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt")
}


def gpt2_tokenizer(folders: Sequence[Path], beside: Path) -> dict[str, Any]:
    """The tokenizer `bpe`, with its files where one of the folders has them.

    beside: the folder of the spec that names them.
    """
    return {"use": "bpe", **_files(_GPT2, folders, beside)}


def clip_tokenizer(folders: Sequence[Path], beside: Path) -> dict[str, Any]:
    """The tokenizer `clip-bpe`, with its file where one of the folders has it."""
    return {"use": "clip-bpe", **_files(_CLIP, folders, beside)}


def wanted(tokenizer: dict[str, Any]) -> str:
    """The names of the files that a tokenizer still needs; "" when it has them."""
    names = _GPT2 if tokenizer.get("use") == "bpe" else _CLIP if tokenizer.get("use") == "clip-bpe" else {}
    return " and ".join(names[key][0] for key in names if not tokenizer.get(key))


def _files(names: dict[str, tuple[str, ...]], folders: Iterable[Path], beside: Path) -> dict[str, str]:
    for folder in folders:
        found = {
            key: next((folder / name for name in some if (folder / name).is_file()), None)
            for key, some in names.items()
        }
        if all(found.values()):
            return {key: _written(path, beside) for key, path in found.items() if path is not None}
    return {}


def _written(path: Path, beside: Path) -> str:
    absolute, folder = path.absolute(), beside.absolute()
    return absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else str(absolute)
