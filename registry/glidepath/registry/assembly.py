"""From a plan to a pipeline: targets imported, parts built, weights loaded, all moved to its device."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glidepath.core.errors import GlidepathError, PartError
from glidepath.registry import weights
from glidepath.registry.catalogue import Catalogue, load_catalogue
from glidepath.registry.plan import PartPlan, Plan, make_plan
from glidepath.registry.spec import plugin_switches, read_spec

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
    given = list(overrides)
    if weights is not None:
        given.append(f"weights={json.dumps(str(Path(weights).absolute()), ensure_ascii=False)}")
    if catalogue is None:
        switches = plugin_switches(source, given)
        catalogue = load_catalogue(allow=switches.allow, deny=switches.deny)
    return build_pipeline(make_plan(read_spec(source, given, catalogue=catalogue), catalogue), catalogue)


def build_pipeline(plan: Plan, catalogue: Catalogue, *, load: bool = True) -> Pipeline:
    """The pipeline of a plan.

    load: False leaves the networks as they were initialised, from a fixed seed.
    """
    import torch

    from glidepath.core.pipeline import Pipeline

    catalogue.on_assemble(plan)
    with torch.random.fork_rng(devices=[]):
        # What has no weights starts from the same ones each time, and nobody's stream is moved.
        torch.manual_seed(0)
        parts = build_parts(plan, PIPELINE_SLOTS, catalogue, load=load)
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


def build_parts(
    plan: Plan, slots: Sequence[str], catalogue: Catalogue, *, load: bool = True
) -> dict[str, Any]:
    """The parts of some slots, by slot; a slot that holds a list gives a tuple. Absent slots are left out.

    load: whether parts inside parts load their own weights; those of the slots are for `load_weights`.
    """
    built: dict[str, Any] = {}
    for slot in slots:
        found = plan.parts.get(slot)
        if isinstance(found, PartPlan):
            built[slot] = build_part(found, catalogue, load=load)
        elif found is not None:
            built[slot] = tuple(build_part(part, catalogue, load=load) for part in found)
    return built


def build_part(part: PartPlan, catalogue: Catalogue, *, load: bool = True) -> Any:
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
            nested[field] = _build_inner(inner, catalogue, load)
        else:
            nested[field] = tuple(_build_inner(one, catalogue, load) for one in inner)
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
        AssemblyError: a part has weights in the spec, and is no network.
    """
    import torch

    shared: dict[str, torch.nn.Module] = {}
    for slot, built in parts.items():
        planned = plan.parts[slot]
        if not isinstance(planned, PartPlan):
            for one, made in zip(planned, built, strict=True):
                _load_own(one, made, catalogue)
        elif planned.weights is not None:
            _load_own(planned, built, catalogue)
        elif isinstance(built, torch.nn.Module) and built.state_dict():
            shared[slot] = built
    if plan.weights is not None:
        file = weights.locate(plan.weights, catalogue)
        for slot, tensors in weights.under(weights.read(file), shared, file).items():
            weights.load_into(shared[slot], tensors, part=slot, file=file)


def weight_files(plan: Plan, catalogue: Catalogue) -> dict[str, Path]:
    """The files of weights that a pipeline reads, by the dotted path of the part ("" for the whole spec)."""
    found = {} if plan.weights is None else {"": weights.locate(plan.weights, catalogue)}
    for part in plan.all_parts():
        if part.weights is not None:
            found[part.path] = weights.locate(part.weights, catalogue)
    return found


def choose_device(name: str) -> torch.device:
    """The torch device of a runtime's `device`; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        PartError: the device is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(known for known, is_there in there.items() if is_there)
    if not there.get(name.partition(":")[0], False):
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


def _build_inner(part: PartPlan, catalogue: Catalogue, load: bool) -> Any:
    made = build_part(part, catalogue, load=load)
    if load:
        _load_own(part, made, catalogue)
    return made


def _load_own(part: PartPlan, made: Any, catalogue: Catalogue) -> None:
    import torch

    if part.weights is None:
        return
    if not isinstance(made, torch.nn.Module):
        raise AssemblyError(
            f"{_whose(part)} has `weights` in the spec, and is no network that could load them"
        )
    file = weights.locate(part.weights, catalogue)
    weights.load_into(made, weights.read(file), part=part.path, file=file)


def _import_target(target: str, part: PartPlan) -> Any:
    module, _, name = target.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise AssemblyError(
            f"{_whose(part)} names a target that cannot be imported, {target}: {error}"
        ) from error


def _whose(part: PartPlan) -> str:
    registered = part.registered
    where = f", written at {part.place}" if part.place else ""
    return (
        f"{registered.component.kind} {registered.full_name} "
        f"({registered.distribution} {registered.version}) at {part.path}{where}"
    )
