"""The page about the kit says what the code holds."""

from __future__ import annotations

from pathlib import Path

from glidepath.registry.describe.keys import KEYS
from glidepath.testing import plugin_module
from glidepath.testing.kinds import CHECKS
from glidepath.testing.suite import GENERIC
from glidepath.testing.trial import PROMPTS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "testing-plugins.md").read_text(encoding="utf-8")


def test_the_page_lists_every_check_with_what_it_holds() -> None:
    known = [*plugin_module.CHECKS, *GENERIC, *(check for some in CHECKS.values() for check in some)]
    lines = [f"| `{check.name}` | {check.about} |" for check in known]
    assert [line for line in PAGE.splitlines() if line.startswith("| `") and line in lines] == lines


def test_the_page_names_the_words_that_an_example_should_know() -> None:
    words = {word for prompt in PROMPTS for word in prompt.split()}
    assert not [word for word in words if f"*{word}*" not in PAGE]


def test_the_page_about_plugins_lists_every_key_that_parts_provide_and_need() -> None:
    lines = [f"| `{name}` | {key.value} | {key.by} |" for name, key in KEYS.items()]
    page = (DOCS / "plugins.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line in lines] == lines
