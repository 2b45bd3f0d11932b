"""From a plan to a pipeline: targets imported, parts built, weights loaded, everything moved to its device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core.errors import GlidepathError, PartError
from glidepath.registry import weights
from glidepath.registry.catalogue import Catalogue, load_catalogue
from glidepath.registry.plan import PartPlan, Plan, make_plan
from glidepath.registry.spec import read_spec

if TYPE_CHECKING:
    import torch

    from glidepath.core.pipeline import Pipeline

PIPELINE_SLOTS = ("schedule", "text_encoder", "denoiser", "guidance", "sampler", "codec")


class AssemblyError(GlidepathError):
    """A part could not be built, for a reason that its plugin has to answer for."""


def assemble(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    weights: str | Path | None = None,
    catalogue: Catalogue | None = None,
) -> Pipeline:
    """A pipeline from a spec: `assemble("shapes", overrides=["sampler.steps=27"])`.

    source: a preset's name, or a file.
    overrides: as `--set` takes them, "sampler.steps=27".
    weights: a file in place of the spec's own `weights`.

    Raises:
        SpecError: the spec has faults; all are listed.
        GlidepathError: a part could not be built, or weights do not fit.
    """
    catalogue = catalogue or load_catalogue()
    given = [*overrides, f"weights={Path(weights).absolute()}"] if weights is not None else list(overrides)
    return build_pipeline(make_plan(read_spec(source, given, catalogue=catalogue), catalogue), catalogue)


def build_pipeline(plan: Plan, catalogue: Catalogue, *, load: bool = True) -> Pipeline:
    """The pipeline of a plan.

    load: False leaves the networks as they were initialised, from a fixed seed.
    """
    import torch

    from glidepath.core.pipeline import Pipeline

    catalogue.on_assemble(plan)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what has no weights starts from the same ones each time, and nobody's stream is moved
        parts = build_parts(plan, PIPELINE_SLOTS, catalogue)
    if load:
        load_weights(plan, parts, catalogue)
    device = choose_device(plan.runtime.device)
    pipeline = Pipeline(
        **parts,
        device=device,
        dtype=choose_dtype(plan.runtime.dtype, device),
        channels_last=plan.runtime.channels_last is not False,
    )
    if plan.runtime.compile:
        pipeline.denoiser.compile(dynamic=False)
    catalogue.on_built(pipeline, plan)
    return pipeline


def build_parts(plan: Plan, slots: Sequence[str], catalogue: Catalogue) -> dict[str, Any]:
    """The parts of some slots, by slot; a slot that holds a list gives a tuple. Absent slots are left out."""
    built: dict[str, Any] = {}
    for slot in slots:
        found = plan.parts.get(slot)
        if isinstance(found, PartPlan):
            built[slot] = build_part(found, catalogue)
        elif found is not None:
            built[slot] = tuple(build_part(part, catalogue) for part in found)
    return built


def build_part(part: PartPlan, catalogue: Catalogue) -> Any:
    """Import a part's target and construct it with its config and its own parts.

    Raises:
        AssemblyError: the target does not exist, or is not of its kind.
        Exception: whatever the constructor raised, with a note that says whose it was.
    """
    component = part.registered.component
    target = _import_target(component.target, part)
    nested: dict[str, Any] = {}
    for field, inner in part.parts.items():
        if isinstance(inner, PartPlan):
            nested[field] = build_part(inner, catalogue)
        else:
            nested[field] = tuple(build_part(one, catalogue) for one in inner)
    arguments = () if part.config is None else (part.config,)
    try:
        made = target(*arguments, **nested)
    except Exception as error:
        error.add_note(f"while building {_whose(part)}")
        raise
    interface = _import_target(catalogue.kinds[component.kind].interface, part)
    if not isinstance(made, interface):
        raise AssemblyError(
            f"{_whose(part)} made a {type(made).__qualname__}, "
            f"which is no {interface.__name__} (the interface of kind {component.kind!r})"
        )
    return made


def load_weights(plan: Plan, parts: Mapping[str, Any], catalogue: Catalogue) -> None:
    """Load the plan's weights into built parts: those of the whole spec first, then those of single parts.

    Raises:
        WeightsError: a file is missing or damaged, or does not fit.
    """
    import torch

    modules = {
        slot: part
        for slot, part in parts.items()
        if isinstance(part, torch.nn.Module) and part.state_dict()
    }
    own = {slot: part.weights for slot, part in plan.parts.items() if isinstance(part, PartPlan) and part.weights}
    if plan.weights is not None:
        file = weights.locate(plan.weights, catalogue)
        shared = {slot: module for slot, module in modules.items() if slot not in own}
        for slot, tensors in weights.under(weights.read(file), shared, file).items():
            weights.load_into(shared[slot], tensors, part=slot, file=file)
    for slot, address in own.items():
        file = weights.locate(address, catalogue)
        weights.load_into(modules[slot], weights.read(file), part=slot, file=file)


def weight_files(plan: Plan, catalogue: Catalogue) -> dict[str, Path]:
    """The files that `load_weights` reads, by the dotted path of the part ("" for the whole spec)."""
    found = {} if plan.weights is None else {"": weights.locate(plan.weights, catalogue)}
    for part in plan.parts.values():
        for one in (part,) if isinstance(part, PartPlan) else part:
            if one.weights is not None:
                found[one.path] = weights.locate(one.weights, catalogue)
    return found


def choose_device(name: str) -> torch.device:
    """The torch device of a runtime's `device`; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        PartError: the device is not there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        usable = ", ".join(known for known, is_there in there.items() if is_there)
        raise PartError(f"device {name!r} is not available here; available: {usable}")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The torch dtype of a runtime's `dtype`; `auto` is bfloat16 on a GPU that has it, else float32."""
    import torch

    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _import_target(target: str, part: PartPlan) -> Any:
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise AssemblyError(f"{_whose(part)} names a target that cannot be imported, {target}: {error}") from error


def _whose(part: PartPlan) -> str:
    registered = part.registered
    where = f", written at {part.place}" if part.place else ""
    return (
        f"{registered.component.kind} {registered.full_name} "
        f"({registered.distribution} {registered.version}) at {part.path}{where}"
    )
