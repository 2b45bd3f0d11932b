"""What an image carries, so that it can be made again: spec, seed, versions, weight hashes."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.weights import sha256

if TYPE_CHECKING:
    from glidepath.core.pipeline import Pipeline
    from glidepath.registry.catalogue import Catalogue
    from glidepath.registry.plan import Plan

FORMAT = "glidepath-image-1"


@attrs.frozen
class Shot:
    """Which image: a prompt, a seed, and the how-manieth image of that prompt and seed."""

    prompt: str
    seed: int
    sample: int


@attrs.frozen(kw_only=True)
class Manifest:
    """All that an image carries.

    spec: the resolved spec, every default written out.
    shots: which images, in the order of the grid.
    columns, scale: how the grid was laid out.
    distributions: version of each distribution whose parts were used.
    weights: sha256 of each weights file, by the dotted path of the part; "" is the whole spec's.
    environment: torch, Python, device and dtype.
    """

    spec: Mapping[str, Any]
    shots: Sequence[Shot]
    columns: int
    scale: int
    distributions: Mapping[str, str]
    weights: Mapping[str, str]
    environment: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"format": FORMAT, **attrs.asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Manifest:
        """Read plain values from a stranger.

        Raises:
            GlidepathError: they are not a manifest that this version reads.
        """
        if data.get("format") != FORMAT:
            raise GlidepathError(
                f"the manifest has format {data.get('format')!r}, and this version reads {FORMAT!r}"
            )
        try:
            shots = [Shot(str(it["prompt"]), int(it["seed"]), int(it["sample"])) for it in data["shots"]]
            manifest = Manifest(
                spec=dict(data["spec"]),
                shots=shots,
                columns=int(data["columns"]),
                scale=int(data["scale"]),
                distributions=_strings(data["distributions"]),
                weights=_strings(data["weights"]),
                environment=_strings(data["environment"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GlidepathError(f"the manifest is damaged: {type(error).__name__}: {error}") from error
        if not (0 < len(shots) <= 10_000 and 0 < manifest.columns <= 10_000 and 0 < manifest.scale <= 64):
            raise GlidepathError(
                "the manifest is damaged: its number of images, columns or scale makes no sense"
            )
        return manifest


def describe(
    plan: Plan, pipeline: Pipeline, catalogue: Catalogue, shots: Sequence[Shot], columns: int, scale: int
) -> Manifest:
    """The manifest of images that a pipeline makes."""
    from glidepath.registry.assembly import weight_files

    return Manifest(
        spec=plan.tree,
        shots=shots,
        columns=columns,
        scale=scale,
        distributions=dict(plan.distributions),
        weights={path: sha256(file) for path, file in weight_files(plan, catalogue).items()},
        environment=environment(pipeline),
    )


def environment(pipeline: Pipeline) -> dict[str, str]:
    """What else the numbers depend on."""
    import torch

    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(pipeline.device),
        "dtype": str(pipeline.dtype).removeprefix("torch."),
    }


def differences(then: Manifest, now: Manifest) -> list[str]:
    """What is not as it was, one sentence each."""
    pairs = (
        ("distribution", then.distributions, now.distributions),
        ("sha256 of weights", then.weights, now.weights),
        ("", then.environment, now.environment),
    )
    found = []
    for what, before, after in pairs:
        for name in sorted({*before, *after}):
            was, has = before.get(name, "absent"), after.get(name, "absent")
            if was != has:
                found.append(f"{f'{what} {name}'.strip()} was {was}, and is {has}")
    return found


def _strings(data: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in data.items()}
