"""What steers a batch: dropping the prompt, joining batches, moving between devices and types."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from glidepath.core.conditioning import Condition, Conditioning, TextEmbedding, map_tensors
from glidepath.core.errors import PartError

POOLED, LENGTH, WIDTH = 8, 5, 4


def text(batch: int, value: float = 1.0, length: int = LENGTH) -> TextEmbedding:
    return TextEmbedding(
        torch.full((batch, POOLED), value),
        torch.full((batch, length, WIDTH), value),
        torch.ones(batch, length, dtype=torch.bool),
        {"ids": torch.full((batch, 2), value)},
    )


@attrs.frozen(eq=False)
class Palette:
    """What a stranger's conditioner may make: a value of tensors."""

    colours: Tensor
    weights: Tensor | None = None


def full(batch: int, value: float = 1.0, null: TextEmbedding | None = None) -> Conditioning:
    """What a conditioning of glidepath's own parts can hold, and a stranger's condition."""
    return Conditioning.of(
        batch,
        text=Condition(text(batch, value), null or text(1, 0.0)),
        labels=Condition(torch.full((batch,), 3), torch.full((batch,), 10)),
        palette=Condition(Palette(torch.full((batch, 5, 3), value)), Palette(torch.zeros(1, 5, 3))),
        image=torch.full((batch, 3, 4, 4), value),
        prompts=tuple(f"{value} {row}" for row in range(batch)),
    )


def the(conditioning: Conditioning, name: str) -> Any:
    return conditioning.conditions[name].value


def test_null_drops_what_has_a_form_without_it_and_keeps_the_rest() -> None:
    conditioning = full(3)
    null = conditioning.null()
    assert the(null, "text").pooled.shape == (3, POOLED)
    assert the(null, "text").tokens.shape == (3, LENGTH, WIDTH)
    assert not the(null, "text").tokens.any()
    assert not the(null, "text").extras["ids"].any()
    assert the(null, "labels").tolist() == [10, 10, 10]
    assert the(null, "palette").colours.shape == (3, 5, 3)
    assert not the(null, "palette").colours.any()
    assert the(null, "image") is the(conditioning, "image")
    assert (null.batch, null.prompts) == (3, conditioning.prompts)


def test_null_of_null_is_the_same() -> None:
    once = full(2).null()
    assert torch.equal(the(once.null(), "text").tokens, the(once, "text").tokens)


def test_a_null_may_come_for_each_sample() -> None:
    each = text(2, 0.5)
    assert the(full(2, null=each).null(), "text") is each


def test_nothing_steers_its_own_null() -> None:
    assert not Conditioning(batch=2).null().conditions


@pytest.mark.parametrize("name", ["text", "labels"])
def test_a_prompt_without_its_unconditional_form_cannot_be_dropped(name: str) -> None:
    value = {"text": text(1), "labels": torch.tensor([1])}[name]
    with pytest.raises(PartError, match=f"nothing stands for the absence of {name}"):
        Conditioning.of(1, **{name: value}).null()


def test_labels_without_an_unconditional_form_stay_beside_a_text_that_has_one() -> None:
    labels = torch.tensor([3])
    null = Conditioning.of(1, text=Condition(text(1), text(1, 0.0)), labels=labels).null()
    assert float(the(null, "text").pooled.sum()) == 0
    assert the(null, "labels") is labels


def test_a_part_is_given_the_conditions_that_it_reads_alone() -> None:
    assert set(full(2).only({"text", "other"}).conditions) == {"text"}


def test_a_condition_of_another_form_than_a_reader_asks_for_is_refused() -> None:
    assert full(1).get("absent") is None
    with pytest.raises(PartError, match="condition 'text' is no Tensor, but TextEmbedding"):
        full(1).get("text")


def test_joined_batches_keep_their_order() -> None:
    joined = Conditioning.cat([full(1, 1.0), full(2, 2.0)])
    assert joined.batch == 3
    assert the(joined, "text").pooled[:, 0].tolist() == [1, 2, 2]
    assert the(joined, "text").tokens.shape == (3, LENGTH, WIDTH)
    assert the(joined, "text").mask.shape == (3, LENGTH)
    assert the(joined, "text").extras["ids"][:, 0].tolist() == [1, 2, 2]
    assert the(joined, "image").flatten(1)[:, 0].tolist() == [1, 2, 2]
    assert the(joined, "labels").tolist() == [3, 3, 3]
    assert the(joined, "palette").colours[:, 0, 0].tolist() == [1, 2, 2]
    assert the(joined, "palette").weights is None


def test_joining_a_batch_with_its_null_gives_conditional_then_unconditional() -> None:
    conditioning = full(2)
    both = Conditioning.cat([conditioning, conditioning.null()])
    assert both.batch == 4
    assert the(both, "text").pooled[:, 0].tolist() == [1, 1, 0, 0]
    assert the(both, "labels").tolist() == [3, 3, 10, 10]


def test_a_null_of_another_length_is_padded_and_masked() -> None:
    conditioning = full(2, null=text(1, 0.5, length=7))
    both = the(Conditioning.cat([conditioning, conditioning.null()]), "text")
    assert both.tokens.shape == (4, 7, WIDTH)
    assert both.mask.sum(1).tolist() == [LENGTH, LENGTH, 7, 7]
    assert not both.tokens[:2, LENGTH:].any()


def test_texts_of_different_lengths_without_masks_cannot_be_joined() -> None:
    texts = [TextEmbedding(None, torch.zeros(1, length, WIDTH)) for length in (3, 4)]
    with pytest.raises(PartError, match="texts of 3 and 4 tokens cannot be joined without a mask"):
        TextEmbedding.cat(texts)


@pytest.mark.parametrize("name", ["text", "labels", "palette", "image"])
def test_what_one_batch_has_all_must_have(name: str) -> None:
    less = full(1).only({"text", "labels", "palette", "image"} - {name})
    with pytest.raises(PartError, match=f"some have '{name}' and others do not"):
        Conditioning.cat([full(1), less])


def test_joining_nothing_is_an_error() -> None:
    with pytest.raises(PartError, match="at least one"):
        Conditioning.cat([])


def test_joined_conditionings_can_be_made_null_again() -> None:
    """So that two classifier-free guidances stack."""
    for conditioning in (full(2), full(2, null=text(2, 0.5))):
        null = Conditioning.cat([conditioning, conditioning.null()]).null()
        assert null.batch == 4
        assert the(null, "text").pooled.shape[0] == 4
        assert the(null, "labels").tolist() == [10] * 4


def test_nulls_of_different_batches_keep_to_their_rows() -> None:
    joined = Conditioning.cat([full(1, null=text(1, 0.25)), full(2, null=text(1, 0.5))])
    assert the(joined.null(), "text").pooled[:, 0].tolist() == [0.25, 0.5, 0.5]


def test_moving_changes_the_type_of_what_is_floating_point() -> None:
    moved = full(2).to("cpu", torch.bfloat16)
    assert the(moved, "text").tokens.dtype == the(moved, "image").dtype == torch.bfloat16
    assert the(moved, "palette").colours.dtype == torch.bfloat16
    assert the(moved, "labels").dtype == torch.int64
    assert the(moved, "text").mask.dtype == torch.bool


def test_moving_takes_every_tensor_along_nulls_too() -> None:
    seen: list[Tensor] = []

    def collected(tensor: Tensor) -> Tensor:
        seen.append(tensor)
        return tensor

    for condition in full(2).to("meta").conditions.values():
        map_tensors(collected, condition.value)
        map_tensors(collected, condition.null)
    assert {tensor.device.type for tensor in seen} == {"meta"}
    assert len(seen) == 2 * 4 + 2 + 2 + 1


def test_a_null_row_serves_a_batch_without_being_copied() -> None:
    one = text(1, 0.0)
    many = the(full(4, null=one).null(), "text")
    assert many.tokens.shape == (4, LENGTH, WIDTH)
    assert many.tokens.data_ptr() == one.tokens.data_ptr()


def test_some_rows_of_a_condition_are_dropped_for_training() -> None:
    text = full(3).conditions["text"].drop(torch.tensor([False, True, False])).value
    assert text.tokens[:, 0, 0].tolist() == text.pooled[:, 0].tolist() == [1, 0, 1]
    palette = full(3).conditions["palette"].drop(torch.tensor([False, True, False])).value
    assert palette.colours[:, 0, 0].tolist() == [1, 0, 1]
    with pytest.raises(PartError, match="nothing stands for its absence"):
        full(1).conditions["image"].drop(torch.tensor([True]))


def test_the_texts_themselves_stay_when_the_prompt_is_dropped_and_when_batches_are_joined() -> None:
    first, second = Conditioning(1, prompts=("a",)), Conditioning(2, prompts=("b", "c"))
    assert first.null().prompts == ("a",)
    assert Conditioning.cat([first, second]).prompts == ("a", "b", "c")
    assert Conditioning.cat([Conditioning(1), Conditioning(1)]).prompts is None


def test_conditionings_of_one_x_say_how_often_it_stands_there_and_what_is_alike() -> None:
    one = Conditioning.of(2, text=Condition(torch.ones(2, 3), torch.zeros(1, 3)), picture=torch.ones(2, 1))
    both = Conditioning.of_one_x([one, one.null()])
    assert (both.batch, both.repeats, both.alike) == (4, 2, {"picture"})
    assert (both.only(["text"]).repeats, both.null().alike) == (2, {"picture"})
    again = Conditioning.cat([both, both])
    assert (again.repeats, again.alike) == (1, frozenset())


def test_texts_join_texts_only() -> None:
    with pytest.raises(PartError, match="some have 'prompts' and others do not"):
        Conditioning.cat([Conditioning(1, prompts=("a",)), Conditioning(1)])
