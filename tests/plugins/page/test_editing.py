"""A value changed in the text of a spec: the rest stays as it is written."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from glidepath.core import GlidepathError
from glidepath.plugins.page.editing import REMOVED, edited, steps

COMMENTED = """\
extends: shapes  # what we have

# fewer steps than usual
sampler:
  steps: 20 # quick
  use: ddim
# the device
runtime: {device: cpu}
"""


def test_a_plain_value_is_changed_in_its_place() -> None:
    assert edited(COMMENTED, "sampler.steps", 7, {}) == COMMENTED.replace("20", "7")
    assert edited(COMMENTED, "runtime.device", "cuda:1", {}) == COMMENTED.replace("cpu", '"cuda:1"')


def test_a_value_that_is_new_leaves_other_sections_and_their_comments_alone() -> None:
    new = edited(COMMENTED, "sampler.eta", 0.5, {})
    assert yaml.safe_load(new)["sampler"] == {"steps": 20, "use": "ddim", "eta": 0.5}
    assert "# what we have" in new
    assert "# the device\nruntime: {device: cpu}\n" in new


def test_comments_beside_what_is_changed_stay() -> None:
    flow = "sampler: {steps: 20, eta: 0}  # quick\n# the device\nruntime: {device: cpu}  # this one\n"
    new = edited(flow, "sampler.clip", False, {})
    assert new == flow.replace("eta: 0", "eta: 0, clip: false")
    assert edited(flow, "sampler.eta", REMOVED, {}) == flow.replace(", eta: 0", "")
    assert edited(flow, "sampler.steps", REMOVED, {}) == flow.replace("steps: 20, ", "")
    assert edited(flow, "runtime.dtype", "half", {}) == flow.replace(
        "device: cpu", "device: cpu, dtype: half"
    )
    block = "sampler:\n  # fewer\n  steps: 20 # quick\n  eta: 0 # none\n"
    assert edited(block, "sampler.clip", False, {}) == block + "  clip: false\n"
    assert edited(block, "sampler.eta", REMOVED, {}) == block.replace("  eta: 0 # none\n", "")
    parts = "guidance:\n  - {use: classifier-free, scale: 3} # strong\n"
    assert edited(parts, "guidance[0].channels", 3, {}) == parts.replace("scale: 3", "scale: 3, channels: 3")


def test_a_section_that_is_new_stands_at_the_end() -> None:
    assert edited("extends: shapes", "sampler.steps", 7, {}) == "extends: shapes\nsampler:\n  steps: 7\n"
    assert edited("", "sampler", "ddpm", {}) == "sampler: ddpm\n"


def test_the_short_form_of_a_part_becomes_the_long_one() -> None:
    assert yaml.safe_load(edited("sampler: ddim\n", "sampler.eta", 1.0, {})) == {
        "sampler": {"use": "ddim", "eta": 1.0}
    }


def test_of_a_list_that_is_inherited_all_is_written() -> None:
    whole = {"guidance": [{"use": "classifier-free", "scale": 3}, "rescale"]}
    new = edited("extends: shapes\n", "guidance[0].scale", 4, whole)
    assert yaml.safe_load(new)["guidance"] == [{"use": "classifier-free", "scale": 4}, "rescale"]
    new = edited("extends: shapes\n", "guidance[2]", "apg", whole)
    assert yaml.safe_load(new)["guidance"] == [*whole["guidance"], "apg"]
    new = edited("extends: shapes\n", "guidance[0]", REMOVED, whole)
    assert yaml.safe_load(new)["guidance"] == ["rescale"]


def test_what_is_removed_takes_empty_sections_with_it() -> None:
    assert (
        edited("extends: shapes\nsampler:\n  steps: 7\n", "sampler.steps", REMOVED, {}) == "extends: shapes\n"
    )
    assert edited("extends: shapes\n", "sampler.steps", REMOVED, {}) == "extends: shapes\n"


@pytest.mark.parametrize("path", ["", ".", "a..b", "a[", "a[x]", "[0]", "a b", "../x", "a[99999]", "é"])
def test_what_is_no_place_is_refused(path: str) -> None:
    with pytest.raises(GlidepathError, match="no place in a spec"):
        steps(path)


@pytest.mark.parametrize("text", ["a: [", "- a", "just text", "1: 2", "a: &x [*x]", "\0"])
def test_a_text_that_is_no_mapping_is_to_be_mended_first(text: str) -> None:
    with pytest.raises(GlidepathError, match="mend it there first"):
        edited(text, "sampler.steps", 3, {})


_WORDS = st.sampled_from(["a", "b", "use", "on", "steps"])
_PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), st.text(max_size=6), _WORDS)
_DATA = st.dictionaries(
    _WORDS, st.recursive(_PLAIN, lambda inner: st.dictionaries(_WORDS, inner, max_size=3), max_leaves=6)
)


@settings(max_examples=25)
@given(data=_DATA, keys=st.lists(_WORDS, min_size=1, max_size=3), value=_PLAIN, flow=st.booleans())
def test_the_new_text_says_what_the_old_one_said_but_for_one_value(
    data: dict[str, Any], keys: list[str], value: Any, flow: bool
) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True)
    expected = yaml.safe_load(text)
    here: Any = expected
    for key in keys[:-1]:
        inner = here.get(key)
        here[key] = {} if inner is None else {"use": inner} if isinstance(inner, str) else inner
        here = here[key]
        if not isinstance(here, dict):
            with pytest.raises(GlidepathError, match="plain value"):
                edited(text, ".".join(keys), value, {})
            return
    here[keys[-1]] = value
    assert yaml.safe_load(edited(text, ".".join(keys), value, {})) == expected
