"""What an image of a plan costs: parameters, memory and FLOPs, from shapes alone. No weights are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from glidepath.core.errors import GlidepathError
from glidepath.registry.assembly.asked import evaluations_of, request_of
from glidepath.registry.assembly.flops import flop_counter
from glidepath.registry.assembly.pipelines import pipeline_of
from glidepath.registry.text.problems import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch._subclasses.fake_tensor import FakeTensorMode

    from glidepath.core.conditioning import Conditioning
    from glidepath.core.denoiser import Predict
    from glidepath.core.generator import Generator
    from glidepath.core.guidance import Guidance
    from glidepath.core.image_pipeline import ImagePipeline
    from glidepath.core.levels import NoiseLevels
    from glidepath.core.pipeline import Pipeline
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
        prompt, while the "model" is prepared and evaluated under guidance, while the "codec" decodes.
    steps: of the sampler.
    evaluations: of the guided denoiser; a sampler of higher order has several in a step.
    rows: how many rows the denoiser sees in one evaluation; 2 under classifier-free guidance.
    flops: 2 for each multiply-add of matrix products, convolutions and attention, as networks are written: a
        kernel that does with fewer on some device is not told. "text_encoder", "prepare" (of the model) and
        "codec" occur once; "model" is one evaluation of a denoiser under guidance, at the first step; where
        guidance changes from step to step, at the dearest of the first, middle and last. All that a
        generator does is one evaluation.
    gradient_bytes: how much of the denoiser's `activations` is for guidance by gradient, of a classifier or a
        CLIP.
    gradient_flops: how much of one evaluation is.
    offloaded_bytes: the most bytes of weights and activations on the device at a time with
        `runtime.offload: parts`.
    layer_bytes: the same with `layers`, where nothing is computed once that layers give alike in each step.
    inputs, texts, classes: what a request may give beside its prompts: pictures by name with what each is
        for, names of texts, and one of so many classes.
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
    inputs: Mapping[str, str] = attrs.field(factory=dict)
    texts: Sequence[str] = ()
    classes: int | None = None

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
        return sum(self.flops.values()) + (self.evaluations - 1) * self.flops["model"]


class WrongSize(UsageError):
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
    from glidepath.core.pipeline import Pipeline

    pipelines = {name: _without_memory(stage, catalogue) for name, stage in plan.pipelines().items()}
    sizes: list[Sequence[int] | None] = [size] * len(pipelines)
    diffusing = {name: one for name, one in pipelines.items() if isinstance(one, Pipeline)}
    cascade = Cascade(diffusing) if plan.stages else None
    if size is not None:
        try:
            sizes = [*cascade.sizes(size)] if cascade else sizes
            for pipeline, own in zip(pipelines.values(), sizes, strict=True):
                pipeline.latent_shape(own)
        except PartError as error:
            raise WrongSize(str(error)) from error
    costs = {}
    for index, (name, stage) in enumerate(plan.pipelines().items()):
        pipeline, own, fake = pipelines[name], sizes[index], FakeTensorMode(allow_non_fake_inputs=True)
        try:
            _pretend_cpu(pipeline, fake)
            if isinstance(pipeline, Pipeline):
                levels = cascade.grids(size=size)[index] if cascade else pipeline.levels(None, size)
                costs[name] = _measure(pipeline, fake, own, levels, stage.runtime)
            else:
                costs[name] = _measure_generator(pipeline, fake, own, stage.runtime)
        except Exception as error:
            raise CannotMeasure(f"this plan cannot be measured: {type(error).__name__}: {error}") from error
    return costs


def _without_memory(plan: Plan, catalogue: Catalogue) -> ImagePipeline:
    """The pipeline of a plan without stages, with networks on the device `meta`."""
    import torch

    from glidepath.registry.assembly.build import build_parts
    from glidepath.registry.assembly.devices import choose_device, dtype_of

    dtype = dtype_of(plan, choose_device(plan.runtime.device))
    parts = build_parts(plan, _OTHERS, catalogue, load=False)
    with torch.device("meta"):
        slots = (*_NETWORKS, plan.model_slot)
        parts |= build_parts(plan, slots, catalogue, load=False)
    return pipeline_of(parts, plan.model_slot, device="meta", dtype=dtype)


def _pretend_cpu(pipeline: ImagePipeline, fake: FakeTensorMode) -> None:
    """Give the networks tensors that have no memory and say that they are on the CPU.

    Those of the device `meta` would do, but for networks that switch autocast off: it knows no `meta`.
    """
    import torch

    guidance = getattr(pipeline, "guidance", ())
    holders = [pipeline.model, *pipeline.conditioners, pipeline.codec, *guidance]
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
    from glidepath.registry.assembly.devices import choose_device
    from glidepath.registry.assembly.reduced import bytes_apart

    cpu, quantized = choose_device(runtime.device).type == "cpu", runtime.quantize != "none"

    def walked(guidances: Sequence[Guidance], layers: Mapping[nn.Module, int]) -> _Cost:
        return _walked(pipeline, guidances, fake, size, levels, cpu, layers)

    layers = {
        layer: held
        for network in pipeline.networks().values()
        for layer, held in bytes_apart(network, quantized).items()
    }
    whole = walked(pipeline.guidance, {})
    by_layers = walked(pipeline.guidance, layers) if layers else whole
    running = layers if runtime.offload == "layers" else {}
    cost = by_layers if running else whole
    without = list(_without_gradients(pipeline.guidance))
    plain = walked(without, running) if len(without) < len(pipeline.guidance) else cost
    return attrs.evolve(
        _of_networks(pipeline, whole, by_layers, runtime),
        steps=len(levels),
        evaluations=evaluations_of(pipeline, levels),
        flops=cost.flops,
        gradient_bytes=max(0, cost.peaks["model"] - plain.peaks["model"]),
        gradient_flops=max(0, cost.flops["model"] - plain.flops["model"]),
    )


def _measure_generator(
    pipeline: ImagePipeline, fake: FakeTensorMode, size: Sequence[int] | None, runtime: Runtime
) -> Measurement:
    import torch

    from glidepath.registry.assembly.devices import choose_device
    from glidepath.registry.assembly.held import watch

    counter = flop_counter()
    model = cast("Generator", pipeline.model)
    with fake, torch.inference_mode(), watch(choose_device(runtime.device).type == "cpu") as memory, counter:
        request = request_of(pipeline, None, size)
        conditioning = pipeline.conditioning(request).only(model.reads)
        text, peaks = counter.get_total_flops(), {"text_encoder": memory.peak()}
        x = torch.empty((1, *pipeline.latent_shape(size)))
        *_, last = model.states(conditioning, x, request.noise())
        made, peaks["model"] = counter.get_total_flops() - text, memory.peak()
        pipeline.codec.decode(last.x)
        codec, peaks["codec"] = counter.get_total_flops() - text - made, memory.peak()
    flops = {"text_encoder": text, "prepare": 0, "model": made, "codec": codec}
    cost = _Cost(flops=flops, rows=1, peaks=peaks)
    return attrs.evolve(_of_networks(pipeline, cost, cost, runtime), steps=last.total)


def _of_networks(pipeline: ImagePipeline, cost: _Cost, by_layers: _Cost, runtime: Runtime) -> Measurement:
    """What the networks of a pipeline take, of which one evaluation costs so much.

    by_layers: what it costs where layers wait.
    """
    from glidepath.core.image_pipeline import TURNS
    from glidepath.registry.assembly.devices import choose_device
    from glidepath.registry.assembly.reduced import bytes_apart, bytes_of

    networks, quantized = pipeline.networks().items(), runtime.quantize != "none"
    weights = {name: held for name, part in networks if (held := bytes_of(part, quantized))}
    apart = {name: sum(bytes_apart(part, quantized).values()) for name, part in networks}
    staying = {name: held - apart[name] for name, held in weights.items()}

    def at_most(cost: _Cost, held: Mapping[str, int]) -> int:
        return max(
            cost.peaks[turn] + sum(size for name, size in held.items() if name.partition("[")[0] in slots)
            for turn, slots in TURNS.items()
        )

    return Measurement(
        parameters=pipeline.parameters(),
        device=str(choose_device(runtime.device)),
        dtype=str(pipeline.dtype).removeprefix("torch."),
        weights=weights,
        activations=cost.peaks,
        steps=1,
        evaluations=1,
        rows=cost.rows,
        flops=cost.flops,
        offloaded_bytes=at_most(cost, weights),
        layer_bytes=at_most(by_layers, staying),
        inputs={name: input.summary for name, input in pipeline.inputs.items()},
        texts=pipeline.texts,
        classes=pipeline.num_classes,
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
    layers: Mapping[nn.Module, int],
) -> _Cost:
    """The cost of a walk under some guidances, from an evaluation, or three where it varies by step.

    layers: those whose bytes are on the device while they run, and are in the peaks.
    """
    import torch

    from glidepath.core.guidance import GuidanceModifier, fold
    from glidepath.registry.assembly.held import watch, while_they_run

    counter = flop_counter()
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
        request = request_of(pipeline, levels, size)
        with watch(cpu) as memory, while_they_run(layers, memory), counter:
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
            peaks["model"] = memory.peak()
            del predict, conditioning  # a pipeline holds neither when it decodes
            before = counter.get_total_flops()
            memory.peak()
            pipeline.codec.decode(x)
            codec, peaks["codec"] = counter.get_total_flops() - before, memory.peak()
    flops = {"text_encoder": text, "prepare": prepare, "model": evaluation, "codec": codec}
    return _Cost(flops=flops, rows=rows, peaks=peaks)


def _without_gradients(guidances: Iterable[Guidance]) -> Iterator[Guidance]:
    """The guidances that take no gradient, without what modifies one that does."""
    from glidepath.core.guidance import GuidanceModifier

    dropped = False
    for guidance in guidances:
        dropped = dropped if isinstance(guidance, GuidanceModifier) else guidance.differentiates
        if not dropped:
            yield guidance
