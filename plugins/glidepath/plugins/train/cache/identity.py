"""What a cached tensor depends on, as hashes: pixels, words, and the part that made something of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from glidepath.registry import PartPlan, canonical_json, file_sha256, files_of, part_tree

if TYPE_CHECKING:
    from glidepath.registry import Plan

_CHARACTERS = 32


def pixels_key(image: Tensor) -> bytes:
    """Of an image [3, H, W] uint8: whatever was done with the picture before shows in its pixels."""
    shape = ",".join(map(str, image.shape)).encode()
    return hashlib.sha256(shape + image.contiguous().numpy().tobytes()).digest()


def text_key(caption: str) -> bytes:
    """Of a caption."""
    return hashlib.sha256(b"text:" + caption.encode()).digest()


NO_TEXT = hashlib.sha256(b"no text").digest()
"""Of what stands for the absence of a text."""


def identity_of(plan: Plan, slot: str, network: nn.Module) -> str:
    """A hash of a part: its parameters, the files that it reads, its weights, its plugins' versions.

    Where files lie does not count, what is in them does.
    """
    part = plan.parts[slot]
    assert isinstance(part, PartPlan)
    tree = _without_weights(part_tree(part, written=_content))
    versions = {name: version for name, version in plan.distributions.items() if f"{name}/" in str(tree)}
    weights = _of_tensors(network.state_dict())
    described = canonical_json({"part": tree, "versions": versions, "weights": weights})
    return hashlib.sha256(described.encode()).hexdigest()[:_CHARACTERS]


def _content(path: PurePath) -> str:
    """The hash of a file or of all files in a folder."""
    hashes = {name: file_sha256(file) for name, file in files_of(Path(path)).items()}
    return hashlib.sha256(repr(sorted(hashes.items())).encode()).hexdigest()


def _without_weights(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _without_weights(value) for name, value in tree.items() if name != "weights"}
    return [_without_weights(value) for value in tree] if isinstance(tree, list | tuple) else tree


def _of_tensors(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
