"""The manifest of a plan as it is here and now, and of the images that its pipeline makes."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from glidepath.registry.assembly.assets import asset_hashes
from glidepath.registry.assembly.weights import read_sha256, weights_sha256
from glidepath.registry.discovery.scan import DISTRIBUTION, installed_version, own_version
from glidepath.registry.files.hashing import file_sha256
from glidepath.registry.files.process_state import changed_by_parts
from glidepath.registry.plan.parts import flat_parts
from glidepath.registry.records.installed import installed_files
from glidepath.registry.records.manifest import Images, Manifest, Release
from glidepath.registry.text.canonical_json import canonical_json

if TYPE_CHECKING:
    from glidepath.core.cascade import Cascade
    from glidepath.core.image_pipeline import ImagePipeline
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.parts import PartPlan
    from glidepath.registry.plan.plan import Plan

NOT_THERE = "not there"
"""In place of the hash of a file of weights that is yet to be trained, or fetched."""

_OWN = ("glidepath.core", "glidepath.registry", "glidepath.testing")


def describe_images(
    plan: Plan, pipeline: ImagePipeline | Cascade, catalogue: Catalogue, images: Images
) -> Manifest:
    """The manifest of images that a pipeline makes. Its paths are relative to the current folder."""
    import torch

    from glidepath.core.cascade import stages_of

    first = next(iter(stages_of(pipeline).values()))  # all stages run alike
    return Manifest(
        spec=plan.portable_tree(),
        distributions={name: Release(version=version) for name, version in plan.distributions.items()},
        weights={
            path: weights_sha256(address, catalogue, read_sha256)
            for path, address in plan.all_weights().items()
        },
        environment={
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": str(first.device),
            "dtype": str(first.dtype).removeprefix("torch."),
            "threads": str(torch.get_num_threads()),
            **_unusual(torch),
            **{f"set by {name}": changes for name, changes in changed_by_parts().items()},
        },
        files=_files(_sampling(plan, catalogue)) or None,
        images=images,
    )


def _files(parts: Iterable[PartPlan]) -> dict[str, str]:
    return {path: hash_ for part in parts for path, hash_ in asset_hashes(part).items()}


def _sampling(plan: Plan, catalogue: Catalogue) -> Iterator[PartPlan]:
    """The parts that make images: none of those that train."""
    for pipeline in plan.pipelines().values():
        slots = {slot: part for slot, part in pipeline.parts.items() if catalogue.slots[slot].sampling}
        yield from flat_parts(slots)


def _unusual(torch: ModuleType) -> dict[str, str]:
    """What an application, or a part, has set in torch that changes how images are rounded."""
    set_here = {
        "float32 products": torch.get_float32_matmul_precision(),
        "deterministic algorithms": torch.get_deterministic_debug_mode(),
    }
    return {name: str(value) for name, value in set_here.items() if value not in ("highest", 0)}


def describe_plan(plan: Plan, catalogue: Catalogue) -> Manifest:
    """The manifest of a plan, without images. Reads every file of the distributions that supply its parts.

    Of plugins, those count that supply a part, and those that are told of what is built. Imports no torch.

    Raises:
        WeightsError: a file of weights is not the one that the spec means, or a hub does not give it.
    """
    missing = plan.missing_weights(catalogue)
    return Manifest(
        spec=json.loads(canonical_json(plan.tree)),
        distributions=_releases(plan, catalogue),
        weights={
            path: NOT_THERE if path in missing else weights_sha256(address, catalogue)
            for path, address in plan.all_weights().items()
        },
        environment={"python": platform.python_version(), "torch": installed_version("torch") or "unknown"},
        files=_files(plan.all_parts()),
    )


def _releases(plan: Plan, catalogue: Catalogue) -> dict[str, Release]:
    versions = {
        DISTRIBUTION: own_version(),
        **plan.distributions,
        **{record.distribution: record.version for record in catalogue.told_of_builds()},
    }
    releases = {}
    for name, its_version in sorted(versions.items()):
        records = [record for record in catalogue.records if record.distribution == name]
        files = installed_files(name, _modules(name, catalogue))
        releases[name] = Release(
            version=its_version,
            requires=sorted({requirement for record in records for requirement in record.requires}),
            files={file: file_sha256(path) for file, path in files.items()},
        )
    return releases


def _modules(name: str, catalogue: Catalogue) -> list[str]:
    """Modules of a distribution, in all of its packages."""
    plugins = [record.module for record in catalogue.records if record.distribution == name]
    targets = [entry.component.target for entry in catalogue.components() if entry.distribution == name]
    own = _OWN if name == DISTRIBUTION else ()
    modules = dict.fromkeys([*own, *plugins, *(target.partition(":")[0] for target in targets)])
    return [module for module in modules if module]
