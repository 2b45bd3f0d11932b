"""A key of `provides` or `needs` that is nearly one which others use is warned of, with that one."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from glidepath.registry.describe.component import Component, Need
from glidepath.registry.describe.keys import KEYS
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.loading import Loaded
from glidepath.registry.discovery.scan import PluginRecord
from glidepath.registry.plan.diagnosis import examine
from glidepath.registry.plan.key_spelling import odd_keys


@attrs.frozen(kw_only=True)
class Config:
    """Parameters, of which one has no default."""

    key: str


def component(name: str, **more: Any) -> Component:
    return Component(kind="schedule", name=name, target="acme.x:Y", summary="x", **more)


def provides(*keys: str) -> dict[str, Any]:
    return {"provides": lambda _: dict.fromkeys(keys, 1)}


def needs(*keys: str) -> dict[str, Any]:
    return {"needs": lambda _: {key: Need(value=1, optional=True) for key in keys}}


def found(*components: Component) -> list[tuple[str, str, str]]:
    record = PluginRecord(name="acme", distribution="acme", version="1.0")
    return [(odd.side, odd.key, odd.near) for odd in odd_keys(Catalogue([Loaded(record, None, components)]))]


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("schedule.num_step", "schedule.num_steps"),
        ("text_width", "text.width"),
        ("text.widht", "text.width"),
        ("guidance.weights", "guidance.weight"),
    ],
)
def test_a_provided_key_that_nobody_needs_and_that_is_nearly_a_known_one_is_odd(key: str, near: str) -> None:
    assert found(component("a", **provides(key))) == [("provides", key, near)]


def test_so_is_a_needed_one_that_nobody_provides() -> None:
    assert found(component("a", **needs("labels.nul"))) == [("needs", "labels.nul", "labels.null")]


def test_so_are_keys_that_only_plugins_use() -> None:
    parts = [component("a", **provides("acme.flavour")), component("b", **needs("acme.flavor"))]
    assert found(*parts) == [
        ("provides", "acme.flavour", "acme.flavor"),
        ("needs", "acme.flavor", "acme.flavour"),
    ]


@pytest.mark.parametrize("key", ["acme.flavour", "text.depth", "data.height"])
def test_a_key_that_is_like_none_is_not_odd(key: str) -> None:
    assert found(component("a", **provides(key)), component("b", **needs("acme.taste"))) == []


def test_keys_that_agree_are_not_odd() -> None:
    parts = [component("a", **provides("text.widht")), component("b", **needs("text.widht"))]
    assert found(*parts) == []


def test_a_need_of_what_stands_before_is_spelt_without_that_word() -> None:
    right = needs("before.guidance.weight")
    wrong = needs("before.guidance.wieght", "befor.guidance.contrast")
    assert found(component("a", **right)) == []
    assert found(component("a", **wrong)) == [
        ("needs", "befor.guidance.contrast", "before.guidance.contrast"),
        ("needs", "before.guidance.wieght", "before.guidance.weight"),
    ]


def test_no_key_of_our_own_is_nearly_another() -> None:
    for key in KEYS:
        others = component("b", **provides(*(KEYS.keys() - {key})))
        assert found(component("a", **provides(key)), others) == []


def test_a_key_that_depends_on_parameters_is_read_with_those_of_the_example() -> None:
    said = component(
        "a", config=Config, provides=lambda config: {config.key: 1}, example={"key": "text.with"}
    )
    assert found(said) == [("provides", "text.with", "text.width")]


def test_a_part_that_cannot_say_its_keys_has_none_that_are_odd() -> None:
    assert found(component("a", provides=lambda config: {config.key: 1})) == []
    assert found(component("a", config=Config, example="it needs a file", **provides("text.widht"))) == []


def test_the_plugin_is_warned_of_and_stays_sound(site: Any) -> None:
    from glidepath.registry.discovery.catalogue import load_catalogue

    part = "kind='codec', name='plain', target='glidepath.core.codec:IdentityCodec', summary='x'"
    site.plugin(
        "acme",
        "@hookimpl\ndef components():\n"
        f"    return [Component({part}, provides=lambda config: {{'image.chanels': 3}})]\n",
    )
    (record,) = [it for it in examine(load_catalogue(path=site.path)) if it.distribution == "acme"]
    assert not record.faults
    assert record.warnings == (
        "codec 'plain' provides 'image.chanels', which no part needs that is installed; "
        "did you mean 'image.channels'?",
    )
