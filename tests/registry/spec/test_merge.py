"""Layers are merged as OmegaConf merges them, where no part is concerned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, reject
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import ConfigTypeError

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.spec.merge import merge
from glidepath.registry.spec.positions import Schema
from glidepath.registry.text.mappings import mapping_tree
from glidepath.registry.text.problems import Problems
from glidepath.registry.text.source import Source
from glidepath.registry.text.tree import Node, node_value

_KEYS = st.sampled_from("abc")
_VALUES = st.recursive(
    st.one_of(st.integers(0, 9), st.booleans(), st.none(), st.sampled_from("xyz")),
    lambda below: st.one_of(st.dictionaries(_KEYS, below, max_size=3), st.lists(below, max_size=2)),
    max_leaves=8,
)
_TREES = st.dictionaries(_KEYS, _VALUES, max_size=3)


def tree(values: dict[str, Any]) -> Node:
    return mapping_tree(values, Source("mapping", Path(), ""), Problems())


@given(_TREES, _TREES)
def test_values_are_merged_as_omegaconf_merges_them(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = merge(tree(base), tree(over), Schema(Catalogue()))
    try:
        expected = OmegaConf.merge(OmegaConf.create(base), OmegaConf.create(over))
    except ConfigTypeError:  # a list in the place of a mapping, which a spec may write: guidance, for one
        reject()
    assert node_value(merged) == OmegaConf.to_container(expected)
