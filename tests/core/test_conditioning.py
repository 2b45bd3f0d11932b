"""What steers a batch: dropping the prompt, joining batches, moving between devices and types."""

from __future__ import annotations

import attrs
import pytest
import torch

from glidepath.core.conditioning import Conditioning, TextEmbedding
from glidepath.core.errors import PartError

POOLED, LENGTH, WIDTH = 8, 5, 4


def text(batch: int, value: float = 1.0) -> TextEmbedding:
    return TextEmbedding(
        torch.full((batch, POOLED), value),
        torch.full((batch, LENGTH, WIDTH), value),
        torch.ones(batch, LENGTH, dtype=torch.bool),
    )


def full(batch: int, value: float = 1.0) -> Conditioning:
    """Everything that a conditioning can hold."""
    return Conditioning(
        batch=batch,
        text=text(batch, value),
        null_text=text(1, 0.0),
        labels=torch.full((batch,), 3),
        null_labels=torch.full((batch,), 10),
        low_res=torch.full((batch, 3, 2, 2), value),
        image=torch.full((batch, 3, 4, 4), value),
        mask=torch.ones(batch, 1, 4, 4),
        prompts=tuple(f"{value} {row}" for row in range(batch)),
    )


def test_null_drops_the_prompt_and_nothing_else() -> None:
    conditioning = full(3)
    null = conditioning.null()
    assert null.text is not None
    assert null.text.pooled.shape == (3, POOLED)
    assert null.text.tokens.shape == (3, LENGTH, WIDTH)
    assert not null.text.tokens.any()
    assert null.labels is conditioning.null_labels
    assert (null.low_res, null.image, null.mask) == (
        conditioning.low_res,
        conditioning.image,
        conditioning.mask,
    )
    assert null.batch == 3


def test_null_of_null_is_the_same() -> None:
    once = full(2).null()
    twice = once.null()
    assert once.text is not None
    assert twice.text is not None
    assert torch.equal(once.text.tokens, twice.text.tokens)


def test_a_null_text_may_come_for_each_sample() -> None:
    conditioning = attrs.evolve(full(2), null_text=text(2, 0.5))
    assert conditioning.null().text is conditioning.null_text


def test_a_model_without_a_prompt_is_its_own_null() -> None:
    null = Conditioning(batch=2).null()
    assert null.text is None
    assert null.labels is None


@pytest.mark.parametrize(
    ("conditioning", "missing"),
    [
        (Conditioning(batch=1, text=text(1)), "null_text"),
        (Conditioning(batch=1, labels=torch.tensor([1])), "null label"),
    ],
)
def test_a_prompt_without_its_unconditional_form_cannot_be_dropped(
    conditioning: Conditioning, missing: str
) -> None:
    with pytest.raises(PartError, match=missing):
        conditioning.null()


def test_joined_batches_keep_their_order() -> None:
    joined = Conditioning.cat([full(1, 1.0), full(2, 2.0)])
    assert joined.batch == 3
    assert joined.text is not None
    assert joined.text.pooled[:, 0].tolist() == [1, 2, 2]
    assert joined.text.tokens.shape == (3, LENGTH, WIDTH)
    assert joined.text.mask.shape == (3, LENGTH)
    for tensor in (joined.low_res, joined.image):
        assert tensor is not None
        assert tensor.flatten(1)[:, 0].tolist() == [1, 2, 2]
    assert joined.labels is not None
    assert joined.labels.tolist() == [3, 3, 3]
    assert joined.mask is not None
    assert joined.mask.shape == (3, 1, 4, 4)


def test_joining_a_batch_with_its_null_gives_conditional_then_unconditional() -> None:
    conditioning = full(2)
    both = Conditioning.cat([conditioning, conditioning.null()])
    assert both.batch == 4
    assert both.text is not None
    assert both.text.pooled[:, 0].tolist() == [1, 1, 0, 0]
    assert both.labels is not None
    assert both.labels.tolist() == [3, 3, 10, 10]


@pytest.mark.parametrize("field", ["text", "labels", "low_res", "image", "mask"])
def test_what_one_batch_has_all_must_have(field: str) -> None:
    with pytest.raises(PartError, match=f"some have '{field}' and others do not"):
        Conditioning.cat([full(1), attrs.evolve(full(1), **{field: None})])  # type: ignore[arg-type]


def test_joining_nothing_is_an_error() -> None:
    with pytest.raises(PartError, match="at least one"):
        Conditioning.cat([])


def test_joining_empty_conditionings_adds_their_batches() -> None:
    joined = Conditioning.cat([Conditioning(batch=2), Conditioning(batch=3)])
    assert joined.batch == 5
    assert joined.text is None


def test_moving_changes_the_type_of_what_is_floating_point() -> None:
    moved = full(2).to("cpu", torch.bfloat16)
    assert moved.text is not None
    assert moved.image is not None
    assert moved.labels is not None
    assert moved.text.tokens.dtype == moved.image.dtype == torch.bfloat16
    assert moved.labels.dtype == torch.int64
    assert moved.text.mask.dtype == torch.bool


def test_moving_takes_every_tensor_along_and_keeps_absences() -> None:
    moved = full(2).to("meta")
    assert moved.text is not None
    assert moved.null_text is not None
    tensors = (moved.text.tokens, moved.text.mask, moved.null_text.pooled, moved.labels, moved.null_labels)
    for tensor in (*tensors, moved.low_res, moved.image, moved.mask):
        assert tensor is not None
        assert tensor.device.type == "meta"
    assert (moved.batch, moved.prompts) == (2, full(2).prompts)
    bare = Conditioning(batch=1).to("meta")
    assert (bare.text, bare.null_text, bare.labels, bare.image) == (None, None, None, None)


def test_one_embedding_serves_a_batch_without_being_copied() -> None:
    one = text(1)
    many = one.expand(4)
    assert many.tokens.shape == (4, LENGTH, WIDTH)
    assert many.tokens.data_ptr() == one.tokens.data_ptr()


def test_joined_conditionings_can_be_made_null_again() -> None:
    """So that two classifier-free guidances stack."""
    one_row, whole = full(2), attrs.evolve(full(2), null_text=text(2, 0.5))
    for conditioning in (one_row, whole):
        null = Conditioning.cat([conditioning, conditioning.null()]).null()
        assert null.batch == 4
        assert null.text is not None
        assert null.text.pooled.shape[0] == 4
        assert null.labels is not None
        assert null.labels.tolist() == [10] * 4


def test_the_texts_themselves_stay_when_the_prompt_is_dropped_and_when_batches_are_joined() -> None:
    first, second = Conditioning(1, prompts=("a",)), Conditioning(2, prompts=("b", "c"))
    assert first.null().prompts == ("a",)
    assert Conditioning.cat([first, second]).prompts == ("a", "b", "c")
    assert Conditioning.cat([Conditioning(1), Conditioning(1)]).prompts is None


def test_texts_join_texts_only() -> None:
    with pytest.raises(PartError, match="some have 'prompts' and others do not"):
        Conditioning.cat([Conditioning(1, prompts=("a",)), Conditioning(1)])


def test_labels_without_an_unconditional_form_stay_beside_a_text_that_has_one() -> None:
    text, null_text = (
        TextEmbedding(
            torch.full((1, 4), value), torch.full((1, 2, 4), value), torch.ones(1, 2, dtype=torch.bool)
        )
        for value in (1.0, 0.0)
    )
    labels = torch.tensor([3])
    null = Conditioning(1, text=text, null_text=null_text, labels=labels).null()
    assert null.text is not None
    assert float(null.text.pooled.sum()) == 0
    assert null.labels is labels
