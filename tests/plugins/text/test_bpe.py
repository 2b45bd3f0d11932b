"""GPT-2's byte-level byte-pair encoding.

The rules are tested on a small vocabulary made here. GPT-2's own is not part of the project: it is tried too
where GLIDEPATH_GPT2_VOCABULARY names a folder with encoder.json.gz and vocab.bpe.gz.
"""

from __future__ import annotations

import gzip
import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.errors import PartError
from glidepath.core.text_encoder import Tokenizer
from glidepath.plugins.text.bpe import BpeTokenizer, split
from glidepath.plugins.text.configs import BpeConfig
from glidepath.plugins.text.spans import token_spans

# GPT-2's letters for bytes: those that Latin-1 prints, themselves; the 68 others, in order, U+0100 and on
LETTERS = [*map(chr, range(0x21, 0x7F)), *map(chr, range(0xA1, 0xAD)), *map(chr, range(0xAE, 0x100))]
LETTERS += [chr(0x100 + index) for index in range(256 - len(LETTERS))]
MERGES = ["c a", "Ġ ca", "ca t", "Ġca t", "a t", "' s", "Ã ©", "Ċ Ċ"]
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vocabulary")
    tokens = [*LETTERS, *(merge.replace(" ", "") for merge in MERGES), END]
    (folder / "encoder.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "vocab.bpe").write_text("\n".join(["#version: 0.2", *MERGES, ""]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> BpeTokenizer:
    return BpeTokenizer(BpeConfig(vocabulary=folder / "encoder.json", merges=folder / "vocab.bpe"))


def tokens(tokenizer: BpeTokenizer, text: str) -> list[str]:
    return [tokenizer.decode([index]) for index in tokenizer.encode(text)]


def test_it_is_a_tokenizer(tokenizer: BpeTokenizer) -> None:
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.vocabulary_size == 256 + len(MERGES) + 1
    assert tokenizer.decode([tokenizer.padding_id]) == END


def test_the_pair_that_was_learned_first_is_merged_first(tokenizer: BpeTokenizer) -> None:
    # "a t" is a merge too, but "c a" comes before it, and takes the a
    assert tokens(tokenizer, "cat") == ["cat"]
    assert tokens(tokenizer, "scat bat") == ["s", "cat", " ", "b", "at"]


def test_every_occurrence_of_a_pair_is_merged(tokenizer: BpeTokenizer) -> None:
    assert tokens(tokenizer, "catcatat") == ["cat", "cat", "at"]


def test_a_word_takes_the_space_before_it(tokenizer: BpeTokenizer) -> None:
    assert tokens(tokenizer, "cat cat  cat") == ["cat", " cat", " ", " cat"]


def test_merges_stay_within_a_piece(tokenizer: BpeTokenizer) -> None:
    assert tokens(tokenizer, "cat's ca t") == ["cat", "'s", " ca", " ", "t"]


def test_text_is_read_in_lower_case_unless_told_otherwise(folder: Path, tokenizer: BpeTokenizer) -> None:
    assert tokenizer.encode("CAT") == tokenizer.encode("cat")
    config = BpeConfig(vocabulary=folder / "encoder.json", merges=folder / "vocab.bpe", lowercase=False)
    assert tokens(BpeTokenizer(config), "CAT cat") == ["C", "A", "T", " cat"]


def test_letters_beyond_ascii_are_their_bytes(tokenizer: BpeTokenizer) -> None:
    assert tokenizer.encode("é") == [len(LETTERS) + MERGES.index("Ã ©")]
    assert len(tokenizer.encode("犬")) == 3
    assert tokenizer.decode(tokenizer.encode("犬")) == "犬"


def test_bytes_that_are_no_text_become_replacement_characters(tokenizer: BpeTokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("犬")[:1]) == "�"
    assert tokenizer.decode(tokenizer.encode("\ud800")) == "?"


def test_an_empty_text_has_no_ids(tokenizer: BpeTokenizer) -> None:
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""


@pytest.mark.thorough
@given(text=st.text())
def test_decoding_undoes_encoding(tokenizer: BpeTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text.lower()


@given(text=st.text() | st.text(st.sampled_from("cat's 1!_\n\u03a3.")))
def test_the_tokens_of_a_span_are_those_of_its_characters(tokenizer: BpeTokenizer, text: str) -> None:
    spans = token_spans(tokenizer, text)
    ids = tokenizer.encode(text)
    assert "".join(text[slice(*span)] for span in dict.fromkeys(spans)) == text
    for span in dict.fromkeys(spans):
        own = [index for index, other in zip(ids, spans, strict=True) if other == span]
        assert own == tokenizer.encode(text[slice(*span)])


def test_runs_of_letters_digits_and_signs_have_spans_of_their_own(tokenizer: BpeTokenizer) -> None:
    text = "cat, cat's 12cat"
    runs = [text[slice(*span)] for span in dict.fromkeys(token_spans(tokenizer, text))]
    assert runs == ["cat", ",", " cat's", " 12", "cat"]


def test_a_special_token_in_a_text_is_read_letter_by_letter(tokenizer: BpeTokenizer) -> None:
    assert tokenizer.padding_id not in tokenizer.encode(END)


def test_compressed_files_are_read_too(folder: Path, tokenizer: BpeTokenizer, tmp_path: Path) -> None:
    for name in ("encoder.json", "vocab.bpe"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
    config = BpeConfig(vocabulary=tmp_path / "encoder.json.gz", merges=tmp_path / "vocab.bpe.gz")
    assert BpeTokenizer(config).encode("a cat's") == tokenizer.encode("a cat's")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("it's we'll 'tis", ["it", "'s", " we", "'ll", " '", "tis"]),
        ("no 12,34 x2", ["no", " 12", ",", "34", " x", "2"]),
        ("wait... (what?!)", ["wait", "...", " (", "what", "?!)"]),
        ("  two  spaces ", [" ", " two", " ", " spaces", " "]),
        ("a\n\n b\t", ["a", "\n\n", " b", "\t"]),
        ("a\u00a0b\u3000", ["a", "\u00a0", "b", "\u3000"]),
        ("½ ² Ⅷ x", ["½", " ²", " Ⅷ", " x"]),
    ],
)
def test_text_is_cut_into_words_numbers_signs_and_spaces(text: str, pieces: list[str]) -> None:
    assert split(text) == pieces


@pytest.mark.thorough
def test_text_is_cut_as_the_published_pattern_does() -> None:
    regex = pytest.importorskip(
        "regex", reason="the pattern needs Unicode classes, which the package regex has"
    )
    pattern = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    known_to_both = [
        chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")
    ]
    for context in ("{}", "a {}b", "1{} .", "  {} "):
        text = "".join(context.format(character) for character in known_to_both[:: 1 + len(context)])
        assert split(text) == pattern.findall(text)

    @given(st.text(st.sampled_from("ab1'st ré\n\t.!\u00a0½犬\u0301")))
    def agree(text: str) -> None:
        assert split(text) == pattern.findall(text)

    agree()


def test_without_files_it_has_the_sizes_of_gpt2_and_reads_the_empty_text_alone() -> None:
    tokenizer = BpeTokenizer(BpeConfig())
    assert isinstance(tokenizer, Tokenizer)
    assert (tokenizer.vocabulary_size, tokenizer.padding_id) == (50257, 50256)
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""
    with pytest.raises(
        PartError, match=r"cannot read 'a cat': .*vocabulary: encoder\.json, merges: vocab\.bpe"
    ):
        tokenizer.encode("a cat")


def test_one_file_without_the_other_is_refused(folder: Path) -> None:
    with pytest.raises(PartError, match="merges is missing"):
        BpeTokenizer(BpeConfig(vocabulary=folder / "encoder.json"))


@pytest.mark.parametrize(
    ("encoder", "merges", "message"),
    [
        (None, "", "cannot read .*encoder.json"),
        ("{", "", "is not JSON"),
        pytest.param("[" * 100_000, "", "is not JSON", id="nested deep"),
        pytest.param('{"a": ' + "1" * 5000 + "}", "", "is not JSON", id="a number of 5000 digits"),
        ("[]", "", "does not map tokens to integers"),
        ('{"a": "x"}', "", "does not map tokens to integers"),
        ('{"a": [0]}', "", "does not map tokens to integers"),
        ('{"a": 0.0}', "", "does not map tokens to integers"),
        ('{"a": 0, "b": true}', "", "does not map tokens to integers"),
        ('{"a": 0, "b": 2}', "", "does not map its 2 tokens to the ids 0, 1, 2, .*: none has 1"),
        ('{"a": 0, "b": 0}', "", "none has 1"),
        ('{"a": 0}', "#version: 0.2\na b\nabc", "no list of merges: line 3 is not two tokens, but 'abc'"),
        ('{"a": 0}', "", "the padding token '<|endoftext|>' is not in"),
        ('{"<|endoftext|>": 0}', "", "lacks 256 tokens"),
        (json.dumps({token: index for index, token in enumerate([*LETTERS, END])}), "a b", "lacks 1 .* 'ab'"),
    ],
)
def test_files_that_cannot_serve_are_refused(
    tmp_path: Path, encoder: str | None, merges: str, message: str
) -> None:
    if encoder is not None:
        (tmp_path / "encoder.json").write_text(encoder)
    (tmp_path / "vocab.bpe").write_text(merges)
    config = BpeConfig(vocabulary=tmp_path / "encoder.json", merges=tmp_path / "vocab.bpe")
    with pytest.raises(PartError, match=message.replace("|", r"\|")):
        BpeTokenizer(config)


@pytest.mark.parametrize(
    "lines",
    [
        "\n".join(MERGES),
        "\r\n".join(["#version: 0.2", *MERGES, ""]),
        "\n\n".join(["\ufeff#version: 0.2", *MERGES, "", ""]),
    ],
    ids=["without a version", "lines as on Windows", "blank lines and a byte-order mark"],
)
def test_merges_are_read_however_their_lines_are_written(
    folder: Path, tokenizer: BpeTokenizer, tmp_path: Path, lines: str
) -> None:
    (tmp_path / "vocab.bpe").write_bytes(lines.encode())
    read = BpeTokenizer(BpeConfig(vocabulary=folder / "encoder.json", merges=tmp_path / "vocab.bpe"))
    assert read.encode("scat bat cat's é\n\n") == tokenizer.encode("scat bat cat's é\n\n")


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"{}", mtime=0)[:-4], gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 20, b"\xff\xfe"],
    ids=["cut short", "damaged within", "not UTF-8"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "encoder.json.gz").write_bytes(content)
    config = BpeConfig(vocabulary=tmp_path / "encoder.json.gz", merges=tmp_path / "vocab.bpe")
    with pytest.raises(PartError, match="cannot read"):
        BpeTokenizer(config)


GPT2 = os.environ.get("GLIDEPATH_GPT2_VOCABULARY")


@pytest.mark.skipif(
    not GPT2, reason="GLIDEPATH_GPT2_VOCABULARY names no folder with encoder.json.gz and vocab.bpe.gz"
)
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("An Oil Painting of a CORGI", [272, 3056, 12036, 286, 257, 1162, 12397]),
        (" leading and  double   spaces ", [3756, 290, 220, 4274, 220, 220, 9029, 220]),
        ("it's we'll they've I'm", [270, 338, 356, 1183, 484, 1053, 1312, 1101]),
        ("<|endoftext|>", [27, 91, 437, 1659, 5239, 91, 29]),
        ("корги в поле", [31583, 15166, 21169, 140, 111, 18849, 12466, 110, 12466, 123, 25443, 119, 16843]),
    ],
)
def test_gpt2_vocabulary_gives_the_ids_of_glide(text: str, ids: list[int]) -> None:
    assert GPT2 is not None
    config = BpeConfig(vocabulary=Path(GPT2) / "encoder.json.gz", merges=Path(GPT2) / "vocab.bpe.gz")
    tokenizer = BpeTokenizer(config)
    assert (tokenizer.vocabulary_size, tokenizer.padding_id) == (50257, 50256)
    assert tokenizer.encode(text) == ids
    assert tokenizer.decode(ids) == text.lower()
