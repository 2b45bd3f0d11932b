"""The JSON Schema of specs: it takes what `check` takes, and refuses each kind of fault that it can see."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from omegaconf import OmegaConf

from glidepath.plugins.editors.json_schema import spec_schema
from glidepath.plugins.editors.schema import main
from glidepath.registry import Catalogue, SpecError, load_catalogue, make_plan, parse_spec

PLUGIN = '''
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from attrs import validators as v

class Order(Enum):
    FIRST = 1
    SECOND = 2

@attrs.frozen(kw_only=True)
class Point:
    x: float
    y: float = 0.0

def even(_self, _attribute, value):
    """A validator of its own, whose options are examples."""
even.options = ("two", "four")

@attrs.frozen(kw_only=True)
class EveryConfig:
    width: int = attrs.field(metadata=doc("how wide"))
    steps: int | str = attrs.field(default=50, metadata=doc("how many"))
    share: float = attrs.field(default=0.5, validator=[v.ge(0), v.lt(1)], metadata=doc("of it"))
    order: Order = Order.FIRST
    mode: Literal["old", "new"] = "old"
    name: str | None = attrs.field(default=None, validator=v.optional(v.matches_re("[a-z]+")))
    word: str = attrs.field(default="a", validator=v.in_(["a", "b"]))
    number: str = attrs.field(default="two", validator=even)
    sizes: tuple[int, ...] = attrs.field(default=(1,), validator=v.deep_iterable(v.ge(1), v.min_len(1)))
    pair: tuple[int, str] = (1, "a")
    table: dict[str, float] = attrs.Factory(dict)
    point: Point | None = None
    file: Path | None = None
    flag: bool = False
    extra: Any = None
    limit: float = float("inf")
    double: int = attrs.Factory(lambda self: 2 * self.width, takes_self=True)
    tokenizer: Any = attrs.field(default=None, metadata=part("tokenizer", "cuts"))
    others: tuple[Any, ...] = attrs.field(default=(), metadata=parts("tokenizer", "more of them"))

@attrs.frozen(kw_only=True)
class NewConfig:
    steps: int = attrs.field(default=5, metadata=doc("how many"))

@hookimpl
def components():
    return [
        Component(kind="schedule", name="plain", target="acme.x:Y", summary="a plain one"),
        Component(kind="denoiser", name="net", target="acme.x:Y", summary="a net"),
        Component(kind="sampler", name="every", target="acme.x:Y", config=EveryConfig, summary="all types"),
        Component(kind="sampler", name="new", target="acme.x:Y", config=NewConfig, summary="a new one"),
        Component(kind="guidance", name="faulty", target="acme.x:Y", config="acme.no:Config", summary="x"),
        Component(kind="guidance", name="plain", target="acme.x:Y", summary="x"),
        Component(kind="tokenizer", name="cut", target="acme.x:Y", summary="x"),
        Component(kind="codec", name="raw", target="acme.x:Y", summary="x"),
    ]

@hookimpl
def presets():
    return [Preset(name="base", file=Path(__file__).parent / "base.yaml", summary="to begin with")]
'''
HEAD = "schedule: plain\ndenoiser: net\ncodec: raw\n"
WHOLE = f"{HEAD}sampler: {{use: every, width: 4}}\n"


@pytest.fixture
def acme(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """A plugin with a parameter of every type, and a preset."""
    file = site.plugin("acme", PLUGIN)
    file.with_name("base.yaml").write_text(WHOLE)
    monkeypatch.chdir(tmp_path)
    return load_catalogue()


def validator(catalogue: Catalogue) -> jsonschema.Draft7Validator:
    schema = json.loads(json.dumps(spec_schema(catalogue)))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def takes(catalogue: Catalogue, text: str) -> bool:
    """Whether the schema takes a spec."""
    return bool(validator(catalogue).is_valid(yaml.safe_load(text)))


def checks(catalogue: Catalogue, text: str) -> bool:
    """Whether `check` would take it."""
    try:
        make_plan(parse_spec(text, "test", catalogue=catalogue, folder=Path()), catalogue)
    except SpecError:
        return False
    return True


def every(**parameters: Any) -> str:
    return HEAD + yaml.safe_dump({"sampler": {"use": "every", "width": 4, **parameters}})


RIGHT = [
    WHOLE,
    f"{HEAD}sampler: new\n",
    f"{HEAD}sampler: {{use: acme/new, steps: 3}}\n",
    every(steps="10,10"),
    every(steps="${sampler.width}"),
    every(share=0, order="SECOND", mode="new", name="abc", word="b", flag=True),
    every(name=None, number="four", sizes=[1, 2], pair=[2, "b"], table={"a": 1.5}, point={"x": 1}),
    every(extra={"any": ["thing"]}, file="a.txt", limit=3, double=7),
    every(tokenizer="cut", others=["cut", {"use": "acme/cut"}]),
    every(others="cut", tokenizer=None),
    every(weights="w.safetensors"),
    f"{WHOLE}guidance: plain\n",
    f"{WHOLE}guidance: [plain, {{use: acme/plain}}]\n",
    f"{WHOLE}guidance: []\ntext_encoder: null\n",
    f"{WHOLE}weights: {{path: 'hub:a/b/c.pt', revision: main, sha256: {'a1' * 32}}}\n",
    f"{WHOLE}runtime: {{device: 'cuda:1', dtype: bfloat16, compile: true, channels_last: auto}}\n",
    f"{WHOLE}plugins: {{require: {{acme: '>=1'}}, deny: [other], allow: null}}\n",
    "extends: base\n",
    "extends: [base, acme/base]\nsampler: {share: 0.25}\nguidance: null\n",
    "extends: base\nsampler: {use: every, steps: 5}\n",
    "stages: {a-1: {extends: base, sampler: {share: 0.25}}}\nruntime: {device: cpu}\n",
    "stages: {b: {schedule: plain, denoiser: net, codec: raw, sampler: new}}\n",
    f"{WHOLE}stages: null\n",
]
WRONG = [
    "schedule: plain\nsampler: new\n",  # no denoiser
    f"{HEAD}sampler: nosuch\n",
    f"{HEAD}sampler: plain\n",  # of another kind
    f"{HEAD}sampler: other/every\n",
    f"{HEAD}sampler: {{use: nosuch}}\n",
    f"{HEAD}sampler: {{steps: 4}}\n",  # no use
    f"{HEAD}sampler: every\n",  # no width
    f"{HEAD}sampler: {{use: every}}\n",
    f"{HEAD}sampler: [new]\n",
    f"{HEAD}sampler: null\n",
    f"{HEAD}sampler: 3\n",
    f"{WHOLE}samplers: new\n",
    f"{WHOLE}text_encoder: cut\n",
    f"{WHOLE}guidance: [nosuch]\n",
    f"{WHOLE}guidance: [plain, {{scale: 2}}]\n",
    every(step=5),
    every(width="4"),
    every(width=4.5),
    every(steps=[1]),
    every(share=-0.1),
    every(share=1),
    every(share="half"),
    every(order="THIRD"),
    every(mode="newer"),
    every(name="ABC"),
    every(word="c"),
    every(flag="yes please"),
    every(sizes=3),
    every(sizes=[]),
    every(sizes=[0]),
    every(sizes=["a"]),
    every(pair=[1]),
    every(pair=["a", 1]),
    every(table={"a": "b"}),
    every(point={"y": 1}),
    every(point={"x": 1, "z": 1}),
    every(file=3),
    every(tokenizer="raw"),
    every(tokenizer={"use": "cut", "x": 1}),
    every(others=[["cut"]]),
    every(weights="w.onnx"),
    f"{WHOLE}weights: {{sha256: {'a1' * 32}}}\n",
    f"{WHOLE}weights: {{path: a.pt, sha256: abc}}\n",
    f"{WHOLE}weights: {{path: a.pt, hash: abc}}\n",
    f"{WHOLE}runtime: {{device: gpu}}\n",
    f"{WHOLE}runtime: {{dtype: half}}\n",
    f"{WHOLE}runtime: {{devise: cpu}}\n",
    f"{WHOLE}plugins: {{need: [acme]}}\n",
    "extends: nosuch\n",
    "extends: base\nsampler: {use: every, step: 5}\n",
    "extends: base\nsampler: {nosuch: 5}\n",
    "extends: {name: base}\n",
    f"{HEAD}sampler: {{use: every, width: 4, stages: 3}}\n",
    f"{WHOLE}stages: {{a: {{extends: base}}}}\n",
    "stages: {}\n",
    "stages: {a: base}\n",
    "stages: {'a b': {extends: base}}\n",
    "stages: {a: {extends: base, runtime: {device: cpu}}}\n",
    "stages: {a: {sampler: new}}\n",
    "[plain]\n",
    "plain\n",
]


def test_right_specs_of_every_form_are_taken(acme: Catalogue) -> None:
    schema = validator(acme)
    for text in RIGHT:
        assert checks(acme, text), text
        assert schema.is_valid(yaml.safe_load(text)), text


def test_each_kind_of_fault_is_refused(acme: Catalogue) -> None:
    schema = validator(acme)
    for text in WRONG:
        assert not checks(acme, text), text
        assert not schema.is_valid(yaml.safe_load(text)), text


@pytest.fixture(scope="module")
def bundled() -> jsonschema.Draft7Validator:
    return validator(load_catalogue())


PRESETS = {name: preset.file for name, preset in load_catalogue().presets().items()}


@pytest.mark.thorough
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(bundled: jsonschema.Draft7Validator, name: str) -> None:
    bundled.validate(yaml.safe_load(PRESETS[name].read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_as_it_resolves(bundled: jsonschema.Draft7Validator, name: str) -> None:
    catalogue = load_catalogue()
    spec = parse_spec(f"extends: {name}", "test", catalogue=catalogue)
    is_latent = "use: autoencoder" in OmegaConf.to_yaml(spec.config)
    if is_latent and find_spec("diffusers") is None:  # without the extra there is no plan of it
        bundled.validate(OmegaConf.to_container(spec.config))
    else:
        bundled.validate(json.loads(json.dumps(make_plan(spec, catalogue).tree)))


def test_each_part_is_a_branch_with_its_parameters_as_they_are_described(acme: Catalogue) -> None:
    definition = spec_schema(acme)["definitions"]["sampler"]
    mapping = next(it for it in definition["anyOf"] if it.get("type") == "object")
    branch = next(it["then"] for it in mapping["allOf"] if "every" in it["if"]["properties"]["use"]["enum"])
    known = branch["properties"]
    assert branch["description"] == "all types"
    assert branch["required"] == ["width"]
    assert (known["steps"]["description"], known["steps"]["default"]) == ("how many", 50)
    assert known["share"]["description"] == "of it (>= 0, < 1)"
    assert known["share"]["anyOf"][0] == {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
    assert known["mode"]["anyOf"][0] == {"enum": ["old", "new"]}
    assert (known["order"]["anyOf"][0], known["order"]["default"]) == ({"enum": ["FIRST", "SECOND"]}, "FIRST")
    assert known["sizes"]["default"] == [1]
    assert known["limit"]["default"] == ".inf"  # JSON has no infinity
    assert "default" not in known["double"]
    assert known["tokenizer"]["description"] == "cuts"


def test_names_are_told_with_what_they_stand_for(acme: Catalogue) -> None:
    definitions = spec_schema(acme)["definitions"]
    assert {"const": "new", "description": "a new one"} in definitions["sampler"]["anyOf"]
    assert {"const": "base", "description": "to begin with"} in definitions["extends"]["anyOf"]


def test_of_two_parts_with_one_name_only_the_full_names_serve(site: Any, acme: Catalogue) -> None:
    site.plugin(
        "beta",
        "@hookimpl\ndef components():\n"
        "    return [Component(kind='sampler', name='new', target='beta.x:Y', summary='x')]\n",
    )
    both = load_catalogue()
    assert not takes(both, f"{HEAD}sampler: new\n")
    assert takes(both, f"{HEAD}sampler: acme/new\n")
    assert takes(both, f"{HEAD}sampler: beta/new\n")
    assert not takes(both, f"{HEAD}sampler: {{use: beta/new, steps: 5}}\n")


def test_parameters_that_cannot_be_read_are_not_judged(acme: Catalogue) -> None:
    assert takes(acme, f"{WHOLE}guidance: {{use: faulty, anything: 3}}\n")
    assert takes(acme, "extends: base\nguidance: {anything: 3}\n")


def test_the_command_prints_the_schema_or_writes_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, acme: Catalogue
) -> None:
    assert main([]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "acme 1.0" in printed["$comment"]
    file = tmp_path / "new" / "s.json"
    assert main(["--out", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert json.loads(file.read_text()) == printed
