"""Plans: parts, defaults, sources, the resolved tree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from tests.registry.made_up import BASE, COMPONENTS, make_catalogue

from glidepath.registry.describe.component import Component, Inner, Need, part, parts
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.parts import PartPlan, Runtime
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec
from glidepath.registry.text.canonical_json import canonical_json
from glidepath.registry.text.problems import Problem, SpecError

GOOD = "schedule: cosine\ndenoiser: tiny-unet\nsampler: ddpm\n"

ToPlan = Callable[..., Plan]
Fault = Callable[..., Problem]


def only(plan: Plan, slot: str) -> PartPlan:
    found = plan.parts[slot]
    assert isinstance(found, PartPlan)
    return found


def test_a_plan_has_each_part_with_its_config(plan: ToPlan) -> None:
    made = plan(BASE)
    sampler = only(made, "sampler")
    assert (sampler.path, sampler.registered.full_name, str(sampler.place)) == (
        "sampler",
        "glidepath-diffusion/ddpm",
        "s.yaml:5:16",
    )
    assert sampler.config.steps == 150
    guidance = made.parts["guidance"]
    assert isinstance(guidance, tuple)
    assert [(each.path, each.config.scale) for each in guidance] == [("guidance[0]", 3.0)]
    assert made.distributions == {"glidepath-diffusion": "1.2"}
    assert made.weights is None


def test_an_empty_spec_is_told_to_begin_with_a_preset(fault: Fault) -> None:
    problem = fault("{}")
    assert problem.what == "a spec has parts, and this is empty"
    assert problem.hint == "begin with those of a preset: extends: NAME"


def test_a_plan_tells_where_each_value_came_from(plan: ToPlan) -> None:
    made = plan(BASE, "denoiser.channels=32")
    assert only(made, "denoiser").sources == {
        "image_size": "default",
        "in_channels": "default",
        "channels": "--set #1",
        "channel_mult": "default",
        "attention": "default",
        "text_width": "s.yaml:3:54",
        "learned_variance": "default",
    }
    assert made.sources["denoiser.channels"] == "--set #1"
    assert made.sources["denoiser.use"] == "s.yaml:3:17"
    assert made.sources["guidance[0].scale"] == "s.yaml:4:42"


def test_an_absent_slot_takes_the_default_of_its_kind(plan: ToPlan) -> None:
    assert only(plan(GOOD), "codec").registered.component.name == "identity"
    assert only(plan(GOOD + "codec: null\n"), "codec").registered.component.name == "identity"


def test_an_optional_slot_that_is_empty_is_absent(plan: ToPlan) -> None:
    assert set(plan(GOOD).parts) == {"schedule", "denoiser", "sampler", "codec"}
    assert plan(GOOD + "guidance: []\n").parts["guidance"] == ()
    assert "guidance" not in plan(GOOD + "guidance: null\n").parts


def test_a_single_part_is_a_list_of_one_where_a_list_is_meant(plan: ToPlan) -> None:
    for written in ("classifier-free", "{use: classifier-free}", "[classifier-free]"):
        guidance = plan(GOOD + f"guidance: {written}\n").parts["guidance"]
        assert isinstance(guidance, tuple)
        assert [each.path for each in guidance] == ["guidance[0]"]


def test_a_component_without_a_config_has_none(plan: ToPlan) -> None:
    made = plan("schedule: plain\ndenoiser: tiny-unet\nsampler: acme/euler\n")
    assert only(made, "schedule").config is None
    assert made.tree["sampler"] == {"use": "acme/euler"}
    assert made.distributions == {"acme": "2.0", "glidepath-diffusion": "1.2"}


def test_parts_stand_inside_parts(plan: ToPlan) -> None:
    made = plan(GOOD + "text_encoder: {use: transformer, tokenizer: {use: words, title: x}}\n")
    encoder = only(made, "text_encoder")
    tokenizer = encoder.parts["tokenizer"]
    assert isinstance(tokenizer, PartPlan)
    assert (tokenizer.path, tokenizer.config.title) == ("text_encoder.tokenizer", "x")
    assert encoder.config.tokenizer is None
    assert "tokenizer" not in encoder.sources
    assert made.tree["text_encoder"]["tokenizer"]["use"] == "glidepath-diffusion/words"
    assert [each.path for each in made.all_parts()][-1] == "text_encoder.tokenizer"


def test_an_inner_part_may_be_absent_or_null(plan: ToPlan) -> None:
    for written in ("transformer", "{use: transformer, tokenizer: null}"):
        made = plan(GOOD + f"text_encoder: {written}\n")
        assert only(made, "text_encoder").parts == {}
        assert made.tree["text_encoder"]["tokenizer"] is None


def test_inner_parts_have_defaults_and_lists(plan: ToPlan) -> None:
    made = plan(GOOD.replace("tiny-unet", "ensemble").replace("ddpm", "{use: ddpm, variance: fixed-small}"))
    ensemble = only(made, "denoiser")
    first, members = ensemble.parts["first"], ensemble.parts["members"]
    assert isinstance(first, PartPlan)
    assert first.config.channels == 192
    assert members == ()
    assert ensemble.config.members == ()
    made = plan(
        GOOD.replace("tiny-unet", "{use: ensemble, members: [tiny-unet, {use: tiny-unet, channels: 3}]}")
    )
    members = only(made, "denoiser").parts["members"]
    assert isinstance(members, tuple)
    assert [(each.path, each.config.channels) for each in members] == [
        ("denoiser.members[0]", 192),
        ("denoiser.members[1]", 3),
    ]
    # what the sampler needs of a denoiser, this one hands on from inside
    assert made.tree["sampler"]["variance"] == "learned-range"


def test_a_faulty_inner_part_has_its_path(faults: Callable[..., Any]) -> None:
    text = GOOD.replace(
        "tiny-unet", "{use: ensemble, first: [tiny-unet], members: [tiny-unet, {use: tiny-unit}, {}]}"
    )
    assert [(problem.path, problem.what) for problem in faults(text)] == [
        ("denoiser.first", "denoiser.first takes one denoiser, and this is a list"),
        ("denoiser.members[1]", "there is no denoiser named 'tiny-unit'"),
        ("denoiser.members[2]", "denoiser.members[2] does not say which denoiser it is"),
    ]


def test_an_inner_part_with_a_default_cannot_be_taken_away(fault: Fault) -> None:
    problem = fault(GOOD.replace("tiny-unet", "{use: ensemble, first: null}"))
    assert problem.path == "denoiser.first"
    assert problem.what.startswith("denoiser.first takes the name of a denoiser")


def test_the_tree_of_a_plan_is_a_spec_that_gives_the_same_plan(plan: ToPlan, tmp_path: Path) -> None:
    text = """\
schedule: cosine
text_encoder:
  use: transformer
  tokenizer:
    use: words
    file: sub/words.txt
    vocabulary: ['no', '012', "a\\u2028b\\x7f\\x85\\ufeff\\U0001f600"]
denoiser: {use: ensemble, members: [{use: tiny-unet, text_width: 512}], weights: d.pt}
guidance:
  - use: odd
    colour: GREEN
    limits: [3, 4]
    weights_by_name: {a: .inf, b: 1e-7}
    extra: [null, {k: 'on'}]
    amount: 2
  - classifier-free
sampler: {use: ddim, steps: [1, 2], eta: 1}
weights: {path: 'hub:a/b/c.pt', sha256: 'HASH'}
runtime: {device: 'cuda:1', channels_last: true}
plugins: {require: {acme: '>=1'}, deny: [other]}
""".replace("HASH", "f" * 64)
    made = plan(text, folder=tmp_path)
    dumped = json.loads(canonical_json(made.tree)) | {}
    assert dumped == made.tree
    for again in (
        plan(canonical_json(made.tree), folder=tmp_path),
        plan(canonical_json(made.tree, indent=2), folder=tmp_path, untrusted=True),
        plan(yaml.safe_dump(made.tree, allow_unicode=False), folder=tmp_path),
    ):
        assert canonical_json(again.tree) == canonical_json(made.tree)
    assert made.tree["text_encoder"]["tokenizer"]["file"] == "sub/words.txt"
    assert made.tree["guidance"][0]["colour"] == "GREEN"
    assert made.tree["guidance"][0]["decay"] == {"rate": 0.1, "floor": 0.0}
    assert made.tree["plugins"] == {"require": {"acme": ">=1"}, "allow": None, "deny": ["other"]}
    assert made.tree["runtime"]["device"] == "cuda:1"
    assert "extends" not in made.tree


def test_the_tree_does_not_depend_on_how_a_spec_is_written(plan: ToPlan) -> None:
    long = """\
sampler: {steps: 150, use: glidepath-diffusion/ddpm}
denoiser: {use: tiny-unet, channel_mult: [1.0, 2, 3, 4]}
schedule: {num_steps: 1000, use: cosine}
"""
    assert canonical_json(plan(long).tree) == canonical_json(plan(GOOD).tree)
    assert list(plan(long).tree) == list(plan(GOOD).tree)


def test_a_spec_that_lets_no_plugin_in_stays_so(plan: ToPlan, faults: Callable[..., Any]) -> None:
    for problem in faults(GOOD + "plugins: {allow: []}\n"):
        assert problem.what.endswith("which plugins.allow keeps out")
    assert "plugins" not in plan(GOOD + "plugins: {deny: [], allow: null}\n").tree


def test_the_tree_does_not_depend_on_where_its_folder_is(plan: ToPlan, tmp_path: Path) -> None:
    text = GOOD + "weights: w.pt\n"
    assert plan(text, folder=tmp_path / "a").tree == plan(text, folder=tmp_path / "b").tree


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_devices_are_as_torch_names_them(plan: ToPlan, device: str) -> None:
    assert plan(f"{GOOD}runtime: {{device: {device}}}\n").runtime == Runtime(device=device)


@pytest.mark.parametrize(
    ("written", "path", "what"),
    [
        ("{device: 'cuda:'}", "runtime.device", "device is cuda:, which is not one of its values"),
        ("{dtype: half}", "runtime.dtype", "dtype cannot be 'half'"),
        ("{compile: 1}", "runtime.compile", "compile takes bool, and 1 is a number"),
        ("{channels_last: maybe}", "runtime.channels_last", "channels_last cannot be 'maybe'"),
        ("{offload: stages}", "runtime.offload", "offload cannot be 'stages'"),
        ("{quantize: int4}", "runtime.quantize", "quantize cannot be 'int4'"),
        ("{divice: cpu}", "runtime.divice", "runtime has no parameter 'divice'"),
        ("{use: cpu}", "runtime.use", "runtime has no parameter 'use'"),
        ("cpu", "runtime", "runtime takes a mapping, and this is text"),
    ],
)
def test_the_runtime_is_checked_as_a_part_is(fault: Fault, written: str, path: str, what: str) -> None:
    problem = fault(f"{GOOD}runtime: {written}\n")
    assert (problem.path, problem.what) == (path, what)


def test_a_runtime_may_be_null(plan: ToPlan) -> None:
    assert plan(f"{GOOD}runtime: null\n").runtime == Runtime()


@pytest.mark.parametrize(
    ("written", "column", "path", "what", "hint"),
    [
        ("{require: {acme: '>=3'}}", 27, "plugins.require.acme",
         "the spec requires acme >=3, and 2.0 is installed",
         'pip install "acme>=3"'),
        ("{require: {Acme: '<2'}}", 27, "plugins.require.Acme",
         "the spec requires Acme <2, and 2.0 is installed",
         'pip install "Acme<2"'),
        ("{require: {no-such: '>=3'}}", 21, "plugins.require.no-such",
         "the spec requires 'no-such', which is not installed", 'pip install "no-such>=3"'),
        ("{require: {glidpath-difusion: '>=9'}}", 21, "plugins.require.glidpath-difusion",
         "the spec requires 'glidpath-difusion', which is not installed",
         "did you mean 'glidepath-diffusion'?"),
        ("{require: {Glidepath_Diffusion: '>=9'}}", 42, "plugins.require.Glidepath_Diffusion",
         "the spec requires Glidepath_Diffusion >=9, and 1.2 is installed",
         'pip install "Glidepath_Diffusion>=9"'),
        ("{require: {glidepath: '>=0.1'}}", 21, "plugins.require.glidepath",
         "the spec requires 'glidepath', which is not installed",
         "glidepath's own distribution is named glidepath-diffusion"),
        ("{require: {'': '>=3'}}", 21, "plugins.require", "the spec requires '', which is not installed",
         'pip install ">=3"'),
        ("{require: {acme: about 3}}", 27, "plugins.require.acme", "'about 3' is not a range of versions",
         'such as ">=1.2,<2"'),
        ("{require: {acme: 2.0}}", 27, "plugins.require.acme",
         "require takes text, and 2.0 without quotes is the number 2.0 in YAML",
         'write it in quotes: "2.0"'),
        ("{require: acme}", 20, "plugins.require", "require takes mapping of str to str, and 'acme' is text",
         None),
        ("{deny: acme}", 17, "plugins.deny", "deny takes list of str, and 'acme' is text", "write [acme]"),
        ("{forbid: [acme]}", 11, "plugins.forbid", "plugins has no parameter 'forbid'", ""),
        ("[acme]", 10, "plugins", "plugins takes a mapping, and this is a list", ""),
    ],
)  # fmt: skip
def test_requirements_are_checked(
    fault: Fault, written: str, column: int, path: str, what: str, hint: str | None
) -> None:
    problem = fault(f"{GOOD}plugins: {written}\n")
    assert (problem.path.rstrip("."), problem.what) == (path, what)
    assert problem.place is not None
    assert (problem.place.line, problem.place.column) == (4, column)
    if hint is not None:
        assert problem.hint == hint


def test_requirements_that_are_met_are_no_fault(plan: ToPlan) -> None:
    made = plan(GOOD + "plugins: {require: {acme: '>=1,<3', attrs: '>=20', glidepath-diffusion: ''}}\n")
    assert made.tree["plugins"]["require"]["acme"] == ">=1,<3"


@pytest.mark.parametrize(
    ("switch", "refused"),
    [
        ("{deny: [acme]}", True),
        ("{deny: [acme/acme]}", True),
        ("{deny: [ACME]}", True),
        ("{deny: [glidepath-diffusion/acme]}", False),
        ("{deny: []}", False),
        ("{allow: [parts]}", True),
        ("{allow: [glidepath-diffusion, acme]}", False),
        ("{allow: null}", False),
    ],
)
def test_parts_of_plugins_that_are_kept_out_cannot_be_used(
    plan: ToPlan, faults: Callable[..., Any], switch: str, refused: bool
) -> None:
    text = GOOD.replace("ddpm", "acme/euler") + f"plugins: {switch}\n"
    if refused:
        (problem,) = faults(text)
        name = switch[1 : switch.index(":")]
        assert problem.what == f"acme/euler is of the plugin 'acme', which plugins.{name} keeps out"
        assert problem.path == "sampler"
    else:
        plan(text)


def test_a_component_checks_its_own_config(fault: Fault) -> None:
    problem = fault(GOOD + "guidance: [{use: odd, low: 9, high: 3}]\n")
    assert problem.what == "low 9 is above high 3"
    assert (problem.path, str(problem.place)) == ("guidance[0].low", "s.yaml:4:28")


def test_a_constructor_that_refuses_is_a_fault(fault: Fault) -> None:
    problem = fault(GOOD + "guidance: [{use: odd, low: 10}]\n")
    assert problem.what == "guidance odd: low and high are the same"
    assert problem.path == "guidance[0]"


@attrs.frozen(kw_only=True)
class Strange:
    """A config class."""

    a: int = 0
    codec: Any = attrs.field(metadata=part("codec", "a part that must be given"))


def _fails(*_arguments: object) -> Any:
    raise ZeroDivisionError("oh")


def with_strange(**options: Any) -> Catalogue:
    options = {"kind": "sampler", "name": "strange", "target": "a:B", "summary": "s"} | options
    return make_catalogue(components=(*COMPONENTS, Component(**options)))


def problems_with(catalogue: Catalogue, text: str) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        make_plan(parse_spec(text, "s.yaml", catalogue=catalogue), catalogue)
    return [(problem.path, problem.what) for problem in caught.value.problems]


STRANGE = GOOD.replace("ddpm", "strange")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"check": _fails}, "glidepath-diffusion/strange cannot check its parameters: ZeroDivisionError: oh"),
        ({"provides": _fails},
         "glidepath-diffusion/strange cannot say what it provides: ZeroDivisionError: oh"),
        ({"needs": _fails}, "glidepath-diffusion/strange cannot say what it needs: ZeroDivisionError: oh"),
        (
            {"needs": lambda _config: {"image.channels": Need(test=_fails)}},
            "sampler (strange) does not fit denoiser (tiny-unet), whose image.channels is 3: "
            "ZeroDivisionError: oh",
        ),
        ({"needs": lambda _config: {"no.such": Need(value=1)}},
         "sampler (strange) needs no.such, and no part provides it"),
        ({"config": "no_such_module:C"},
         "the parameters of glidepath-diffusion/strange cannot be read: 'no_such_module:C': "
         "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)  # fmt: skip
def test_a_fault_of_a_plugin_is_a_fault_of_the_spec_that_uses_it(options: dict[str, Any], what: str) -> None:
    assert problems_with(with_strange(**options), STRANGE) == [("sampler", what)]


def test_an_optional_need_may_be_unmet() -> None:
    catalogue = with_strange(needs=lambda _config: {"no.such": Need(value=1, optional=True)})
    make_plan(parse_spec(STRANGE, "s.yaml", catalogue=catalogue), catalogue)


def test_a_part_does_not_meet_its_own_need() -> None:
    catalogue = with_strange(needs=lambda _config: {"x": Need(value=1)}, provides=lambda _config: {"x": 1})
    assert problems_with(catalogue, STRANGE)[0][1] == "sampler (strange) needs x, and no part provides it"


def test_an_inner_part_that_must_be_given_is_missed() -> None:
    catalogue = with_strange(config=Strange)
    assert problems_with(catalogue, STRANGE) == [
        ("sampler.codec", "sampler strange needs 'codec', which is a codec")
    ]
    made = make_plan(
        parse_spec(GOOD.replace("ddpm", "{use: strange, codec: identity}"), "s", catalogue=catalogue),
        catalogue,
    )
    assert only(made, "sampler").config.codec is None


def test_a_hundred_parts_are_enough(faults: Callable[..., Any]) -> None:
    problems = faults(GOOD + f"guidance: [{', '.join(['classifier-free'] * 120)}]\n")
    assert [problem.what for problem in problems] == ["the spec has more than 100 parts"]


def test_a_kind_that_a_plugin_adds_is_a_slot(faults: Callable[..., Any]) -> None:
    assert [problem.path for problem in faults(GOOD + "data: shapes\n")] == ["data"]


def test_neither_torch_nor_an_implementation_is_imported() -> None:
    program = """
import sys
from tests.registry.made_up import BASE, make_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec
catalogue = make_catalogue()
make_plan(parse_spec(BASE, "s", catalogue=catalogue), catalogue)
try:
    parse_spec("a: ${oc.env:HOME}", "s", catalogue=catalogue)
except Exception as error:
    assert type(error).__name__ == "SpecError", error
for name in ("torch", "numpy", "safetensors", "huggingface_hub"):
    assert name not in sys.modules, name
"""
    root = Path(__file__).parents[3]
    path = [str(root), *(str(root / name) for name in ("core", "registry", "plugins"))]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_resolvers_of_omegaconf_are_left_alone(plan: ToPlan) -> None:
    from omegaconf.basecontainer import BaseContainer

    before = dict(BaseContainer._resolvers)
    plan(BASE + "codec: identity\n", "guidance[0]=odd", "guidance[0].colour=RED")
    assert BaseContainer._resolvers == before


@attrs.frozen(kw_only=True)
class PairConfig:
    first: Any = attrs.field(metadata=part("text_encoder", "the left half of the width"))
    more: Any = attrs.field(default=(), metadata=parts("text_encoder", "the rest"))


def summed(_config: PairConfig, inner: Inner) -> dict[str, object]:
    return {"text.width": inner["first"]["text.width"] + sum(more["text.width"] for more in inner["more"])}


PAIR = Component(
    kind="text_encoder", name="pair", target="x:Y", config=PairConfig, summary="s", provides=summed
)
OF_PAIR = """
schedule: cosine
sampler: ddpm
denoiser: {use: tiny-unet, text_width: 30}
text_encoder:
  use: pair
  first: {use: transformer, width: 10}
  more: [{use: transformer, width: 15}, {use: transformer, width: 5}]
"""


def test_a_part_made_of_others_provides_what_follows_from_theirs() -> None:
    catalogue = make_catalogue(components=(*COMPONENTS, PAIR))
    text = OF_PAIR
    make_plan(parse_spec(text, "s.yaml", (), catalogue=catalogue), catalogue)
    wrong = parse_spec(text, "s.yaml", ["text_encoder.first.width=9"], catalogue=catalogue)
    with pytest.raises(SpecError, match=r"needs text.width 30, and text_encoder \(pair\) gives 29"):
        make_plan(wrong, catalogue)


def test_a_part_with_a_fault_in_a_list_inside_it_is_not_asked_what_it_provides() -> None:
    catalogue = make_catalogue(components=(*COMPONENTS, PAIR))
    spec = parse_spec(OF_PAIR, "s.yaml", ["text_encoder.more[1].width=wide"], catalogue=catalogue)
    with pytest.raises(SpecError) as caught:
        make_plan(spec, catalogue)
    (problem,) = caught.value.problems
    assert problem.path == "text_encoder.more[1].width"


def test_a_part_inside_another_of_its_kind_does_not_answer_for_it() -> None:
    catalogue = make_catalogue(components=(*COMPONENTS, attrs.evolve(PAIR, provides=lambda _config: {})))
    text = OF_PAIR
    spec = parse_spec(text, "s.yaml", ["text_encoder.first.width=30"], catalogue=catalogue)
    with pytest.raises(SpecError, match=r"needs text.width, and no part provides it"):
        make_plan(spec, catalogue)


def test_a_name_longer_than_any_file_has_is_that_of_weights_that_are_not_there(plan: ToPlan) -> None:
    assert str(plan(GOOD, f"weights={'x' * 5000}").weights).endswith("x")
