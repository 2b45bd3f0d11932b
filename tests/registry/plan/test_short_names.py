"""What a short name means where two plugins supply a part, or a preset, of that name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from glidepath.registry.describe.component import Component, Preset
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.loading import Loaded
from glidepath.registry.discovery.plugin_record import PluginRecord
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec
from glidepath.registry.text.problems import Problem, SpecError

PRESET = """\
extends: [common, below.yaml]
denoiser: net
sampler: {use: walk, steps: 30}
"""


@attrs.frozen(kw_only=True)
class Walk:
    """Ours and theirs have different parameters."""

    steps: int = 10


@attrs.frozen(kw_only=True)
class Other:
    """The parameters of the namesakes."""

    jumps: int = 1


def part(kind: str, name: str, config: type[Any]) -> Component:
    return Component(kind=kind, name=name, target="absent.parts:X", config=config, summary=name)


def plugin(folder: Path, distribution: str, config: type[Any], preset: str) -> Loaded:
    """A distribution with the parts that every other has too, and with presets."""
    (folder / distribution).mkdir()
    presets = []
    for name, text in (("main", preset), ("common", "schedule: wave\n")):
        file = folder / distribution / f"{name}.yaml"
        file.write_text(text, encoding="utf-8")
        presets.append(Preset(name=f"{distribution}-main" if name == "main" else name, file=file, summary=""))
    (folder / distribution / "below.yaml").write_text("guidance: [pull]\n", encoding="utf-8")
    kinds = {
        "schedule": "wave",
        "denoiser": "net",
        "guidance": "pull",
        "sampler": "walk",
        "codec": "identity",
    }
    components = tuple(part(kind, name, config) for kind, name in kinds.items())
    record = PluginRecord(name=distribution, distribution=distribution, version="1.0")
    return Loaded(record, None, components, (), tuple(presets), ())


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.chdir(tmp_path)
    return Catalogue(
        [
            plugin(tmp_path, "glidepath-diffusion", Walk, PRESET),
            plugin(tmp_path, "acme", Other, PRESET.replace("steps: 30", "jumps: 5")),
        ]
    )


def made(catalogue: Catalogue, source: str, *overrides: str) -> Plan:
    return make_plan(read_spec(source, overrides, catalogue=catalogue), catalogue)


def problem(catalogue: Catalogue, source: str, *overrides: str) -> Problem:
    with pytest.raises(SpecError) as caught:
        made(catalogue, source, *overrides)
    (only,) = caught.value.problems
    return only


@pytest.mark.parametrize("distribution", ["glidepath-diffusion", "acme"])
def test_a_preset_means_the_parts_and_presets_of_its_own_distribution(
    catalogue: Catalogue, distribution: str
) -> None:
    plan = made(catalogue, f"{distribution}-main")
    assert {part.registered.full_name for part in plan.all_parts() if part.path != "codec"} == {
        f"{distribution}/{name}" for name in ("wave", "net", "pull", "walk")
    }


def test_a_file_on_a_preset_leaves_the_names_of_the_preset_to_it(catalogue: Catalogue) -> None:
    Path("my.yaml").write_text("extends: acme-main\nsampler: {jumps: 7}\n", encoding="utf-8")
    plan = made(catalogue, "my.yaml", "schedule.jumps=3")
    assert plan.parts["sampler"].config == Other(jumps=7)
    assert plan.parts["schedule"].config == Other(jumps=3)


def test_a_short_name_of_a_users_file_or_override_must_say_which(catalogue: Catalogue) -> None:
    Path("my.yaml").write_text("extends: acme-main\nsampler: walk\n", encoding="utf-8")
    for source, override in (("my.yaml", ()), ("glidepath-diffusion-main", ("sampler.use=walk",))):
        found = problem(catalogue, source, *override)
        assert found.what == "2 installed plugins supply a sampler named 'walk'"
        assert found.allowed == ("acme/walk", "glidepath-diffusion/walk")


def test_one_part_by_its_short_and_its_full_name_keeps_the_inherited_parameters(
    catalogue: Catalogue,
) -> None:
    Path("short.yaml").write_text("extends: acme-main\nsampler: walk\n", encoding="utf-8")
    assert read_spec("short.yaml", catalogue=catalogue).tree["sampler"] == {"use": "walk", "jumps": 5}
    assert made(catalogue, "acme-main", "sampler=acme/walk").parts["sampler"].config == Other(jumps=5)
    assert made(catalogue, "acme-main", "sampler=glidepath-diffusion/walk").parts["sampler"].config == Walk()


def test_a_part_that_its_own_distribution_does_not_have_is_looked_for_in_all(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    file = tmp_path / "third.yaml"
    file.write_text("extends: acme-main\nsampler: walk\n", encoding="utf-8")
    record = PluginRecord(name="third", distribution="third", version="1.0")
    third = Loaded(record, None, (), (), (Preset(name="third-main", file=file, summary=""),), ())
    ours = attrs.evolve(record, distribution="glidepath-diffusion")
    codec = Loaded(ours, None, (part("codec", "identity", Walk),), (), (), ())
    _, acme = catalogue._plugins
    one = made(Catalogue([acme, codec, third]), "third-main")
    assert one.parts["sampler"].registered.full_name == "acme/walk"
    both = problem(Catalogue([*catalogue._plugins, third]), "third-main")
    assert both.allowed == ("acme/walk", "glidepath-diffusion/walk")
