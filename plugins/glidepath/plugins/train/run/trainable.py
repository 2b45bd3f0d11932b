"""Whether a spec can be trained, and the run that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry import PartPlan, Plan, Problem, SpecError, resolved_tree

if TYPE_CHECKING:
    import torch
    from torch import nn

    from glidepath.core import Codec, ImagePipeline, Listener, TextEncoder
    from glidepath.plugins.train.cache.cached import Caches
    from glidepath.plugins.train.run.run import Run, Trainer
    from glidepath.plugins.train.run.sheets import PipelineOf
    from glidepath.plugins.train.scale.group import Group
    from glidepath.registry import Catalogue


def trained_slots(plan: Plan) -> tuple[str, str]:
    """The slots whose parts training changes: of what makes images, and of the text encoder."""
    return (plan.model_slot, "text_encoder")


def check_trainable(plan: Plan, catalogue: Catalogue) -> None:
    """Refuse a plan that says too little about training, or what training cannot do.

    Raises:
        SpecError: with everything that is in the way.
    """
    problems = list(_obstacles(plan, catalogue))
    if problems:
        raise SpecError(problems)


def _obstacles(plan: Plan, catalogue: Catalogue) -> Iterator[Problem]:
    root = plan.spec.root.place
    if plan.stages:
        what = "this spec is a cascade, and training is done one stage at a time"
        name = next(iter(plan.stages))
        hint = (
            "write each stage as a spec of its own and train that; the cascade then builds on what was "
            f"trained: {name}: {{extends: runs/{name}/spec.yaml}}"
        )
        yield Problem(what=what, place=plan.spec.keys["stages"], path="stages", hint=hint)
        return
    for slot in ("data", "train"):
        if slot not in plan.parts:
            kind = catalogue.slots[slot]
            names = [catalogue.spelling(registered) for registered in catalogue.components(kind.name)]
            what = f"this spec cannot be trained: it has no {slot!r}"
            yield Problem(what=what, place=root, hint=f"{slot}: {kind.summary}", allowed=names)
    if _begins_with_weights(plan) and not _has_weights(plan):
        what = "train.init_from_weights begins with the spec's weights, and this spec has none"
        yield Problem(what=what, place=_one(plan, "train").place, path="train.init_from_weights")


def processes_of(plan: Plan) -> int:
    """How many processes a plan is to be trained by."""
    return int(getattr(_one(plan, "train").config, "processes", 1))


def build(
    plan: Plan,
    catalogue: Catalogue,
    folder: Path,
    device: torch.device,
    group: Group,
    *,
    caching: bool = False,
) -> tuple[Trainer, Run]:
    """The trainer of a plan and what it is to train: networks on their device, initialised by the seed.

    caching: `train.cache` is about to be made, and is not read.

    Raises:
        GlidepathError: a part could not be built, or weights do not fit.
    """
    import torch

    from glidepath.plugins.train.run.run import Run
    from glidepath.registry import build_parts, load_weights

    catalogue.call_hook("on_assemble", plan=plan)
    seed = getattr(_one(plan, "train").config, "seed", 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        anew = not getattr(_one(plan, "train").config, "init_from_weights", True)
        parts = build_parts(plan, ("train",), catalogue, load=not anew)
        parts |= build_parts(plan, ("data", "schedule", "codec"), catalogue)
        torch.manual_seed(seed)
        networks = build_parts(plan, trained_slots(plan), catalogue)
        conditioners = build_parts(plan, ("conditioners",), catalogue)
    codec = parts["codec"].to(device).eval().requires_grad_(False)
    if _begins_with_weights(plan):
        load_weights(plan, {**networks, "codec": codec, **conditioners}, catalogue)
    else:  # what is trained begins anew, and the others do not
        load_weights(attrs.evolve(plan, weights=None), {"codec": codec, **conditioners}, catalogue)
    for network in networks.values():
        network.to(device, torch.float32)
    denoiser = networks.get("denoiser")
    if denoiser is not None and _channels_last(plan, device) and len(denoiser.image_shape) == 3:
        denoiser.to(memory_format=torch.channels_last)
    run = Run(
        schedule=parts.get("schedule"),
        denoiser=denoiser,
        generator=networks[plan.model_slot] if denoiser is None else None,
        slot=plan.model_slot,
        text_encoder=networks.get("text_encoder"),
        conditioners=[
            made.to(device).eval().requires_grad_(False) for made in conditioners.get("conditioners", ())
        ],
        dataset=parts["data"],
        codec=codec,
        folder=folder,
        spec=training_tree(plan),
        device=device,
        distributions=plan.distributions,
        group=group,
        compiled=plan.runtime.compile,
        pipeline_of=_pipeline_of(plan, catalogue, device, parts, networks, conditioners),
        caches=_caches(plan, codec, networks.get("text_encoder"), None if caching else _cache(plan), device),
        located=_located(plan) if hasattr(parts["data"], "contents") else frozenset(),
    )
    return parts["train"], run


def _pipeline_of(
    plan: Plan,
    catalogue: Catalogue,
    device: torch.device,
    parts: Mapping[str, Any],
    networks: Mapping[str, nn.Module],
    conditioners: Mapping[str, Any],
) -> PipelineOf:
    """What makes the spec's pipeline around some modules; its sampler and guidance are built when it does."""
    from glidepath.plugins.train.stages.denoising import named
    from glidepath.registry import build_parts, load_weights, pipeline_of

    def made(modules: Mapping[str, nn.Module]) -> ImagePipeline:
        others = build_parts(plan, ("sampler", "guidance"), catalogue)
        load_weights(attrs.evolve(plan, weights=None), others, catalogue)
        there: dict[str, Any] = {slot: modules.get(slot, network) for slot, network in networks.items()}
        conditions = named(conditioners.get("conditioners", ()))
        there |= {slot: parts[slot] for slot in ("schedule", "codec") if slot in parts}
        there["conditioners"] = [modules.get(name, it) for name, it in conditions]
        return pipeline_of(
            {**others, **there},
            plan.model_slot,
            device=device,
            channels_last=_channels_last(plan, device),
        )

    return made


def _channels_last(plan: Plan, device: torch.device) -> bool:
    """The memory layout of a denoiser that learns: on a CPU, norms are differentiated sooner row by row."""
    asked = plan.runtime.channels_last
    return device.type != "cpu" if asked == "auto" else asked


def _cache(plan: Plan) -> Path | None:
    return getattr(_one(plan, "train").config, "cache", None)


def _caches(
    plan: Plan, codec: Codec, text_encoder: TextEncoder | None, folder: Path | None, device: torch.device
) -> Caches:
    """What a folder holds of the codec and of a text encoder that nothing trains.

    Raises:
        CacheError: it is of other parts, or of parts that have changed since.
    """
    from glidepath.core import IdentityCodec
    from glidepath.plugins.train.cache.cached import CachedLatents, CachedTexts, Caches, store_of
    from glidepath.plugins.train.cache.identity import identity_of

    if folder is None:
        return Caches()
    latents = texts = None
    if type(codec) is not IdentityCodec:
        latents = CachedLatents(store_of(folder, "latents", identity_of(plan, "codec", codec)), codec)
    if text_encoder is not None and _keeps_text_encoder(_one(plan, "train").config, text_encoder):
        found = store_of(folder, "texts", identity_of(plan, "text_encoder", text_encoder))
        texts = CachedTexts(found, text_encoder, device)
    return Caches(latents, texts)


def _keeps_text_encoder(config: Any, text_encoder: TextEncoder) -> bool:
    """Whether no stage trains the text encoder."""
    from glidepath.plugins.train.run.learner import matching

    if getattr(config, "contrastive_steps", 0) or getattr(config, "facts_steps", 0):
        return False
    only = getattr(config, "only", None)
    names = [f"text_encoder.{name}" for name, _ in text_encoder.named_parameters()]
    frozen = only is not None and not matching(names, only)
    return frozen or getattr(config, "text_encoder_rate", 1.0) == 0


def guests(plan: Plan, catalogue: Catalogue) -> list[Listener]:
    """The parts of a spec that are told what happens: alerts, trackers, and what other plugins add.

    Raises:
        GlidepathError: one could not be built.
    """
    from glidepath.core import Listener
    from glidepath.registry import build_parts

    slots = [
        slot
        for slot in plan.parts
        if slot not in ("data", "train") and slot in catalogue.slots and not catalogue.slots[slot].sampling
    ]
    built = build_parts(plan, slots, catalogue).values()
    made = [part for parts in built for part in (parts if isinstance(parts, tuple) else (parts,))]
    return [part for part in made if isinstance(part, Listener)]


def training_tree(plan: Plan) -> dict[str, Any]:
    """The plan's tree without weights of what is trained, with absolute paths: it holds in any folder.

    Under `train.lora` the weights stay, and so does what says where they are.
    """
    stays = getattr(_one(plan, "train").config, "lora", None) is not None
    tree = resolved_tree(plan.parts, plan.runtime, plan.weights if stays else None)
    if "plugins" in plan.tree:
        tree["plugins"] = plan.tree["plugins"]
    for slot in () if stays else trained_slots(plan):
        tree.get(slot, {}).pop("weights", None)
    return tree


def _located(plan: Plan) -> frozenset[str]:
    """The keys of what says where the dataset lies, and those inside it."""
    return frozenset(_places(_one(plan, "data"), "data"))


def _places(part: PartPlan, key: str) -> Iterator[str]:
    config = part.config
    for field in () if config is None else attrs.fields(type(config)):
        if isinstance(getattr(config, field.name), Path) or field.name in getattr(config, "LOCATED", ()):
            yield f"{key}.{field.name}"
    for name, inner in part.parts.items():
        if isinstance(inner, PartPlan):
            yield from _places(inner, f"{key}.{name}")
        else:
            for index, one in enumerate(inner):
                yield from _places(one, f"{key}.{name}[{index}]")


def _one(plan: Plan, slot: str) -> PartPlan:
    part = plan.parts[slot]
    assert isinstance(part, PartPlan)  # the kind of the slot takes one
    return part


def _begins_with_weights(plan: Plan) -> bool:
    return "train" in plan.parts and bool(getattr(_one(plan, "train").config, "init_from_weights", False))


def _has_weights(plan: Plan) -> bool:
    own = [_one(plan, slot).weights for slot in trained_slots(plan) if slot in plan.parts]
    inner = _one(plan, "train").parts.values()
    own += [part.weights for part in inner if isinstance(part, PartPlan)]
    return plan.weights is not None or any(own)
