"""From a plan to a pipeline or a cascade: targets imported, parts built, weights loaded, all on a device."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter, warn

from glidepath.core.errors import GlidepathError
from glidepath.registry.assembly import weights
from glidepath.registry.assembly.assets import located_config
from glidepath.registry.assembly.devices import choose_device, dtype_of
from glidepath.registry.assembly.error_notes import part_title, remedy
from glidepath.registry.assembly.filling import Sparing
from glidepath.registry.assembly.pipelines import pipeline_of
from glidepath.registry.assembly.reduced import quantize, wait_by_layers
from glidepath.registry.assembly.warnings import TrainedOtherwise, missing_inputs, training_mismatches
from glidepath.registry.describe.kinds import PIPELINE_SLOTS
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.discovery.import_errors import import_problem, import_remedy
from glidepath.registry.discovery.scan import unreadable_metadata
from glidepath.registry.files.process_state import used
from glidepath.registry.files.tensor_file import require_numbers
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.layers import SpecSource
from glidepath.registry.spec.overrides import as_overrides, option_override
from glidepath.registry.spec.spec import plugin_switches, read_spec
from glidepath.registry.text.tree import join_path

if TYPE_CHECKING:
    import torch

    from glidepath.core.cascade import Cascade
    from glidepath.core.image_pipeline import ImagePipeline


class AssemblyError(GlidepathError):
    """A part could not be built, for a reason that its plugin has to answer for."""


def assemble(
    source: SpecSource,
    overrides: Sequence[str] = (),
    *,
    weights: str | Path | None = None,
    catalogue: Catalogue | None = None,
) -> ImagePipeline | Cascade:
    """A pipeline from a spec, or a cascade: `assemble("my.yaml", overrides=["sampler.steps=27"])`.

    source: a preset's name, a file, a mapping or a `DictConfig`; or a list of these, later ones on top.
    overrides: as `--set` takes them, "sampler.steps=27".
    weights: a file in place of the spec's own `weights`.

    Warns (`TrainedOtherwise`) where the weights were trained with another schedule, say, than the spec has,
    and where a part lacks something, such as weights.

    Raises:
        SpecError: the spec has problems, all of which are listed; or the overrides are no list of texts.
        GlidepathError: a part could not be built, or weights do not fit.
    """
    given = as_overrides(overrides)
    if weights is not None:
        given.append(option_override("weights", "weights", str(Path(weights).absolute())))
    if catalogue is None:
        switches = plugin_switches(source, given)
        catalogue = load_catalogue(allow=switches.allow, deny=switches.deny)
    plan = make_plan(read_spec(source, given, catalogue=catalogue), catalogue, need_weights=True)
    for problem in training_mismatches(plan, catalogue):
        warn(problem.render(), TrainedOtherwise, stacklevel=2)
    for problem in missing_inputs(plan, catalogue):
        warn(problem.render(), stacklevel=2)
    return build_pipeline(plan, catalogue)


def build_pipeline(plan: Plan, catalogue: Catalogue, *, load: bool = True) -> ImagePipeline | Cascade:
    """The pipeline of a plan, or its cascade.

    load: False leaves the networks as they were initialised, from a fixed seed.

    Raises:
        PartError: the device is not there, which is found before anything is built; or a part is not to be.
    """
    try:
        from glidepath.core.cascade import Cascade
        from glidepath.core.defaults import torch_defaults
        from glidepath.core.pipeline import Pipeline
    except Exception as error:
        if reason := unreadable_metadata(error):
            raise AssemblyError(reason) from error
        raise

    device = choose_device(plan.runtime.device)
    plans = plan.pipelines()
    with torch_defaults():
        for stage in plans.values():
            catalogue.call_hook("on_assemble", plan=stage)
        built = _parts(plan, catalogue, load)
        pipelines = {name: _pipeline(stage, built[name], device, catalogue) for name, stage in plans.items()}
    if not plan.stages:
        return pipelines[""]
    return Cascade({name: stage for name, stage in pipelines.items() if isinstance(stage, Pipeline)})


def require_fit(plan: Plan, catalogue: Catalogue) -> None:
    """Refuse files of weights that do not fit the networks, which get no memory. A hub is not asked.

    Raises:
        WeightsError: naming the tensors that do not fit.
    """
    import torch

    of_hub = any(address.scheme == "hub" for address in plan.all_weights().values())
    if of_hub or plan.missing_weights(catalogue):
        return
    try:
        with torch.device("meta"), catch_warnings():
            simplefilter("ignore")  # that nothing is copied to such a network
            _parts(plan, catalogue, load=True)
    except weights.WeightsError:
        raise
    except Exception:  # a part that needs its memory to be built: what is wrong is found when it is
        return


def _parts(plan: Plan, catalogue: Catalogue, load: bool) -> dict[str, dict[str, Any]]:
    """The parts of each pipeline by its stage, with their weights.

    Networks that get weights have no memory before, where that changes nothing of what is made.
    """
    if load and plan.all_weights():
        try:
            dtype = dtype_of(plan, choose_device(plan.runtime.device))
            sparing = Sparing(dtype, plan.runtime.channels_last is not False)
            parts = _parts_by_stage(plan, catalogue, load, sparing)
            sparing.require_values()
            return parts
        except weights.WeightsError:
            raise
        except Exception:  # such as a constructor that reads what it has just initialised
            pass
    return _parts_by_stage(plan, catalogue, load)


def _parts_by_stage(
    plan: Plan, catalogue: Catalogue, load: bool, sparing: Sparing | None = None
) -> dict[str, dict[str, Any]]:
    import torch

    built = {}
    for name, pipeline in plan.pipelines().items():
        with torch.random.fork_rng(devices=[]):
            # What has no weights starts from the same ones each time, and nobody's stream is moved.
            torch.manual_seed(0)
            covered = pipeline.weights is not None or plan.weights is not None
            slots = (*PIPELINE_SLOTS, pipeline.model_slot)
            built[name] = build_parts(pipeline, slots, catalogue, load=load, sparing=sparing, covered=covered)
        if load:
            load_weights(pipeline, built[name], catalogue)
    if load and plan.stages:
        _load_stages(plan, built, catalogue)
    return built


def _pipeline(
    plan: Plan, parts: Mapping[str, Any], device: torch.device, catalogue: Catalogue
) -> ImagePipeline:
    offloads, quantizes = plan.runtime.offload != "none", plan.runtime.quantize != "none"
    pipeline = pipeline_of(
        parts,
        plan.model_slot,
        device=device,
        dtype=dtype_of(plan, device),
        channels_last=plan.runtime.channels_last is not False,
        offload=offloads or quantizes,  # until they are small
    )
    if quantizes:
        quantize(pipeline)
    if plan.runtime.offload == "layers":
        wait_by_layers(pipeline)
    if quantizes and not offloads:
        pipeline.bring(*{name.partition("[")[0] for name in pipeline.networks()})
        pipeline.offload = False
    if plan.runtime.compile:
        pipeline.model.compile(dynamic=False)
    catalogue.call_hook("on_built", pipeline=pipeline, plan=plan)
    return pipeline


def build_parts(
    plan: Plan,
    slots: Sequence[str],
    catalogue: Catalogue,
    *,
    load: bool = True,
    sparing: Sparing | None = None,
    covered: bool = False,
) -> dict[str, Any]:
    """The parts of some slots, by slot; a slot that holds a list gives a tuple. Absent slots are left out.

    load: whether parts inside parts load their own weights; those of the slots are for `load_weights`.
    sparing, covered: as for `build_part`.
    """
    built: dict[str, Any] = {}
    for slot in dict.fromkeys(slots):
        planned = plan.parts.get(slot)
        # of a slot that takes a list, no file of several parts holds any
        if isinstance(planned, PartPlan):
            built[slot] = build_part(planned, catalogue, load=load, sparing=sparing, covered=covered)
        elif planned is not None:
            built[slot] = tuple(build_part(part, catalogue, load=load, sparing=sparing) for part in planned)
    return built


def build_part(
    part: PartPlan,
    catalogue: Catalogue,
    *,
    load: bool = True,
    sparing: Sparing | None = None,
    covered: bool = False,
) -> Any:
    """Import a part's target and construct it with its config and its own parts.

    load: whether parts inside it load their own weights, and a hub is asked for what they read.
    sparing: has networks built without memory that are yet to get their weights. covered: this one is, from
        a file of several parts, or as a piece of the part that it is in.

    Raises:
        AssemblyError: the target does not exist, or is not of its kind.
        Exception: whatever the constructor raised, with a note that says whose it was.
    """
    component = part.registered.component
    supplier = part.registered.distribution
    with used(supplier):
        target = _import_target(component.target, part)
    covered = covered or part.weights is not None

    def inside(inner: PartPlan) -> Any:
        built = build_part(inner, catalogue, load=load, sparing=sparing, covered=covered)
        if load:
            _load_own(inner, built, catalogue)
        return built

    nested: dict[str, Any] = {
        field: inside(inner) if isinstance(inner, PartPlan) else tuple(map(inside, inner))
        for field, inner in part.parts.items()
    }
    config = located_config(part) if load else part.config
    arguments = () if config is None else (config,)
    try:
        with used(supplier), nullcontext() if sparing is None else sparing.building(covered):
            built = target(*arguments, **nested)
    except Exception as error:
        module = component.target.partition(":")[0]
        said = [f"while building {part_title(part)}", _remedy(error, module, part)]
        error.add_note("; ".join(filter(None, said)))
        raise
    interface = _import_target(catalogue.kinds[component.kind].interface, part)
    if not isinstance(built, interface):
        raise AssemblyError(
            f"{part_title(part)} made a {type(built).__qualname__}, "
            f"which is no {interface.__name__} (the interface of kind {component.kind!r}); {remedy(part)}"
        )
    if sparing is not None and covered:
        sparing.add(built)
    return built


def load_weights(plan: Plan, parts: Mapping[str, Any], catalogue: Catalogue) -> None:
    """Load the plan's weights into built parts: those of the whole spec first, then those of single parts.

    Raises:
        WeightsError: a file is missing or damaged, or does not fit.
        AssemblyError: a part has weights in the spec, and is no network.
    """
    for slot, built in parts.items():
        planned = plan.parts[slot]
        if not isinstance(planned, PartPlan):
            for part, network in zip(planned, built, strict=True):
                _load_own(part, network, catalogue)
        else:
            _load_own(planned, built, catalogue)
    if plan.weights is not None:
        _load_shared(plan, parts, weights.read(plan.weights, catalogue), catalogue)


def _load_stages(plan: Plan, stages: Mapping[str, Mapping[str, Any]], catalogue: Catalogue) -> None:
    """Load the one file of a cascade, `up.denoiser.x`: what it holds is of the stages without a file."""
    if plan.weights is None:
        return
    waiting = {
        name: parts
        for name, parts in stages.items()
        if plan.stages[name].weights is None and _shared(plan.stages[name], parts)
    }
    if not waiting:
        raise weights.WeightsError(
            f"{plan.weights} is for stages without weights of their own, and here each has some; "
            f"name another file for one of them: stages.{next(iter(stages))}.weights"
        )
    for name, some in weights.read(plan.weights, catalogue).by_slot(waiting, catalogue).items():
        _load_shared(plan.stages[name], waiting[name], some, catalogue)


def _load_shared(plan: Plan, parts: Mapping[str, Any], read: weights.Weights, catalogue: Catalogue) -> None:
    """Load the tensors of several parts, by the names of their slots."""
    shared = _shared(plan, parts)
    for slot, some in read.by_slot(shared, catalogue).items():
        part, file = join_path(plan.path, slot), some.file
        weights.load_module(shared[slot], some.tensors, part=part, file=file, pages=some.pages)


def _shared(plan: Plan, parts: Mapping[str, Any]) -> dict[str, torch.nn.Module]:
    """The networks in slots that have no file of weights to themselves."""
    import torch

    return {
        slot: built
        for slot, built in parts.items()
        if isinstance(planned := plan.parts[slot], PartPlan)
        and planned.weights is None
        and isinstance(built, torch.nn.Module)
        and built.state_dict()
    }


def _load_own(part: PartPlan, built: Any, catalogue: Catalogue) -> None:
    import torch

    from glidepath.core.adapter import Adapter

    if part.weights is None:
        return
    if not isinstance(built, torch.nn.Module | Adapter):
        raise AssemblyError(
            f"{part_title(part)} has `weights` in the spec, and is no network that could load them"
        )
    read = weights.read(part.weights, catalogue)
    if isinstance(built, Adapter):
        require_numbers(read.tensors, read.file, part.path)
        built.load(read.tensors)
    else:
        weights.load_module(built, read.tensors, part=part.path, file=read.file, pages=read.pages)


def _import_target(target: str, part: PartPlan) -> Any:
    module, _, name = target.partition(":")
    defaults: AbstractContextManager[None] = nullcontext()
    if "torch" in sys.modules:  # where parts are built on the device meta, constants of modules are not
        from glidepath.core.defaults import torch_defaults

        defaults = torch_defaults()
    try:
        with defaults:
            return getattr(import_module(module), name)
    except Exception as error:
        raise AssemblyError(
            f"{part_title(part)} names a target that cannot be imported, {target}: "
            f"{import_problem(error, module)}; {_remedy(error, module, part)}"
        ) from error


def _remedy(error: Exception, module: str, part: PartPlan) -> str:
    """What a person can do about an error of a part that is built; "" where its message says enough."""
    of = part.registered
    found = import_remedy(error, module, of.distribution, of.version)
    return found or ("" if isinstance(error, GlidepathError) else remedy(part))
