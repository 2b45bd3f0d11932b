"""The noised CLIP beyond what the golden tensors say of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from glidepath.core.errors import PartError
from glidepath.plugins.clip.configs import NoisedClipConfig
from glidepath.plugins.clip.noised import NoisedClip
from glidepath.plugins.text.configs import WordsConfig
from glidepath.plugins.text.words import WordsTokenizer

WORDS = ("a", "red", "blue", "circle", "square")
SMALL: dict[str, Any] = {
    "width": 24,
    "text_width": 16,
    "text_layers": 2,
    "text_heads": 2,
    "context": 6,
    "vocabulary_rows": None,
    "image_size": 8,
    "patch_size": 2,
    "image_width": 16,
    "image_layers": 2,
    "image_heads": 2,
    "timesteps": 10,
}


def small(**changed: Any) -> NoisedClip:
    torch.manual_seed(0)
    words = WordsTokenizer(WordsConfig(vocabulary=WORDS))
    return NoisedClip(NoisedClipConfig(**SMALL | changed), tokenizer=words).eval()


def images(batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(1))


T = torch.tensor([0, 5, 9])


def test_it_compiles_its_tower_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of words reads texts as long as the longest of a batch: each length would be compiled anew."""
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, **_settings: compiled.append(module))
    made = small()
    made.compile(dynamic=False)
    assert compiled == [made.image]


def test_a_tokenizer_without_marks_is_lent_two_ids_after_its_own() -> None:
    clip = small()
    padding = len(WORDS)
    ids, lengths = clip.tokenize(["a red circle", ""])
    start, end = padding + 1, padding + 2
    assert ids.tolist() == [[start, 0, 1, 3, end], [start, end, padding, padding, padding]]
    assert lengths.tolist() == [5, 2]
    assert clip.text.blocks["input"].w_voc.shape == (len(WORDS) + 3, 16)


def test_a_prompt_that_is_too_long_keeps_its_end_mark() -> None:
    clip = small()
    ids, lengths = clip.tokenize(["a red circle a blue square"])
    assert ids.tolist() == [[6, 0, 1, 3, 0, 7]]
    assert lengths.tolist() == [6]
    assert clip.truncated("a red circle a blue square") == "blue square"
    assert clip.truncated("a red circle a") == ""


def test_embeddings_have_length_1_and_each_row_is_its_own_inputs_alone() -> None:
    clip, prompts = small(), ["a red circle", "blue", ""]
    with torch.no_grad():
        texts, seen = clip.embed_texts(prompts), clip.embed_images(images(), T)
        for row, prompt in enumerate(prompts):
            torch.testing.assert_close(clip.embed_texts([prompt])[0], texts[row])
            alone = clip.embed_images(images()[row : row + 1], T[row : row + 1])
            torch.testing.assert_close(alone[0], seen[row])
    for embedded in (texts, seen):
        assert embedded.shape == (3, 24)
        torch.testing.assert_close(embedded.norm(dim=1), torch.ones(3))


def test_the_timestep_is_heard() -> None:
    clip, same = small(), images(1).expand(2, -1, -1, -1)
    with torch.no_grad():
        early, late = clip.embed_images(same, torch.tensor([0, 9]))
    assert not torch.allclose(early, late, atol=1e-2)


def test_without_timesteps_it_reads_clean_images() -> None:
    clip = small(timesteps=0)
    assert (small().noised, clip.noised) == (True, False)
    assert clip.embed_images(images()).shape == (3, 24)
    with pytest.raises(PartError, match="without noise, and a timestep was given"):
        clip.embed_images(images(), T)
    with pytest.raises(PartError, match="together with its timestep"):
        small().embed_images(images())


def test_every_parameter_learns() -> None:
    clip = small()
    fit = (clip.embed_texts(["a red circle", "blue", ""]) * clip.embed_images(images(), T)).sum()
    fit.backward()
    silent = [name for name, parameter in clip.named_parameters() if parameter.grad is None]
    assert silent == []
    assert all(
        parameter.grad.isfinite().all() for parameter in clip.parameters() if parameter.grad is not None
    )


def test_the_initial_network_tells_images_apart() -> None:
    with torch.no_grad():
        first, second, third = small(width=256).embed_images(images(), T)
    assert max(float(first @ second), float(second @ third)) < 0.99


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(PartError, match=r"reads images \[B, 3, 8, 8\], not \[1, 3, 16, 16\]"):
        small().embed_images(torch.zeros(1, 3, 16, 16), T[:1])


@pytest.mark.parametrize("prompts", [[], "a red circle"])
def test_prompts_are_a_list_with_at_least_one(prompts: Any) -> None:
    with pytest.raises(PartError, match="list of prompts"):
        small().embed_texts(prompts)


def test_a_table_too_small_for_the_tokenizer_is_refused() -> None:
    with pytest.raises(PartError, match="vocabulary_rows: 7 are too few for a tokenizer of 8 tokens"):
        small(vocabulary_rows=7)


def test_parameters_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(PartError, match="image_heads: 3 does not divide image_width"):
        small(image_heads=3)


def test_it_runs_in_bfloat16() -> None:
    clip = small()
    with torch.no_grad():
        exact = clip.embed_images(images(), T)
        clip = clip.to(torch.bfloat16)
        rounded = clip.embed_images(images(), T).float()
        assert clip.embed_texts(["a red circle"]).dtype == torch.bfloat16
    assert (exact * rounded).sum(1).min() > 0.99
