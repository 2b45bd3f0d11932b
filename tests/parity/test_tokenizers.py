"""All that the tokenizers of openai/glide-text2im gave for 20 prompts: ids, their text, padding, masks.

Padding and masks follow from the ids, and are held against the recording as they are. The ids need the
published vocabularies, which are not ours to ship: two variables of the environment say where they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from glidepath.plugins.clip.configs import NoisedClipConfig
from glidepath.plugins.clip.noised import NoisedClip
from glidepath.plugins.text.bpe import BpeTokenizer
from glidepath.plugins.text.clip_bpe import ClipBpeTokenizer
from glidepath.plugins.text.configs import BpeConfig, ClipBpeConfig, TransformerConfig
from glidepath.plugins.text.transformer import TransformerTextEncoder

from .recorded import described
from .test_unets import IdsAsText

RECORDED = described("tokenizer")
GLIDE, CLIP, PROMPTS = RECORDED["glide"], RECORDED["clip"], RECORDED["prompts"]
GPT2_FILES = os.environ.get("GLIDEPATH_GPT2_VOCABULARY")
CLIP_FILE = os.environ.get("GLIDEPATH_CLIP_VOCABULARY")

each_prompt = pytest.mark.parametrize("prompt", PROMPTS, ids=[repr(it["text"][:24]) for it in PROMPTS])
with_gpt2 = pytest.mark.skipif(
    not GPT2_FILES, reason="GLIDEPATH_GPT2_VOCABULARY names no folder with encoder.json.gz and vocab.bpe.gz"
)
with_clip = pytest.mark.skipif(
    not CLIP_FILE, reason="GLIDEPATH_CLIP_VOCABULARY names no file bpe_simple_vocab_16e6.txt.gz"
)


def test_without_files_the_tokenizers_have_the_sizes_and_marks_that_were_recorded() -> None:
    gpt2, clip = BpeTokenizer(BpeConfig()), ClipBpeTokenizer(ClipBpeConfig())
    assert (gpt2.vocabulary_size, gpt2.padding_id) == (GLIDE["n_vocab"], GLIDE["end_token"])
    marks = (CLIP["n_vocab"], CLIP["start_token"], CLIP["end_token"])
    assert (clip.vocabulary_size, clip.start_id, clip.end_id) == marks


@each_prompt
@pytest.mark.parametrize("context", RECORDED["ctxs"]["glide"])
def test_ids_are_padded_and_masked_as_glides_are(context: int, prompt: Mapping[str, Any]) -> None:
    recorded = prompt["glide_padded"][str(context)]
    ids, mask = glide_encoder(context).tokenize([as_text(prompt["glide_ids"])])
    assert ids.tolist() == [recorded["tokens"]]
    assert mask.int().tolist() == [recorded["mask"]]


@pytest.mark.parametrize("context", RECORDED["ctxs"]["clip"])
def test_ids_stand_between_their_marks_as_clips_do(context: int) -> None:
    """One batch of all prompts: what is padded to the longest is that of the recording, and then zeros."""
    ids, lengths = clip(context).tokenize([as_text(prompt["clip_ids"]) for prompt in PROMPTS])
    recorded = [prompt["clip_padded"][str(context)] for prompt in PROMPTS]
    whole = torch.nn.functional.pad(ids, (0, context - ids.shape[1]))
    assert whole.tolist() == [it["tokens"] for it in recorded]
    assert lengths.tolist() == [it["len"] for it in recorded]


@with_gpt2
@each_prompt
def test_a_prompt_has_the_ids_of_glide_and_they_its_text(prompt: Mapping[str, Any]) -> None:
    tokenizer = gpt2_tokenizer()
    assert tokenizer.encode(prompt["text"]) == prompt["glide_ids"]
    assert tokenizer.decode(prompt["glide_ids"]) == prompt["glide_decoded"]


@with_clip
@each_prompt
def test_a_prompt_has_the_ids_of_clip(prompt: Mapping[str, Any]) -> None:
    assert clip_tokenizer().encode(prompt["text"]) == prompt["clip_ids"]


@cache
def glide_encoder(context: int) -> TransformerTextEncoder:
    """One that is narrow, and knows as many tokens as GLIDE's."""
    config = TransformerConfig(width=8, layers=1, heads=1, context=context, pooled_width=8)
    return TransformerTextEncoder(config, tokenizer=IdsAsText(GLIDE["n_vocab"]))


@cache
def clip(context: int) -> NoisedClip:
    """One that is narrow, and knows as many tokens as GLIDE's."""
    config = NoisedClipConfig(
        context=context,
        width=8,
        text_width=8,
        text_layers=1,
        text_heads=1,
        image_size=8,
        image_width=8,
        image_layers=1,
        image_heads=1,
        vocabulary_rows=None,
    )
    tokenizer = MarkedIds(CLIP["n_vocab"], CLIP["start_token"], CLIP["end_token"])
    return NoisedClip(config, tokenizer=tokenizer)


@attrs.frozen
class MarkedIds(IdsAsText):
    """Ids for texts, and two that mark a text's ends. Zero pads, as it does in the reference."""

    start_id: int
    end_id: int

    @property
    def padding_id(self) -> int:
        return ClipBpeTokenizer.padding_id


def as_text(ids: list[int]) -> str:
    return " ".join(map(str, ids))


@cache
def gpt2_tokenizer() -> BpeTokenizer:
    folder = Path(str(GPT2_FILES))
    return BpeTokenizer(BpeConfig(vocabulary=folder / "encoder.json.gz", merges=folder / "vocab.bpe.gz"))


@cache
def clip_tokenizer() -> ClipBpeTokenizer:
    return ClipBpeTokenizer(ClipBpeConfig(vocabulary=Path(str(CLIP_FILE))))
