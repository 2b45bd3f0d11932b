"""What is renamed or to go still serves, and whoever writes it is told where: until it is gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from glidepath.registry.cli import main
from glidepath.registry.describe import hooks
from glidepath.registry.describe.component import doc
from glidepath.registry.describe.kinds import CORE_KINDS
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.discovery.loading import load, plugin_manager
from glidepath.registry.discovery.scan import scan
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import read_spec

PLUGIN = """
@attrs.frozen(kw_only=True)
class Config:
    steps: int = attrs.field(default=50, metadata=doc("how many", formerly=["num_steps", "n"]))
    eta: float = attrs.field(default=0.0, metadata=doc("noise", deprecated="use ddpm; goes in 0.3"))
    start: None = attrs.field(default=None, metadata=part("sampler", "what begins", formerly=["first"]))

@hookimpl
def components():
    return [
        Component(kind="sampler", name="march", target="acme.parts:March", config=Config, summary="x",
                  formerly=["stroll", "walk"]),
        Component(kind="sampler", name="crawl", target="acme.parts:March", summary="x",
                  deprecated="use march; goes in 0.3"),
    ]
"""
SPEC = """\
extends: shapes
runtime: {device: cpu}
sampler: SAMPLER
"""


@pytest.fixture
def planned(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """The plan of a spec with a sampler, which is written to spec.yaml."""
    site.bundle()
    site.plugin("acme", PLUGIN)
    (site.folder / "acme" / "parts.py").write_text("class March: ...\n")
    monkeypatch.chdir(tmp_path)

    def plan(sampler: str, *overrides: str) -> Plan:
        Path("spec.yaml").write_text(SPEC.replace("SAMPLER", sampler))
        catalogue = load_catalogue()
        return make_plan(read_spec("spec.yaml", overrides, catalogue=catalogue), catalogue)

    return plan


def config(plan: Plan) -> Any:
    return plan.parts["sampler"].config  # type: ignore[union-attr]


def warned(plan: Plan) -> list[str]:
    return [f"{it.place}: {it.what}; {it.hint}".rstrip("; ") for it in plan.warnings]


def test_an_earlier_name_of_a_part_serves_and_is_warned_of(planned: Any) -> None:
    plan = planned("{use: stroll, steps: 3}")
    assert plan.parts["sampler"].registered.full_name == "acme/march"
    assert plan.tree["sampler"]["use"] == "acme/march"
    assert warned(plan) == ["spec.yaml:3:16: the sampler 'stroll' is called 'march' now; write march"]


def test_the_whole_earlier_name_serves_too(planned: Any) -> None:
    (warning,) = warned(planned("acme/walk"))
    assert warning.endswith("write acme/march")


def test_a_part_of_today_has_its_name_before_one_that_had_it_earlier(planned: Any, site: Any) -> None:
    walk = "Component(kind='sampler', name='walk', target='a.b:C', summary='x')"
    site.plugin("other", f"@hookimpl\ndef components():\n    return [{walk}]")
    plan = planned("walk")
    assert plan.parts["sampler"].registered.full_name == "other/walk"
    assert not plan.warnings


def test_an_earlier_name_of_a_parameter_serves_and_is_warned_of(planned: Any) -> None:
    plan = planned("{use: march, num_steps: 3}")
    assert config(plan).steps == 3
    assert plan.tree["sampler"]["steps"] == 3
    assert warned(plan) == [
        "spec.yaml:3:23: sampler march: the parameter 'num_steps' is called 'steps' now; write steps"
    ]


def test_a_parameter_that_is_a_part_may_be_renamed(planned: Any) -> None:
    plan = planned("{use: march, first: {use: march, n: 2}}")
    assert plan.parts["sampler"].parts["start"].config.steps == 2
    assert [it.path for it in plan.warnings] == ["sampler.first", "sampler.start.n"]


def test_both_names_at_once_are_a_fault(planned: Any, capsys: Any) -> None:
    with pytest.raises(Exception, match="'steps' is written twice, also as 'n'"):
        planned("{use: march, n: 3, steps: 4}")


@pytest.mark.parametrize(("first", "second"), [("n", "steps"), ("steps", "n"), ("n", "num_steps")])
def test_a_later_layer_means_the_same_parameter_by_either_name(planned: Any, first: str, second: str) -> None:
    Path("base.yaml").write_text(SPEC.replace("SAMPLER", f"{{use: march, {first}: 3}}"))
    Path("over.yaml").write_text(f"extends: base.yaml\nsampler: {{{second}: 4}}\n")
    planned("march")
    catalogue = load_catalogue()
    plan = make_plan(read_spec("over.yaml", catalogue=catalogue), catalogue)
    assert config(plan).steps == 4


@pytest.mark.parametrize(("first", "second"), [("n", "steps"), ("steps", "n")])
def test_an_override_means_the_same_parameter_by_either_name(planned: Any, first: str, second: str) -> None:
    assert config(planned(f"{{use: march, {first}: 3}}", f"sampler.{second}=5")).steps == 5


def test_an_override_reaches_into_a_renamed_part(planned: Any) -> None:
    plan = planned("{use: march, first: march}", "sampler.start.steps=5")
    assert plan.parts["sampler"].parts["start"].config.steps == 5


def test_a_deprecated_part_and_parameter_are_warned_of_where_they_are_written(planned: Any) -> None:
    assert warned(planned("crawl")) == [
        "spec.yaml:3:10: sampler acme/crawl is deprecated: use march; goes in 0.3"
    ]
    assert warned(planned("{use: march, eta: 1}")) == [
        "spec.yaml:3:23: sampler march: the parameter 'eta' is deprecated: use ddpm; goes in 0.3"
    ]
    assert not planned("march").warnings


def test_check_warns_and_under_strict_it_is_an_error(planned: Any, capsys: Any) -> None:
    planned("{use: stroll, eta: 1}")
    assert main(["check", "spec.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == "spec.yaml: ok\n"
    assert "glidepath: warning: spec.yaml:3:16: the sampler 'stroll' is called 'march' now\n" in err
    assert "    | sampler: {use: stroll, eta: 1}\n" in err
    assert main(["check", "spec.yaml", "--strict"]) == 2
    err = capsys.readouterr().err
    assert "spec.yaml:3:16: the sampler 'stroll'" in err
    assert "the parameter 'eta' is deprecated" in err


def test_check_as_json_has_the_warnings(planned: Any, capsys: Any) -> None:
    planned("crawl")
    assert main(["check", "spec.yaml", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"]
    assert "crawl is deprecated" in document["warnings"][0]
    assert main(["check", "spec.yaml", "--json", "--strict"]) == 2
    assert not json.loads(capsys.readouterr().out)["ok"]


def test_show_tells_what_is_to_go_and_earlier_names(planned: Any, capsys: Any) -> None:
    planned("march")
    assert main(["show", "crawl"]) == 0
    assert "deprecated  use march; goes in 0.3" in capsys.readouterr().out
    assert main(["show", "march"]) == 0
    assert "formerly  stroll" in capsys.readouterr().out


def test_a_lone_name_is_no_list_of_names() -> None:
    with pytest.raises(TypeError, match=r"write \['n'\]"):
        doc("how many", formerly="n")


def test_a_hook_that_is_to_go_is_warned_of_with_its_place(site: Any) -> None:
    notice = DeprecationWarning("parts() is deprecated: write components(); goes in 0.3")
    outdated = SimpleNamespace(parts=hooks.hookspec(lambda: (), warn_on_impl=notice))
    file = site.plugin(
        "acme", "@hookimpl\ndef components():\n    return ()\n\n@hookimpl\ndef parts():\n    return ()\n"
    )
    manager = plugin_manager()
    manager.add_hookspecs(outdated)
    plugins, _ = load(scan(site.path).found, (), manager, CORE_KINDS)
    (record,) = [it.record for it in plugins if it.record.distribution == "acme"]
    assert record.stage == "ok"
    assert record.warnings == (f"{file}:7: parts() is deprecated: write components(); goes in 0.3",)
