"""The values of one call: what is given, what is filled in, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from glidepath.core.errors import PartError
from glidepath.core.request import Request

PICTURE = torch.zeros(1, 3, 4, 6, dtype=torch.uint8)


def test_samples_count_the_repetitions_of_a_prompt() -> None:
    assert Request(prompts=["a", "b", "a", "a", "b"]).samples == (0, 0, 1, 2, 1)
    assert Request(prompts=["a", "a"], samples=[7, 3]).samples == (7, 3)


def test_one_negative_prompt_is_that_of_all_images() -> None:
    assert Request(prompts=["a", "b"], negative="dark").negative == ("dark", "dark")
    assert Request(prompts=["a", "b"], negative=["dark", ""]).negative == ("dark", "")


def test_people_name_pictures_beside_the_other_values() -> None:
    request = Request.of(["a"], seed=3, image=PICTURE, control=PICTURE, strength=0.5, mask=None)
    assert (request.seed, request.strength, set(request.inputs)) == (3, 0.5, {"image", "control"})
    assert Request.of(request) is request


def test_texts_are_told_from_pictures_by_what_they_are() -> None:
    request = Request.of(["a", "b"], control=PICTURE, prompt_2="oil", negative_prompt_2=["x", "y"])
    assert set(request.inputs) == {"control"}
    assert request.texts == {"prompt_2": ("oil", "oil"), "negative_prompt_2": ("x", "y")}
    assert Request(prompts=["a"], texts={"prompt_2": "oil"}).texts == {"prompt_2": ("oil",)}


def test_a_request_may_not_be_changed() -> None:
    request = Request(prompts=["a"], inputs={"image": PICTURE})
    with pytest.raises(AttributeError):
        request.seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        request.inputs["image"] = PICTURE  # type: ignore[index]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"negative": ["a", "b"]}, "2 negative prompts were given for 1 prompts"),
        ({"negative": [3]}, "a prompt is a text, not 3"),
        ({"labels": ["b"]}, "a class label is a whole number, not 'b'"),
        ({"size": (8, -8)}, r"size is \(height, width\) in pixels"),
        ({"prompt_2": ["a", "b"]}, "2 texts prompt_2 were given for 1 prompts"),
        ({"sed": 3}, "sed is no value of a request, no text and no picture, which is a tensor: 3"),
        ({"control": PICTURE[0]}, r"control is \[B, 3, H, W\] uint8 \(8 bits a colour\), not \[3, 4, 6\]"),
        ({"control": PICTURE.expand(2, -1, -1, -1)}, "2 rows of control were given for 1 prompts"),
    ],
)
def test_values_that_are_none_or_do_not_fit_the_others_are_refused(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(PartError, match=message):
        Request.of(["a"], **values)


def test_a_request_is_given_alone() -> None:
    with pytest.raises(PartError, match="seed: a request has all its values"):
        Request.of(Request(prompts=["a"]), seed=3)
