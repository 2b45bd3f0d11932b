"""Every code block and command of the README and of the guides does what its page says."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from .blocks import LANGUAGES, Block, blocks, is_excerpt, matches
from .command_server import command_server
from .session import ROOT, Session, copy_of_project

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "constraints.txt", "core", "registry", "plugins")
COPIED = {
    "CONTRIBUTING.md": PROJECT,
    "families.md": ("examples",),
    "guidance.md": ("docs/studies",),
    "rectified-flow.md": ("examples",),
}
"""What of the project is copied to where the commands of a page are run."""
NEEDED = {"digits.md": "sklearn", "fashion.md": "pyarrow"}
"""What a page imports that glidepath needs nowhere else."""


def few_clothes(folder: Path) -> None:
    """Files in the format IDX as Debian's package has them, of a few pictures: squares, and what they are."""
    (folder / "fashion-mnist").mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 80), ("t10k", 40)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 : 6 + 2 * label, 4:24] = rng.integers(100, 256)
        for name, values in ((f"{part}-images-idx3", images), (f"{part}-labels-idx1", labels)):
            sides = np.array(values.shape, dtype=">u4").tobytes()
            data = bytes([0, 0, 8, values.ndim]) + sides + values.tobytes()
            (folder / "fashion-mnist" / f"{name}-ubyte.gz").write_bytes(gzip.compress(data))


PREPARED = {"fashion.md": few_clothes}
"""What is put where the commands of a page are run, in the place of what its reader installs."""


@pytest.fixture(scope="module")
def glidepath() -> Iterator[str]:
    """The source of the command `glidepath`, for all pages of this process."""
    with command_server() as source:
        yield source


@pytest.mark.thorough
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_does_what_the_page_says(page: Path, tmp_path: Path, glidepath: str) -> None:
    if page.name in NEEDED:
        pytest.importorskip(NEEDED[page.name], reason="in the extra test, and not installed here")
    folder = tmp_path / "page"
    folder.mkdir()
    copy_of_project(folder, COPIED.get(page.name, ()))
    PREPARED.get(page.name, lambda _folder: None)(folder)
    session = Session(folder, tmp_path, glidepath)
    try:
        for block in blocks(page):
            session.run(block)
    finally:
        session.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_says_what_it_is(page: Path) -> None:
    before: Block | None = None
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block.place}: {block.language!r}"
        if block.language in ("yaml", "toml"):
            named = block.file or block.source
            assert named, f"{block.place}: without '# file: NAME' it is neither written nor checked"
        if block.language == "text":
            assert before is not None, f"{block.place}: there is no block before it that prints something"
            assert before.language in ("sh", "python"), f"{block.place}: the block before it prints nothing"
        before = block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_of_a_page_is_used_by_a_later_block(page: Path) -> None:
    found = blocks(page)
    for index, block in enumerate(found):
        later = "\n".join(it.text for it in found[index + 1 :])
        names = {block.file, Path(block.file).name, Path(block.file).stem, block.file.partition("/")[0]}
        if block.file:
            assert any(name in later for name in names), f"{block.place}: nothing uses {block.file}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        if "://" not in target and not target.startswith("reference/"):  # made when the site is built
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("a\nb", "a\nb\n"),
        ("a ... c", "a b c"),
        ("a\n...\nd", "a\nb\nc\nd"),
        ("a\n...\nd", "a\nd"),
        ("a", "a   \n\n"),
        ("1.5 (x)", "1.5 (x)"),
    ],
)
def test_an_expected_output_matches_up_to_its_dots(expected: str, printed: str) -> None:
    assert matches(expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"), [("a", "b"), ("a", "a\nb"), ("a\n...\nd", "a\nb"), ("a...", "b"), ("1.5", "125")]
)
def test_an_expected_output_does_not_match_another(expected: str, printed: str) -> None:
    assert not matches(expected, printed)


WHOLE = "a = 1\nb = 2\n\n\nc = 3\nd = 4\n"


@pytest.mark.parametrize("text", ["a = 1", "b = 2\n\n\nc = 3", "a = 1\n# ...\nd = 4", "c = 3\n# ...", WHOLE])
def test_an_excerpt_has_whole_lines_of_its_file_in_order(text: str) -> None:
    assert is_excerpt(text, WHOLE)


@pytest.mark.parametrize("text", ["a", "a = 1\nc = 3", "d = 4\n# ...\na = 1", "e = 5"])
def test_what_is_no_excerpt_is_told_apart(text: str) -> None:
    assert not is_excerpt(text, WHOLE)
