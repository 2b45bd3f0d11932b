"""Classifier-free guidance."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from glidepath.core.conditioning import Condition, Conditioning, TextEmbedding
from glidepath.core.denoiser import Predict
from glidepath.core.errors import PartError
from glidepath.core.guidance import Weight, fold
from glidepath.core.levels import NoiseLevels, Step
from glidepath.core.prediction import Prediction, PredictionKind
from glidepath.plugins.guidance.classifier_free import ClassifierFreeGuidance
from glidepath.plugins.guidance.configs import ClassifierFreeConfig

STEP = Step(4, torch.tensor(7), torch.tensor(0.6), torch.tensor(0.8))
X = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
PROMPTS = Conditioning.of(2, labels=Condition(torch.tensor([5, 7]), torch.tensor([0, 0])))


@attrs.define
class Labelled:
    """A denoiser whose every output is its sample's label, and that remembers the batches it saw."""

    kind: PredictionKind = "epsilon"
    learned_variance: bool = True
    gradient: bool = False
    batches: list[int] = attrs.Factory(list)
    bound: list[int] = attrs.Factory(list)

    def bind(self, conditioning: Conditioning) -> Predict:
        assert conditioning.get("labels") is not None
        self.bound.append(conditioning.batch)
        value = conditioning.get("labels").float().reshape(-1, 1, 1, 1)

        def predict(x: Tensor, step: Step) -> Prediction:
            self.batches.append(len(x))
            labels = value.expand_as(x)
            fraction = labels / 10 if self.learned_variance else None
            return Prediction(labels, self.kind, x, step, fraction, labels if self.gradient else None)

        return predict


def guide(scale: float, denoiser: Labelled) -> Prediction:
    return ClassifierFreeGuidance(ClassifierFreeConfig(scale=scale))(denoiser.bind)(PROMPTS)(X, STEP)


def rows(tensor: Tensor | None) -> list[float]:
    assert tensor is not None
    assert tensor.shape == X.shape
    return [round(value, 5) for value in tensor[:, 0, 0, 0].tolist()]


@given(scale=st.floats(0, 20))
def test_epsilon_moves_from_the_unconditional_through_the_conditional(scale: float) -> None:
    assert rows(guide(scale, Labelled()).epsilon) == pytest.approx([5 * scale, 7 * scale], abs=1e-3)


def test_both_halves_are_predicted_in_one_batch() -> None:
    denoiser = Labelled()
    guide(3.0, denoiser)
    assert denoiser.batches == [4]


def test_scale_1_predicts_with_the_prompt_alone() -> None:
    denoiser = Labelled()
    assert rows(guide(1.0, denoiser).epsilon) == [5, 7]
    assert denoiser.batches == [2]


def test_scale_0_ignores_the_prompt() -> None:
    assert rows(guide(0.0, Labelled()).epsilon) == [0, 0]


def test_the_learned_variance_and_an_inner_gradient_are_the_conditional_halfs() -> None:
    prediction = guide(3.0, Labelled(gradient=True))
    assert rows(prediction.variance_fraction) == [0.5, 0.7]
    assert rows(prediction.gradient) == [5, 7]


def test_what_the_denoiser_does_not_give_stays_absent() -> None:
    prediction = guide(3.0, Labelled(learned_variance=False))
    assert prediction.variance_fraction is None
    assert prediction.gradient is None


def test_the_prediction_speaks_of_the_x_and_the_step_that_were_given() -> None:
    prediction = guide(3.0, Labelled())
    assert prediction.x is X
    assert prediction.step is STEP


@pytest.mark.parametrize("kind", ["sample", "velocity"])
def test_the_form_that_was_predicted_is_guided_and_epsilon_with_it(kind: PredictionKind) -> None:
    """They are affine in epsilon, with the same coefficients in both halves: the formula holds for each."""
    prediction = guide(3.0, Labelled(kind))
    assert prediction.kind == kind
    assert rows(getattr(prediction, kind)) == [15, 21]
    with_prompt, without = (
        Prediction(torch.tensor(label).reshape(2, 1, 1, 1).expand_as(X), kind, X, STEP).epsilon
        for label in ([5.0, 7.0], [0.0, 0.0])
    )
    torch.testing.assert_close(prediction.epsilon, without + 3 * (with_prompt - without))


def test_guidances_stack() -> None:
    """Twice by 3: from the unconditional 0, nine times the way."""

    def embedding(*values: float) -> TextEmbedding:
        pooled = torch.tensor(values)[:, None]
        return TextEmbedding(pooled, pooled[:, None], torch.ones(len(values), 1, dtype=torch.bool))

    def bind(conditioning: Conditioning) -> Predict:
        assert conditioning.get("text", TextEmbedding) is not None
        return denoiser.bind(
            Conditioning.of(conditioning.batch, labels=conditioning.get("text", TextEmbedding).pooled[:, 0])
        )

    denoiser = Labelled()
    guidance = ClassifierFreeGuidance(ClassifierFreeConfig(scale=3.0))
    prompts = Conditioning.of(2, text=Condition(embedding(5, 7), embedding(0)))
    assert rows(guidance(guidance(bind))(prompts)(X, STEP).epsilon) == [45, 63]
    assert denoiser.batches == [8]


def test_a_prompt_without_an_unconditional_form_is_refused_before_anything_runs() -> None:
    bind = ClassifierFreeGuidance(ClassifierFreeConfig())(Labelled().bind)
    with pytest.raises(PartError, match="absence of labels"):
        bind(Conditioning.of(1, labels=torch.tensor([3])))


LEVELS = NoiseLevels(torch.arange(4).flip(0), torch.linspace(0.2, 1, 5), torch.linspace(0.9, 0, 5))


def walk(weight: Weight, denoiser: Labelled, scale: float = 3.0) -> list[list[float]]:
    """epsilon at each step of four, of the two prompts."""
    guidance = ClassifierFreeGuidance(ClassifierFreeConfig(scale=scale)).scaled_by_step(weight)
    predict = fold([guidance], denoiser.bind, LEVELS)(PROMPTS)
    return [rows(predict(X, step).epsilon) for step in LEVELS.steps("cpu")]


def test_the_scale_follows_the_weight() -> None:
    weights = [0.0, 0.5, 1.0, 2.0]
    assert walk(lambda step: weights[step.index], Labelled()) == [[5, 7], [10, 14], [15, 21], [25, 35]]


@given(weight=st.floats(0, 3), scale=st.floats(1, 20))
def test_a_constant_weight_is_another_scale(weight: float, scale: float) -> None:
    for epsilon in walk(lambda _step: weight, Labelled(), scale):
        expected = rows(guide(1 + weight * (scale - 1), Labelled()).epsilon)
        assert epsilon == pytest.approx(expected, abs=1e-3)


def test_a_weight_of_zero_makes_no_second_forward() -> None:
    denoiser = Labelled()
    walk(lambda step: step.index % 2, denoiser)
    assert denoiser.batches == [2, 4, 2, 4]


@pytest.mark.parametrize(
    ("weight", "bound"),
    [(lambda _step: 0.0, [2]), (lambda _step: 0.5, [4]), (lambda step: step.index % 2, [2, 4])],
)
def test_only_what_some_step_asks_for_is_prepared(weight: Weight, bound: list[int]) -> None:
    denoiser = Labelled()
    walk(weight, denoiser)
    assert denoiser.bound == bound


def test_what_was_predicted_with_the_prompt_alone_is_kept() -> None:
    unguided = guide(3.0, Labelled(gradient=True)).unguided
    assert unguided is not None
    assert rows(unguided.epsilon) == [5, 7]
    assert rows(unguided.variance_fraction) == [0.5, 0.7]
    assert guide(1.0, Labelled()).unguided is None
