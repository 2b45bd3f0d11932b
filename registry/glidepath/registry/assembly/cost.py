"""What an image of a plan costs: parameters, memory and FLOPs, from shapes alone. No weights are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.core.errors import GlidepathError

if TYPE_CHECKING:
    from torch import Tensor
    from torch._subclasses.fake_tensor import FakeTensorMode

    from glidepath.core.conditioning import Conditioning
    from glidepath.core.denoiser import Predict
    from glidepath.core.guidance import Guidance
    from glidepath.core.levels import NoiseLevels
    from glidepath.core.pipeline import Pipeline
    from glidepath.core.request import Request
    from glidepath.core.sampler import State
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.parts import Runtime
    from glidepath.registry.plan.plan import Plan

_NETWORKS = ("text_encoder", "conditioners", "denoiser", "guidance", "codec")
_OTHERS = ("schedule", "sampler", "handover")


class CannotMeasure(GlidepathError):
    """A part does something that shapes alone cannot answer; what it raised is the cause."""


@attrs.frozen(kw_only=True)
class Measurement:
    """The cost of one image.

    parameters: how many each network has, by slot.
    device, dtype: where and in which precision the plan runs here.
    weights: the bytes of each network's parameters and buffers in the precision that it runs in.
    activations: the most bytes that are held at a time beside the weights: while a "text_encoder" reads the
        prompt, while the "denoiser" is prepared and evaluated under guidance, while the "codec" decodes.
    steps: of the sampler.
    evaluations: of the guided denoiser; a sampler of higher order has several in a step.
    rows: how many rows the denoiser sees in one evaluation; 2 under classifier-free guidance.
    flops: 2 for each multiply-add of matrix products, convolutions and attention. "text_encoder", "prepare"
        (of the denoiser) and "codec" occur once; "denoiser" is one evaluation under guidance, at the first
        step; where guidance changes from step to step, at the dearest of the first, middle and last.
    gradient_bytes: how much of the denoiser's `activations` is for guidance by gradient, of a classifier or a
        CLIP.
    gradient_flops: how much of one evaluation is.
    offloaded_bytes: the most bytes of weights and activations at a time with `runtime.offload: parts`.
    layer_bytes: the same with `layers`.
    """

    parameters: Mapping[str, int]
    device: str
    dtype: str
    weights: Mapping[str, int]
    activations: Mapping[str, int]
    steps: int
    evaluations: int
    rows: int
    flops: Mapping[str, int]
    gradient_bytes: int = 0
    gradient_flops: int = 0
    offloaded_bytes: int = 0
    layer_bytes: int = 0

    @property
    def weight_bytes(self) -> int:
        """The bytes of all networks together."""
        return sum(self.weights.values())

    @property
    def activation_bytes(self) -> int:
        """The most bytes that are held at a time beside the weights."""
        return max(self.activations.values())

    @property
    def memory_bytes(self) -> int:
        """The most bytes that are held at a time, all networks being there."""
        return self.weight_bytes + self.activation_bytes

    @property
    def total_flops(self) -> int:
        """FLOPs of the whole image."""
        return sum(self.flops.values()) + (self.evaluations - 1) * self.flops["denoiser"]


class WrongSize(GlidepathError):
    """A model makes no images of the size that was asked for."""


def measure(plan: Plan, catalogue: Catalogue, size: Sequence[int] | None = None) -> dict[str, Measurement]:
    """The cost of each pipeline of a plan, by the name of its stage; of a plan without stages, under "".

    The networks are built without memory behind their tensors, and one evaluation runs.

    size: (H, W) of the image in pixels; None: what the model was made for. Earlier stages of a cascade
        make images that are smaller in proportion.

    Raises:
        WrongSize: it makes no images of that size.
        CannotMeasure: a part needs more than shapes, such as a value that it reads back.
        GlidepathError: a part cannot be built.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    from glidepath.core.cascade import Cascade
    from glidepath.core.errors import PartError

    pipelines = {name: _without_memory(stage, catalogue) for name, stage in plan.pipelines().items()}
    sizes: list[Sequence[int] | None] = [size] * len(pipelines)
    cascade = Cascade(pipelines) if plan.stages else None
    if size is not None:
        try:
            sizes = [*cascade.sizes(size)] if cascade else sizes
            for pipeline, own in zip(pipelines.values(), sizes, strict=True):
                pipeline.latent_shape(own)
        except PartError as error:
            raise WrongSize(str(error)) from error
    grids = cascade.grids(size=size) if cascade else [pipelines[""].levels(None, size)]
    costs = {}
    for (name, stage), own, levels in zip(plan.pipelines().items(), sizes, grids, strict=True):
        fake = FakeTensorMode(allow_non_fake_inputs=True)
        try:
            _pretend_cpu(pipelines[name], fake)
            costs[name] = _measure(pipelines[name], fake, own, levels, stage.runtime)
        except Exception as error:
            raise CannotMeasure(f"this plan cannot be measured: {type(error).__name__}: {error}") from error
    return costs


def _without_memory(plan: Plan, catalogue: Catalogue) -> Pipeline:
    """The pipeline of a plan without stages, with networks on the device `meta`."""
    import torch

    from glidepath.core.pipeline import Pipeline
    from glidepath.registry.assembly.build import build_parts, choose_device, choose_dtype

    dtype = choose_dtype(plan.runtime.dtype, choose_device(plan.runtime.device))
    parts = build_parts(plan, _OTHERS, catalogue, load=False)
    with torch.device("meta"):
        parts |= build_parts(plan, _NETWORKS, catalogue, load=False)
    return Pipeline(**parts, device="meta", dtype=dtype)


def _pretend_cpu(pipeline: Pipeline, fake: FakeTensorMode) -> None:
    """Give the networks tensors that have no memory and say that they are on the CPU.

    Those of the device `meta` would do, but for networks that switch autocast off: it knows no `meta`.
    """
    import torch

    holders = [pipeline.denoiser, *pipeline.conditioners, pipeline.codec, *pipeline.guidance]
    with fake:
        for holder in holders:
            for module in (holder, *getattr(holder, "__dict__", {}).values()):
                if isinstance(module, torch.nn.Module):
                    module.to_empty(device="cpu")
    pipeline.device = torch.device("cpu")


def _measure(
    pipeline: Pipeline,
    fake: FakeTensorMode,
    size: Sequence[int] | None,
    levels: NoiseLevels,
    runtime: Runtime,
) -> Measurement:
    from glidepath.core.pipeline import TURNS
    from glidepath.registry.assembly.build import choose_device
    from glidepath.registry.assembly.reduced import bytes_by_layers, bytes_of

    device, quantized = choose_device(runtime.device), runtime.quantize != "none"
    cpu = device.type == "cpu"
    networks = pipeline.networks().items()
    weights = {name: held for name, part in networks if (held := bytes_of(part, quantized))}
    by_layers = {name: bytes_by_layers(part, quantized) for name, part in networks}

    def at_most(held: Mapping[str, int]) -> int:
        return max(
            cost.peaks[turn] + sum(size for name, size in held.items() if name.partition("[")[0] in slots)
            for turn, slots in TURNS.items()
        )

    cost = _walked(pipeline, pipeline.guidance, fake, size, levels, cpu)
    without = list(_without_gradients(pipeline.guidance))
    differentiates = len(without) < len(pipeline.guidance)
    plain = _walked(pipeline, without, fake, size, levels, cpu) if differentiates else cost
    return Measurement(
        parameters=pipeline.parameters(),
        device=str(device),
        dtype=str(pipeline.dtype).removeprefix("torch."),
        weights=weights,
        activations=cost.peaks,
        steps=len(levels),
        evaluations=_evaluations(pipeline, levels),
        rows=cost.rows,
        flops=cost.flops,
        gradient_bytes=max(0, cost.peaks["denoiser"] - plain.peaks["denoiser"]),
        gradient_flops=max(0, cost.flops["denoiser"] - plain.flops["denoiser"]),
        offloaded_bytes=at_most(weights),
        layer_bytes=at_most(by_layers),
    )


@attrs.frozen(kw_only=True)
class _Cost:
    """What a walk takes: `flops`, `rows` and `activations` (peaks) of a Measurement."""

    flops: Mapping[str, int]
    rows: int
    peaks: Mapping[str, int]


def _walked(
    pipeline: Pipeline,
    guidances: Sequence[Guidance],
    fake: FakeTensorMode,
    size: Sequence[int] | None,
    levels: NoiseLevels,
    cpu: bool,
) -> _Cost:
    """The cost of a walk under some guidances, from an evaluation, or three where it varies by step."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from glidepath.core.guidance import GuidanceModifier, fold
    from glidepath.registry.assembly.held import watch

    # torch counts attention on accelerators, and not what the CPU has for it
    attention = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
    }
    counter: Any = FlopCounterMode(display=False, custom_mapping=attention)
    counter.mod_tracker = _NoModules()

    seen = 0

    def bind(conditioning: Conditioning) -> Predict:
        predict = pipeline.prepare(conditioning, levels)

        def counted(x: Tensor, step: Any) -> Any:
            nonlocal seen
            seen += x.shape[0]
            return predict(x, step)

        return counted

    steps = list(levels.steps("cpu"))
    varies = any(isinstance(guidance, GuidanceModifier) for guidance in guidances)
    visited = sorted({0, len(steps) // 2, len(steps) - 1}) if varies else [0]
    # as the pipeline does: autograd refuses the tensors of inference mode
    differentiates = any(guidance.differentiates for guidance in guidances)
    with fake, torch.no_grad() if differentiates else torch.inference_mode():
        x = torch.empty((1, *pipeline.latent_shape(size)))
        request = _request(pipeline, levels, size)
        with watch(cpu) as memory, counter:
            conditioning = pipeline.conditioning(request)
            text, peaks = counter.get_total_flops(), {"text_encoder": memory.peak()}
            predict = fold(guidances, bind, levels)(conditioning)
            evaluations = []
            for index in visited:
                predict(x, steps[index])  # what is prepared in a first evaluation is not in others
                before, seen = counter.get_total_flops(), 0
                predict(x, steps[index])
                evaluations.append((counter.get_total_flops() - before, seen))
            evaluation, rows = max(evaluations)
            prepare = counter.get_total_flops() - text - 2 * sum(flops for flops, _ in evaluations)
            peaks["denoiser"] = memory.peak()
            del predict, conditioning  # a pipeline holds neither when it decodes
            before = counter.get_total_flops()
            memory.peak()
            pipeline.codec.decode(x)
            codec, peaks["codec"] = counter.get_total_flops() - before, memory.peak()
    flops = {"text_encoder": text, "prepare": prepare, "denoiser": evaluation, "codec": codec}
    return _Cost(flops=flops, rows=rows, peaks=peaks)


def _without_gradients(guidances: Iterable[Guidance]) -> Iterator[Guidance]:
    """The guidances that take no gradient, without what modifies one that does."""
    from glidepath.core.guidance import GuidanceModifier

    dropped = False
    for guidance in guidances:
        dropped = dropped if isinstance(guidance, GuidanceModifier) else guidance.differentiates
        if not dropped:
            yield guidance


def _request(pipeline: Pipeline, levels: NoiseLevels, size: Sequence[int] | None) -> Request:
    """One image, with the pictures that it cannot be made without, those of any size a quarter of its own.

    With a class label where there are classes, or for a denoiser that refuses to go without one.
    """
    import torch

    from glidepath.core.errors import PartError
    from glidepath.core.request import Request

    whole = size or pipeline.image_size
    sides = {"image": whole, "any": [max(1, side // 4) for side in whole]}
    inputs = {
        name: torch.empty((1, 3, *sides[input.size]), dtype=torch.uint8)
        for name, input in pipeline.inputs.items()
        if input.required
    }
    request = Request(prompts=[""], inputs=inputs, size=size)
    labelled = attrs.evolve(request, labels=[0])
    if pipeline.num_classes is None:
        try:
            pipeline.prepare(pipeline.conditioning(request), levels)
        except PartError:
            return labelled
        return request
    return labelled


def _attention_flops(q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any) -> int:
    """Of shapes [B, H, L, c]: the products q k^T, and those of the weights with v."""
    batch, heads, queries, width = q
    return 2 * batch * heads * queries * k[-2] * (width + v[-1])


def _attention_backward_flops(
    _grad: Any, q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any
) -> int:
    """Five products where forward has two: q k^T again, and one for each gradient, of the weights too."""
    batch, heads, queries, width = q
    return 2 * batch * heads * queries * k[-2] * (3 * width + 2 * v[-1])


class _NoModules(nullcontext[None]):
    """In place of what tells a counter which module runs: torch's refuses gradients of a module's input."""

    parents = ("Global",)


def _evaluations(pipeline: Pipeline, levels: NoiseLevels) -> int:
    """How often the sampler asks its predictor, found by a walk over a single number."""
    import torch

    from glidepath.core.noise import PerSampleNoise
    from glidepath.core.prediction import Prediction

    calls = 0

    def predict(x: Tensor, step: Any) -> Prediction:
        nonlocal calls
        calls += 1
        zeros = torch.zeros_like(x)
        fraction = zeros if pipeline.denoiser.learned_variance else None
        return Prediction(zeros, pipeline.denoiser.predicts, x, step, variance_fraction=fraction)

    x = torch.zeros((1,) * (1 + len(pipeline.denoiser.image_shape)))
    states: list[State] = list(pipeline.sampler.states(predict, x, levels, PerSampleNoise([(0, 0)])))
    return calls if states else 0
