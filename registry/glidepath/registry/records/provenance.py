"""What an image carries, so that it can be made again: spec, seed, versions, weight hashes."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.assembly.weights import sha256
from glidepath.registry.records.differences import changed, shown
from glidepath.registry.records.pictures import NAMES, Carried, Inputs, carried_inputs

if TYPE_CHECKING:
    from glidepath.core.cascade import Cascade
    from glidepath.core.pipeline import Pipeline
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan

FORMAT = "glidepath-image-1"

_OPTIONAL = ("pictures", "strength", "batch")
_MOST_CLASSES = 2**31


@attrs.frozen
class Shot:
    """Which image: a prompt, a seed, the how-manieth image of that prompt and seed; and a class, or none."""

    prompt: str
    seed: int
    sample: int
    label: int | None = None


@attrs.frozen(kw_only=True)
class Manifest:
    """All that an image carries.

    spec: the resolved spec, every default written out.
    shots: which images, in the order of the grid.
    columns, scale: how the grid was laid out.
    distributions: version of each distribution whose parts were used.
    weights: sha256 of each weights file, by the dotted path of the part; "" is the whole spec's.
    environment: torch, Python, device, dtype, and how many threads, which decides how sums are rounded.
    pictures: what the images started from, by what it was for. strength: how far from it (`Pipeline.states`).
    batch: the images that were drawn at one time, the shots and others, where there were others: in a batch
        of another size a network rounds otherwise, and so may a pixel come out.
    """

    spec: Mapping[str, Any]
    shots: Sequence[Shot]
    columns: int
    scale: int
    distributions: Mapping[str, str]
    weights: Mapping[str, str]
    environment: Mapping[str, str]
    pictures: Mapping[str, Carried] = attrs.field(factory=dict)
    strength: float | None = None
    batch: Sequence[Shot] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values, without those that are absent."""
        values = {"format": FORMAT, **attrs.asdict(self)}
        for shot in (*values["shots"], *values["batch"]):
            if shot["label"] is None:
                del shot["label"]
        absent: tuple[object, ...] = (None, {}, [], ())
        return {key: value for key, value in values.items() if key not in _OPTIONAL or value not in absent}

    def inputs(self) -> Inputs:
        """What the images started from beside their prompts.

        Raises:
            GlidepathError: they carry not all of it.
        """
        return carried_inputs(self.pictures, self.strength)

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
            shots = [_shot(it) for it in data["shots"]]
            strength = data.get("strength")
            manifest = Manifest(
                spec=dict(data["spec"]),
                shots=shots,
                columns=int(data["columns"]),
                scale=int(data["scale"]),
                distributions=_strings(data["distributions"]),
                weights=_strings(data["weights"]),
                environment=_strings(data["environment"]),
                pictures={name: _carried(data["pictures"][name]) for name in data.get("pictures", {})},
                strength=None if strength is None else float(strength),
                batch=[_shot(it) for it in data.get("batch", [])],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GlidepathError(f"the manifest is damaged: {type(error).__name__}: {error}") from error
        if not set(manifest.pictures) <= set(NAMES):
            raise GlidepathError("the manifest is damaged: it holds pictures that this version does not know")
        if manifest.batch and not (set(shots) <= set(manifest.batch) and len(manifest.batch) <= 10_000):
            raise GlidepathError("the manifest is damaged: its images are not of the batch that it names")
        if not (0 < len(shots) <= 10_000 and 0 < manifest.columns <= 10_000 and 0 < manifest.scale <= 64):
            raise GlidepathError(
                "the manifest is damaged: its number of images, columns or scale makes no sense"
            )
        return manifest


def describe(
    plan: Plan,
    pipeline: Pipeline | Cascade,
    catalogue: Catalogue,
    shots: Sequence[Shot],
    columns: int,
    scale: int,
    inputs: Inputs | None = None,
) -> Manifest:
    """The manifest of images that a pipeline makes."""
    from glidepath.registry.assembly.build import weight_files

    return Manifest(
        spec=plan.portable_tree(),
        shots=shots,
        columns=columns,
        scale=scale,
        distributions=dict(plan.distributions),
        weights={path: sha256(file) for path, file in weight_files(plan, catalogue).items()},
        environment=environment(pipeline),
        pictures=inputs.carried() if inputs else {},
        strength=inputs.strength if inputs else None,
    )


def environment(pipeline: Pipeline | Cascade) -> dict[str, str]:
    """What else the numbers depend on."""
    import torch

    from glidepath.core.cascade import stages_of

    first = next(iter(stages_of(pipeline).values()))  # all stages run alike
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(first.device),
        "dtype": str(first.dtype).removeprefix("torch."),
        "threads": str(torch.get_num_threads()),
    }


def differences(then: Manifest, now: Manifest) -> list[str]:
    """What is not as it was, one sentence each; of the environment, what the image says."""
    known = {name: value for name, value in now.environment.items() if name in then.environment}
    pairs = (
        ("distribution", then.distributions, now.distributions),
        ("sha256 of weights", then.weights, now.weights),
        ("", then.environment, known),
    )
    return [
        f"{f'{what} {name}'.strip()} was {shown(was)}, and is {shown(has)}"
        for what, before, after in pairs
        for name, was, has in changed(before, after)
    ]


def _shot(data: Mapping[str, Any]) -> Shot:
    label = None if data.get("label") is None else int(data["label"])
    if label is not None and not 0 <= label < _MOST_CLASSES:
        raise ValueError(f"{label} is no class")
    return Shot(str(data["prompt"]), int(data["seed"]), int(data["sample"]), label)


def _carried(data: Mapping[str, Any]) -> Carried:
    png = data.get("png")
    return Carried(str(data["sha256"]), None if png is None else str(png))


def _strings(data: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in data.items()}
