"""What the sampling loop promises: computed once, read never, the same image whoever else is there."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from glidepath.core.levels import NoiseLevels
from glidepath.core.noise import Noise, PerSampleNoise
from glidepath.core.pipeline import Pipeline
from glidepath.core.sampler import Sampler, State
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.unet import AdmUNet
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.plugins.samplers.configs import DdimConfig, DdpmConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.samplers.ddpm import DdpmSampler
from glidepath.plugins.schedules.configs import CosineConfig
from glidepath.plugins.schedules.cosine import CosineSchedule
from glidepath.plugins.text.configs import TransformerConfig, WordsConfig
from glidepath.plugins.text.transformer import TransformerTextEncoder
from glidepath.plugins.text.words import WordsTokenizer

STEPS = 5
SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "ddim": lambda: DdimSampler(DdimConfig(steps=STEPS)),
    "ddim-eta": lambda: DdimSampler(DdimConfig(steps=STEPS, eta=0.6)),
    "ddpm": lambda: DdpmSampler(DdpmConfig(steps=STEPS, variance="learned-range")),
}
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)
PROMPTS = ["a red circle", "a blue circle", "a red square", "a circle", "a blue square", "", "red", "blue"]


def small_pipeline(sampler: str = "ddim", scale: float = 3.0, device: str = "cpu") -> Pipeline:
    """GLIDE's parts in small, with random weights and none of them 0."""
    torch.manual_seed(0)
    unet = AdmUNet(
        AdmUNetConfig(
            image_size=8,
            channels=32,
            channel_mult=(1, 2),
            res_blocks=1,
            attention_resolutions=(4,),
            head_channels=16,
            text_width=32,
        )
    )
    for parameter in unet.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    words = WordsTokenizer(WordsConfig(vocabulary=("a", "red", "blue", "circle", "square")))
    text = TransformerConfig(width=32, layers=1, heads=2, context=8, pooled_width=128)
    return Pipeline(
        schedule=CosineSchedule(CosineConfig()),
        denoiser=unet,
        sampler=SAMPLERS[sampler](),
        text_encoder=TransformerTextEncoder(text, tokenizer=words),
        guidance=[ClassifierFreeGuidance(ClassifierFreeConfig(scale=scale))],
        device=device,
    )


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    return {name: small_pipeline(name) for name in SAMPLERS}


def walk(pipeline: Pipeline, prompts: list[str], **how: Any) -> Tensor:
    """The images before they are rounded."""
    *_, last = pipeline.states(prompts, **how)
    return last.x


@contextmanager
def calls_of(network: nn.Module) -> Iterator[Counter[str]]:
    """How often each module inside a network was called, by name."""
    calls: Counter[str] = Counter()
    handles = [
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, module in network.named_modules()
    ]
    yield calls
    for handle in handles:
        handle.remove()


def test_the_text_encoder_embeds_each_different_prompt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, embedded = small_pipeline(), Counter[str]()
    encoder: Any = pipeline.text_encoder
    forward = encoder.forward

    def counted(prompts: list[str]) -> object:
        embedded.update(prompts)
        return forward(prompts)

    monkeypatch.setattr(encoder, "forward", counted)
    walk(pipeline, ["a red circle", "a blue square", "a red circle", "a red circle"])
    assert embedded == {"a red circle": 1, "a blue square": 1, "": 1}


def test_what_does_not_change_from_step_to_step_is_computed_once() -> None:
    """The text's keys and values, the timestep's embedding, and its projection for each residual block."""
    pipeline = small_pipeline()
    names = [name for name, _ in pipeline.denoiser.named_modules()]
    once = [
        name
        for name in names
        if name.endswith(("encoder_kv", "emb_layers.1", "time_embed.0", "time_embed.2"))
    ]
    assert len([name for name in once if name.endswith("encoder_kv")]) == 4
    with calls_of(pipeline.denoiser) as calls:
        walk(pipeline, ["a red circle", "a circle"])
    assert {name: calls[name] for name in once} == dict.fromkeys(once, 1)
    assert calls["input_blocks.0.0"] == calls["out.2"] == STEPS


@pytest.mark.parametrize(("scale", "rows"), [(3.0, 4), (0.0, 4), (1.0, 2)])
def test_a_step_is_one_forward(scale: float, rows: int) -> None:
    """Of 2B rows under guidance; of B at scale 1, where there is nothing to compare with."""
    pipeline, seen = small_pipeline(scale=scale), list[int]()
    entrance: Any = pipeline.denoiser.get_submodule("input_blocks.0.0")
    entrance.register_forward_hook(lambda _module, given, _output: seen.append(len(given[0])))
    walk(pipeline, ["a red circle", "a circle"])
    assert seen == [rows] * STEPS


class OperatorsWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that run, and forbids those that need a value on the host."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ran = 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        indices = [index for index in args[1] if index is not None] if name == "index" else []
        reads = name in READING_OPERATORS or any(index.dtype == torch.bool for index in indices)
        assert not reads, f"{operator} reads values back"
        self.ran += 1
        return operator(*args, **(kwargs or {}))


class MethodsWatch(TorchFunctionMode):
    """Forbids the methods that hand a tensor's values to Python."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        assert name not in READING_METHODS, f"Tensor.{name} reads values back"
        return function(*args, **(kwargs or {}))


READING_OPERATORS = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select"}
READING_METHODS = {
    "tolist",
    "numpy",
    "__array__",
    "cpu",
    "item",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
}


@contextmanager
def watched() -> Iterator[OperatorsWatch]:
    """Nothing may be read back."""
    with MethodsWatch(), OperatorsWatch() as operators:
        yield operators


@every_sampler
def test_nothing_is_read_back_between_the_first_step_and_the_last(
    sampler: str, pipelines: dict[str, Pipeline]
) -> None:
    states = pipelines[sampler].states(["a red circle", "a circle"])
    next(states)
    with watched():
        assert [state.index for state in islice(states, STEPS - 1)] == list(range(2, STEPS + 1))


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x[0].item(),
        lambda x: float(x[0]),
        lambda x: 1 if x[0] > 0 else 2,
        lambda x: bool((x > 0).any()),
        lambda x: range(x.long()[0]),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: x[x > 0],
        lambda x: torch.equal(x, x),
        lambda x: x.cpu(),
        lambda x: torch.full((2,), x[0]),
    ],
)
def test_the_watch_sees_a_value_that_is_read(read: Callable[[Tensor], object]) -> None:
    with torch.inference_mode(), watched(), pytest.raises(AssertionError, match="back"):
        read(torch.ones(2))


@pytest.mark.gpu
@every_sampler
def test_a_gpu_is_never_waited_for_between_the_first_step_and_the_last(sampler: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    states = small_pipeline(sampler, device="cuda").states(["a red circle", "a circle"])
    next(states)
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert len(list(islice(states, STEPS - 1))) == STEPS - 1
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("sampler", "most"), [("ddim", 16), ("ddim-eta", 22), ("ddpm", 26)])
def test_a_step_runs_few_operators_outside_the_network(
    sampler: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views count: each costs its dispatch, which is what a step costs where the network is small."""
    pipeline = small_pipeline(sampler)
    output = torch.randn(2, 6, 8, 8)
    monkeypatch.setattr(pipeline.denoiser, "trunk", lambda *_: output)
    states = pipeline.states(["a red circle"])
    next(states)
    with watched() as operators:
        next(states)
    assert operators.ran <= most


class Remembering(Sampler):
    """A sampler that remembers what it started from."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler, self.steps = sampler, sampler.steps

    def states(self, predict: Any, x: Tensor, levels: NoiseLevels, noise: Noise) -> Iterator[State]:
        self.began = x.clone()
        return self.sampler.states(predict, x, levels, noise)


@every_sampler
def test_an_image_is_the_same_alone_and_in_a_batch(sampler: str, pipelines: dict[str, Pipeline]) -> None:
    """Its noise bit for bit; its pixels to 1e-3, as kernels round otherwise in a batch of another size."""
    pipeline = small_pipeline(sampler)
    pipeline.sampler = remembering = Remembering(pipeline.sampler)
    prompts = [*PROMPTS[:6], PROMPTS[0], PROMPTS[3]]
    together = walk(pipeline, prompts, seed=11)
    starts = remembering.began
    for row, (prompt, sample) in enumerate(zip(prompts, [0] * 6 + [1] * 2, strict=True)):
        alone = walk(pipeline, [prompt], seed=11, samples=[sample])
        assert torch.equal(remembering.began[0], starts[row])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-3)


@every_sampler
def test_every_prompt_seed_and_sample_makes_an_image_of_its_own(
    sampler: str, pipelines: dict[str, Pipeline]
) -> None:
    """Else the other tests would hold for a pipeline that always makes the same one."""
    pipeline = pipelines[sampler]
    images = [
        walk(pipeline, ["a red circle"], seed=1),
        walk(pipeline, ["a red circle"], seed=2),
        walk(pipeline, ["a blue circle"], seed=1),
        walk(pipeline, ["a red circle"], seed=1, samples=[1]),
    ]
    for index, image in enumerate(images):
        assert all(float((image - other).abs().max()) > 0.1 for other in images[:index])


@pytest.mark.thorough
@every_sampler
def test_threads_that_share_a_pipeline_make_the_images_that_one_makes_alone(
    sampler: str, pipelines: dict[str, Pipeline]
) -> None:
    pipeline = pipelines[sampler]

    def make(number: int) -> Tensor:
        return walk(pipeline, PROMPTS[number : number + 1 + number % 3], seed=number)

    alone = [make(number) for number in range(5)]
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(make, range(5)))
    for one, other in zip(alone, shared, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@every_sampler
def test_walks_taken_in_turns_do_not_disturb_each_other(sampler: str, pipelines: dict[str, Pipeline]) -> None:
    pipeline = pipelines[sampler]
    expected = [walk(pipeline, [prompt], seed=3) for prompt in PROMPTS[:3]]
    turns = list(zip(*(pipeline.states([prompt], seed=3) for prompt in PROMPTS[:3]), strict=True))
    assert all(torch.equal(state.x, image) for state, image in zip(turns[-1], expected, strict=True))


@every_sampler
def test_a_walk_that_is_cancelled_leaves_nothing_behind(sampler: str, pipelines: dict[str, Pipeline]) -> None:
    """Neither memory (without the garbage collector's help) nor anything that changes the next walk."""
    pipeline = pipelines[sampler]
    expected = walk(pipeline, ["a red circle"], seed=5)
    state_of = {name: tensor.clone() for name, tensor in pipeline.denoiser.state_dict().items()}
    attributes = set(vars(pipeline)), set(vars(pipeline.sampler)), set(vars(pipeline.denoiser))
    gc.collect()
    gc.disable()
    try:
        states: Any = pipeline.states(["a red circle"], seed=5)
        held = [weakref.ref(tensor) for state in islice(states, 3) for tensor in (state.x, state.sample)]
        states.close()
        assert [reference() for reference in held] == [None] * 6
    finally:
        gc.enable()
    assert (set(vars(pipeline)), set(vars(pipeline.sampler)), set(vars(pipeline.denoiser))) == attributes
    assert all(torch.equal(tensor, state_of[name]) for name, tensor in pipeline.denoiser.state_dict().items())
    assert torch.equal(walk(pipeline, ["a red circle"], seed=5), expected)


class Failing(PerSampleNoise):
    """Noise that cannot be drawn at the third step."""

    def step(self, index: int, like: Tensor) -> Tensor:
        if index == 2:
            raise OSError("no entropy")
        return super().step(index, like)


def test_inference_mode_stays_inside_the_steps(pipelines: dict[str, Pipeline]) -> None:
    """Not between two states, not after the last, not after a walk that was cancelled or that failed."""

    def outside() -> bool:
        return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()

    pipeline = pipelines["ddpm"]
    states: Any = pipeline.states(["a circle"])
    assert outside()
    for state in states:
        assert outside()
        assert state.x.is_inference()
    assert outside()
    states = pipeline.states(["a circle"])
    next(states)
    states.close()
    assert outside()
    with pytest.raises(OSError, match="no entropy"):
        walk(pipeline, ["a circle"], noise=Failing([(0, 0)]))
    assert outside()
