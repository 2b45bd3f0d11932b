"""ADM's classifier, and guidance by its gradient. The numbers of the reference are in tests/parity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glidepath.core.conditioning import Condition, Conditioning
from glidepath.core.denoiser import Predict
from glidepath.core.errors import PartError
from glidepath.core.guidance import Guidance, fold
from glidepath.core.levels import Step
from glidepath.core.pipeline import Pipeline
from glidepath.core.prediction import Prediction
from glidepath.plugins.adm.classifier import Classifier
from glidepath.plugins.adm.classifier_config import AdmClassifierConfig, ClassifierGuidanceConfig
from glidepath.plugins.adm.classifier_guidance import ClassifierGuidance
from glidepath.plugins.adm.classifier_network import AdmClassifier
from glidepath.plugins.adm.configs import AdmUNetConfig
from glidepath.plugins.adm.faults import classifier_faults
from glidepath.plugins.adm.unet import AdmUNet
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig
from glidepath.plugins.samplers.configs import DdimConfig
from glidepath.plugins.samplers.ddim import DdimSampler
from glidepath.plugins.schedules.configs import CosineConfig
from glidepath.plugins.schedules.cosine import CosineSchedule

SMALL = AdmClassifierConfig(
    image_size=16,
    num_classes=6,
    channels=32,
    res_blocks=1,
    channel_mult=(1, 2),
    attention_resolutions=(8,),
    head_channels=16,
)
POOLS = ("adaptive", "attention", "spatial", "spatial_v2")


def network(**change: Any) -> AdmClassifier:
    """A small classifier with random weights and none of them 0."""
    torch.manual_seed(0)
    made = AdmClassifier(attrs.evolve(SMALL, **change))
    for parameter in made.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return made.eval().requires_grad_(False)


def images(batch: int = 2, size: int = 16) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("change", "parameters", "keys"),
    [
        pytest.param(
            {"image_size": 64, "res_blocks": 4, "channel_mult": (1, 2, 3, 4)}, 65_438_568, 307, id="64"
        ),
        pytest.param({"image_size": 128, "channel_mult": (1, 1, 2, 3, 4)}, 42_568_040, 221, id="128"),
        pytest.param({}, 54_096_360, 249, id="256"),
        pytest.param({"image_size": 512, "channel_mult": (0.5, 1, 1, 2, 2, 4, 4)}, 54_448_360, 281, id="512"),
    ],
)
def test_the_published_classifiers_have_the_published_parameters(
    change: dict[str, Any], parameters: int, keys: int
) -> None:
    with torch.device("meta"):
        classifier = AdmClassifier(attrs.evolve(AdmClassifierConfig(), **change))
    assert sum(parameter.numel() for parameter in classifier.parameters()) == parameters
    assert len(classifier.state_dict()) == keys


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_gives_a_logit_for_each_class(pool: str) -> None:
    logits = network(pool=pool)(images(), torch.tensor([3, 900]))
    assert logits.shape == (2, 6)
    assert logits.dtype == torch.float32


def test_spatial_v2_normalises_its_hidden_layer_and_has_silu_after_it() -> None:
    """By hand, from the means of every stage; no reference output of this pool was recorded."""
    classifier = network(pool="spatial_v2")
    means: list[Tensor] = []
    for stage in (*classifier.input_blocks, classifier.middle_block):
        stage.register_forward_hook(lambda _module, _inputs, h: means.append(h.mean(dim=(2, 3))))
    logits = classifier(images(), torch.tensor([3, 900]))
    first, norm, last = (
        dict(layer.named_parameters()) for layer in classifier.out if len(layer.state_dict())
    )
    hidden = F.linear(torch.cat(means, dim=1), first["weight"], first["bias"]).double().reshape(2, 32, -1)
    spread = (hidden.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    hidden = ((hidden - hidden.mean(-1, keepdim=True)) / spread).reshape(2, 2048)
    hidden = norm["weight"] * hidden + norm["bias"]
    expected = (hidden * torch.sigmoid(hidden)) @ last["weight"].double().T + last["bias"]
    torch.testing.assert_close(logits.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_half_precision_is_that_of_the_convolutions_and_attention_alone(pool: str) -> None:
    classifier = network(pool=pool, precision="bfloat16")
    for name, module in classifier.named_modules():
        dtypes = {parameter.dtype for parameter in module.parameters(recurse=False)}
        in_stages = name.startswith(("input_blocks", "middle_block"))
        convolution = isinstance(module, nn.Conv1d | nn.Conv2d)
        assert dtypes <= {torch.bfloat16 if in_stages and convolution else torch.float32}, name


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_sees_nearly_the_same(pool: str, precision: str) -> None:
    exact, rounded = network(pool=pool), network(pool=pool, precision=precision)
    t = torch.tensor([3, 900])
    expected = exact(images(), t)
    assert (rounded(images(), t) - expected).abs().max() < 0.05 * expected.abs().max()
    assert rounded(images(), t).dtype == torch.float32


def test_each_image_is_seen_by_itself() -> None:
    classifier, t = network(), torch.tensor([3, 900])
    torch.testing.assert_close(classifier(images(), t)[1:], classifier(images()[1:], t[1:]))


@pytest.mark.parametrize(
    ("pool", "x", "message"),
    [
        ("attention", torch.zeros(1, 3, 32, 32), "takes images of its image_size 16 alone, got"),
        ("adaptive", torch.zeros(1, 3, 15, 16), "multiples of 2 .* got .15, 16."),
        ("adaptive", torch.zeros(1, 4, 16, 16), r"takes x of \[B, 3, size, size\], got \[1, 4, 16, 16\]"),
        ("adaptive", torch.zeros(1, 3, 16), r"takes x of \[B, 3, size, size\]"),
    ],
)
def test_images_that_do_not_fit_are_refused(pool: str, x: Tensor, message: str) -> None:
    with pytest.raises(PartError, match=message):
        network(pool=pool)(x, torch.tensor([0]))


def test_a_pool_of_means_takes_other_sizes_too() -> None:
    assert network(pool="adaptive")(images(size=32), torch.tensor([0, 1])).shape == (2, 6)


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"image_size": 15}, "image_size", "is not a multiple of 2"),
        ({"attention_resolutions": (4,)}, "attention_resolutions", "4 is no size"),
        ({"channels": 20}, "channel_mult", "not a multiple of 32"),
        ({"head_channels": 24}, "head_channels", "24 does not divide"),
        ({"head_channels": None}, "head_channels", "a pool of attention needs the channels of each"),
        ({"dims": 1}, "pool", "attention is for images: with dims 1, pool is adaptive"),
    ],
)
def test_parameters_that_do_not_fit_together_are_faults(
    change: dict[str, Any], field: str, message: str
) -> None:
    config = attrs.evolve(SMALL, **change)
    assert field in {name for name, _ in classifier_faults(config)}
    with pytest.raises(PartError, match=f"classifier adm-classifier: {field}: .*{message}"):
        AdmClassifier(config)


class Softmax(Classifier):
    """logits = scores of the mean of x for each class: its gradient is a closed form. Counts its calls."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.num_classes = classes
        self.scores = nn.Parameter(torch.linspace(-2, 3, classes))
        self.calls = 0
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(t)
        return self.scores * x.flatten(1).mean(1, keepdim=True)

    def gradient(self, x: Tensor, labels: Tensor) -> Tensor:
        """(score of the label - expected score) / number of values."""
        logits = self.scores * x.flatten(1).mean(1, keepdim=True)
        expected = (logits.softmax(1) * self.scores).sum(1)
        slope = (self.scores[labels] - expected) / x[0].numel()
        return slope.reshape(-1, *[1] * (x.ndim - 1)).expand_as(x).detach()


STEPS = list(CosineSchedule(CosineConfig()).levels(4).steps("cpu"))
LABELS = torch.tensor([3, 0])


def nothing(_conditioning: Conditioning) -> Predict:
    return lambda x, step: Prediction(torch.zeros_like(x), "epsilon", x, step)


def guide(classifier: Classifier, scale: float = 1.0, label: int | None = None) -> ClassifierGuidance:
    config = ClassifierGuidanceConfig(scale=scale, label=label, classifier=None)
    return ClassifierGuidance(config, classifier=classifier)


def gradient(guidance: Guidance, step: Step = STEPS[1], labels: Tensor | None = LABELS) -> Tensor | None:
    with torch.no_grad():
        predict = fold([guidance], nothing)(Conditioning.of(2, labels=labels))
        return predict(images(), step).gradient


def test_the_gradient_is_that_of_the_log_probability_times_the_scale() -> None:
    classifier = Softmax()
    expected = 2.5 * classifier.gradient(images(), LABELS)
    torch.testing.assert_close(gradient(guide(classifier, 2.5)), expected)


def test_the_classifier_hears_the_timestep_of_the_denoiser_for_each_image() -> None:
    classifier = Softmax()
    gradient(guide(classifier))
    (t,) = classifier.seen
    assert t.tolist() == [int(STEPS[1].t)] * 2


def test_gradients_add_to_those_of_other_guidances() -> None:
    classifier = Softmax()
    with torch.no_grad():
        predict = fold([guide(classifier), guide(classifier, 2.0)], nothing)(
            Conditioning.of(2, labels=LABELS)
        )
        added = predict(images(), STEPS[1]).gradient
    torch.testing.assert_close(added, 3 * classifier.gradient(images(), LABELS))


def test_scale_0_is_no_guidance_at_all() -> None:
    assert guide(Softmax(), 0.0)(nothing) is nothing


def test_a_weight_by_step_multiplies_the_gradient_and_0_asks_no_classifier() -> None:
    classifier = Softmax()
    weighted = (
        guide(classifier, 2.0)
        .scaled_by_step(lambda step: [0.0, 0.5, 1.0, 3.0][step.index])
        .scaled_by_step(lambda _: 2)
    )
    once = classifier.gradient(images(), LABELS)
    assert gradient(weighted, STEPS[0]) is None
    assert classifier.calls == 0
    for step, times in zip(STEPS[1:], (2.0, 4.0, 12.0), strict=True):
        torch.testing.assert_close(gradient(weighted, step), times * once)


def test_the_prediction_itself_and_x_know_of_no_gradient() -> None:
    with torch.no_grad():
        predict = guide(network())(nothing)(Conditioning.of(2, labels=LABELS))
        x = images()
        prediction = predict(x, STEPS[1])
    assert prediction.gradient is not None
    assert not prediction.gradient.requires_grad
    assert not prediction.value.requires_grad
    assert not x.requires_grad


def test_half_precision_of_the_denoiser_leaves_the_gradient_in_float32() -> None:
    with torch.no_grad():
        found = guide(network()).gradient(images().bfloat16(), STEPS[1].t.expand(2), LABELS)
    assert found.dtype == torch.float32


def test_a_label_of_the_spec_is_every_images_where_none_are_given() -> None:
    classifier = Softmax()
    guidance = guide(classifier, label=1)
    expected = classifier.gradient(images(), torch.tensor([1, 1]))
    torch.testing.assert_close(gradient(guidance, labels=None), expected)
    torch.testing.assert_close(gradient(guidance), classifier.gradient(images(), LABELS))


def test_without_any_label_it_says_so_before_anything_runs() -> None:
    with pytest.raises(PartError, match="needs class labels"):
        guide(Softmax())(nothing)(Conditioning(batch=2))


def test_a_label_that_the_classifier_does_not_know_is_refused() -> None:
    with pytest.raises(PartError, match="label 4 is out of range: this classifier has classes 0 to 3"):
        guide(Softmax(), label=4)


def small_pipeline(num_classes: int | None, *guidance: Guidance) -> Pipeline:
    torch.manual_seed(0)
    config = AdmUNetConfig(
        image_size=16,
        channels=32,
        channel_mult=(1,),
        res_blocks=1,
        attention_resolutions=(),
        head_channels=16,
        num_classes=num_classes,
    )
    unet = AdmUNet(config)
    for parameter in unet.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return Pipeline(
        schedule=CosineSchedule(CosineConfig()),
        denoiser=unet,
        sampler=DdimSampler(DdimConfig(steps=3)),
        guidance=guidance,
    )


@pytest.mark.parametrize("num_classes", [None, 6])
def test_a_pipeline_is_steered_by_labels_with_a_denoiser_of_classes_and_without(
    num_classes: int | None,
) -> None:
    made = small_pipeline(num_classes, guide(network(), 5.0))
    assert made.num_classes == 6
    first, second = (made(["", ""], labels=labels).float() for labels in ([2, 2], [2, 4]))
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    assert made.parameters()["guidance[0].classifier"] == sum(p.numel() for p in network().parameters())


def test_steering_raises_the_probability_of_the_label() -> None:
    classifier = Softmax()

    def log_p(scale: float) -> Tensor:
        *_, last = small_pipeline(None, guide(classifier, scale)).states([""] * 4, labels=[3, 3, 0, 0])
        with torch.no_grad():
            logits = classifier(last.x, torch.zeros(4)).log_softmax(1)
        return logits.gather(1, torch.tensor([[3], [3], [0], [0]])).flatten()

    assert (log_p(200.0) > log_p(0.0) + 0.01).all()


@pytest.mark.parametrize("first", [True, False])
def test_it_stacks_with_classifier_free_guidance_in_either_order(first: bool) -> None:
    """The gradient is that of the conditional half: the two do not disturb each other."""

    def labelled(conditioning: Conditioning) -> Predict:
        assert conditioning.get("labels") is not None
        value = conditioning.get("labels").float().reshape(-1, 1, 1, 1)
        return lambda x, step: Prediction(value.expand_as(x), "epsilon", x, step)

    classifier = Softmax()
    both: list[Guidance] = [guide(classifier), ClassifierFreeGuidance(ClassifierFreeConfig(scale=3.0))]
    conditioning = Conditioning.of(2, labels=Condition(LABELS, torch.tensor([1, 1])))
    with torch.no_grad():
        prediction = fold(both if first else both[::-1], labelled)(conditioning)(images(), STEPS[1])
    torch.testing.assert_close(prediction.gradient, classifier.gradient(images(), LABELS))
    assert prediction.value[:, 0, 0, 0].tolist() == [7, -2]


def test_the_classifiers_gradient_does_not_reach_into_the_denoiser() -> None:
    made = small_pipeline(None, guide(network()))
    seen: list[bool] = []
    original: Callable[..., Tensor] = made.denoiser.trunk  # type: ignore[assignment]

    def watched(*args: Any) -> Tensor:
        seen.append(torch.is_grad_enabled())
        return original(*args)

    made.denoiser.__dict__["trunk"] = watched
    made([""], labels=[1])
    assert seen == [False] * 3
