"""CLIP's byte-pair encoding.

The rules are tested on a small list of merges made here. CLIP's own is not part of the project: it is tried
too where GLIDEPATH_CLIP_VOCABULARY names the file bpe_simple_vocab_16e6.txt.gz.
"""

from __future__ import annotations

import copy
import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glidepath.core.errors import PartError
from glidepath.core.text_encoder import Tokenizer
from glidepath.plugins.clip.noised import MarkingTokenizer
from glidepath.plugins.text.clip_bpe import END, START, TOKENS, ClipBpeTokenizer, split
from glidepath.plugins.text.configs import ClipBpeConfig

MERGES = ["c a", "ca t</w>", "ca t", "a t</w>", "' s</w>", "Ã ©</w>"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("vocabulary") / "merges.txt"
    file.write_text("\n".join(['"merges.txt#version: 0.2', *MERGES, ""]), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def tokenizer(file: Path) -> ClipBpeTokenizer:
    return ClipBpeTokenizer(ClipBpeConfig(vocabulary=file))


def tokens(tokenizer: ClipBpeTokenizer, text: str) -> list[str]:
    return [tokenizer.decode([index]) for index in tokenizer.encode(text)]


def test_it_is_a_tokenizer_that_marks_the_ends_of_a_text(tokenizer: ClipBpeTokenizer) -> None:
    assert isinstance(tokenizer, Tokenizer)
    assert isinstance(tokenizer, MarkingTokenizer)
    size = 2 * 256 + len(MERGES) + 2
    assert (tokenizer.vocabulary_size, tokenizer.padding_id) == (size, 0)
    assert (tokenizer.start_id, tokenizer.end_id) == (size - 2, size - 1)
    assert tokenizer.decode([tokenizer.start_id, tokenizer.end_id]) == START + END


def test_ids_are_bytes_then_bytes_that_end_a_word_then_merges(tokenizer: ClipBpeTokenizer) -> None:
    assert tokenizer.encode("! a") == [256, 256 + ord("a") - ord("!")]
    assert tokenizer.encode("cat") == [512 + MERGES.index("ca t</w>")]
    assert tokenizer.encode("é") == [512 + MERGES.index("Ã ©</w>")]


def test_the_end_of_a_word_is_another_token_than_its_middle(tokenizer: ClipBpeTokenizer) -> None:
    assert tokenizer.encode("catcat") == [512 + MERGES.index("ca t"), 512 + MERGES.index("ca t</w>")]


def test_the_pair_that_was_learned_first_is_merged_first(tokenizer: ClipBpeTokenizer) -> None:
    # "a t</w>" is a merge too, but "c a" comes before it, and takes the a
    assert tokens(tokenizer, "scat bat") == ["s", "cat", "b", "at"]


def test_text_is_read_in_lower_case_and_white_space_is_lost(tokenizer: ClipBpeTokenizer) -> None:
    assert tokenizer.encode(" CAT\n\tcat ") == tokenizer.encode("cat cat")
    assert tokenizer.decode(tokenizer.encode("A\u00a0 cat's ")) == "a cat 's"


def test_entities_are_replaced_even_where_they_are_escaped_twice(tokenizer: ClipBpeTokenizer) -> None:
    assert tokens(tokenizer, "&lt;b&gt; &amp;amp; <") == ["<", "b", ">", "&", "<"]


def test_a_file_without_a_version_loses_no_merge(
    file: Path, tokenizer: ClipBpeTokenizer, tmp_path: Path
) -> None:
    lines = file.read_text(encoding="utf-8").split("\n")
    (tmp_path / "merges.txt").write_bytes("\r\n".join(lines[1:]).encode())
    read = ClipBpeTokenizer(ClipBpeConfig(vocabulary=tmp_path / "merges.txt"))
    assert (read.vocabulary_size, read.encode("cat")) == (tokenizer.vocabulary_size, tokenizer.encode("cat"))


def test_a_mark_whose_capital_is_a_letter_is_dropped(tokenizer: ClipBpeTokenizer) -> None:
    assert tokens(tokenizer, "!\u0345 a\u0345b") == ["!", "a", "b"]


def test_marks_written_out_in_a_text_are_read_as_marks(tokenizer: ClipBpeTokenizer) -> None:
    start, *_, end = tokenizer.encode(f"{START} a {END}")
    assert (start, end) == (tokenizer.start_id, tokenizer.end_id)


def test_bytes_that_are_no_text_become_replacement_characters(tokenizer: ClipBpeTokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("犬")[:1]) == "�"
    assert tokenizer.decode(tokenizer.encode("\ud800")) == "�"


def test_an_empty_text_has_no_ids(tokenizer: ClipBpeTokenizer) -> None:
    assert tokenizer.encode("") == tokenizer.encode(" \n") == []
    assert tokenizer.decode([]) == ""


@given(text=st.text(st.characters(categories=("L", "N"), codec="ascii")))
def test_a_word_is_decoded_as_it_was(tokenizer: ClipBpeTokenizer, text: str) -> None:
    words = split(text.lower())
    assert tokenizer.decode(tokenizer.encode(text)) == " ".join(words)
    assert "".join(words) == text.lower()


@given(text=st.text())
def test_any_text_has_ids(tokenizer: ClipBpeTokenizer, text: str) -> None:
    assert all(0 <= index < tokenizer.vocabulary_size for index in tokenizer.encode(text))


def test_a_compressed_file_is_read_too(file: Path, tokenizer: ClipBpeTokenizer, tmp_path: Path) -> None:
    (tmp_path / "merges.txt.gz").write_bytes(gzip.compress(file.read_bytes()))
    compressed = ClipBpeTokenizer(ClipBpeConfig(vocabulary=tmp_path / "merges.txt.gz"))
    assert compressed.encode("a cat's") == copy.deepcopy(tokenizer).encode("a cat's")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("it's we'll 'tis", ["it", "'s", "we", "'ll", "'t", "is"]),
        ("no 12,34 x2", ["no", "1", "2", ",", "3", "4", "x", "2"]),
        ("wait... (what?!)", ["wait", "...", "(", "what", "?!)"]),
        ("a\u00a0b\u3000\u2028c", ["a", "b", "c"]),
        ("½ ² Ⅷ x", ["½", "²", "Ⅷ", "x"]),
        (f"{START}a{END.upper()}", [START, "a", END.upper()]),
    ],
)
def test_text_is_cut_into_words_single_digits_and_signs(text: str, words: list[str]) -> None:
    assert split(text) == words


def test_text_is_cut_as_the_published_pattern_does() -> None:
    regex = pytest.importorskip(
        "regex", reason="the pattern needs Unicode classes, which the package regex has"
    )
    pattern = regex.compile(
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
        regex.IGNORECASE,
    )

    @given(st.text(st.sampled_from("ab1'sStTdſ ré\n\t.!\u00a0½犬\u0301<|>")))
    def agree(text: str) -> None:
        assert split(text) == pattern.findall(text)

    agree()


def test_without_a_file_it_has_the_sizes_of_clip_and_knows_the_empty_text() -> None:
    bare = ClipBpeTokenizer(ClipBpeConfig())
    assert (bare.vocabulary_size, bare.start_id, bare.end_id) == (TOKENS, 49406, 49407)
    assert bare.encode("") == []
    with pytest.raises(PartError, match=r"was given no vocabulary.*bpe_simple_vocab_16e6\.txt\.gz"):
        bare.encode("a cat")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (gzip.compress(b"x", mtime=0)[:-4], "cannot read"),
        (b"\xff\xfe", "cannot read"),
        (b"", "is no list of merges"),
        (b"version\na b c", "is no list of merges: line 2 is not two tokens, but 'a b c'"),
        (b"#version: 0.2\nab c", "is no list of merges: 'ab c' merges 'ab' before anything makes it"),
        (b"#version: 0.2\na b\na b", "is no list of merges: 'a b' makes what is there already"),
    ],
    ids=["missing", "cut short", "not UTF-8", "empty", "three tokens", "made by nothing", "made twice"],
)
def test_a_file_that_cannot_serve_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "merges.txt.gz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PartError, match=message):
        ClipBpeTokenizer(ClipBpeConfig(vocabulary=file))


CLIP = os.environ.get("GLIDEPATH_CLIP_VOCABULARY")


@pytest.mark.skipif(not CLIP, reason="GLIDEPATH_CLIP_VOCABULARY names no file bpe_simple_vocab_16e6.txt.gz")
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", []),
        ("An Oil Painting of a CORGI", [550, 2870, 3086, 539, 320, 31320]),
        (" leading and  double   spaces ", [3833, 537, 3200, 9006]),
        (
            "it's we'll they've I'm you'd don't",
            [585, 568, 649, 1342, 889, 1200, 328, 880, 592, 1896, 847, 713],
        ),
        ("<|startoftext|> and <|endoftext|>", [49406, 537, 49407]),
        ("&lt;b&gt; &amp;amp; html", [283, 321, 285, 261, 18231]),
        ("“quoted” — dash … ellipsis", [257, 27706, 257, 2005, 10206, 959, 3367, 33041]),
        ("cafe\u0301", [15304]),
        ("\u00a0non-breaking\u00a0space\u3000ideographic", [3353, 268, 2755, 2138, 1909, 78, 4245]),
        (
            "корги в поле",
            [27152, 13506, 16370, 140, 111, 140, 372, 140, 366, 26302, 20978, 119, 140, 369],
        ),
    ],
)
def test_clip_vocabulary_gives_the_ids_of_clip(text: str, ids: list[int]) -> None:
    assert CLIP is not None
    tokenizer = ClipBpeTokenizer(ClipBpeConfig(vocabulary=Path(CLIP)))
    assert (tokenizer.vocabulary_size, tokenizer.start_id, tokenizer.end_id) == (49408, 49406, 49407)
    assert tokenizer.encode(text) == ids
