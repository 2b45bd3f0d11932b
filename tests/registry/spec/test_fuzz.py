"""Any text gives a spec or a spec error, never another exception."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from tests.registry.made_up import BASE, make_catalogue

from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec, read_spec
from glidepath.registry.text import yaml_tree as yamltree
from glidepath.registry.text.canonical_json import canonical_json
from glidepath.registry.text.problems import Place, Problem, SpecError
from glidepath.registry.text.scalars import BASE_60, FLOAT, INT, OCTAL, TEXT, resolve

CATALOGUE = make_catalogue()
SMALL = "stages:\n  small:\n" + textwrap.indent(BASE, "    ")
SLOTS = ["schedule", "denoiser", "text_encoder", "guidance", "sampler", "codec", "data"]
_WORDS = """
extends stages small weights runtime plugins use path sha256 require allow deny device cosine tiny-unet
transformer words bpe classifier-free odd ddpm ddim identity steps eta scale width tokenizer file title
colour order limits decay rate extra thing amount names members first no 012 12:30 1.10 ~ null 0x 1e3
${sampler} ${sampler.steps} ${stages.small.sampler} ${a} ${oc.env:HOME} ??? base a.pt hub:a/b/c.pt
../x.yaml ensemble latent plain low high even weights_by_name channels text_width acme/euler
"""
WORDS = [*SLOTS, *_WORDS.split()]
_MARKS = """
: - { } [ ] , ' | > # *a ! % --- ... é 日
"""
_SPACED = (": ", "- ", ", ", "? ", "&a ", "<<: ", "!!str ", "!!python/name:os.system ", "\n  ", "\n    ")
TOKENS = [*WORDS, *_MARKS.split(), *_SPACED, "\n", "\t", "\r\n", "\x00", "\ufeff", '"']

function_scoped = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(TOKENS), max_size=60).map("".join),
    st.lists(st.one_of(st.sampled_from(TOKENS), st.text(max_size=3)), max_size=40).map("".join),
)


def spec_or_error(text: str, *overrides: str, **options: Any) -> list[str]:
    """Read and plan; the faults, none for a sound spec. Whatever is not a SpecError is raised."""
    problems: Sequence[Problem] = ()
    try:
        spec = parse_spec(text, "s", overrides, catalogue=CATALOGUE, **options)
        plan = make_plan(spec, CATALOGUE)
    except SpecError as error:
        problems = error.problems
    for problem in problems:
        assert problem.what
        check_place(problem.place)
        assert all(char.isprintable() or char == "\n" for char in problem.render())
    if problems:
        return [problem.what for problem in problems]
    assert set(spec.places) == set(spec.folders)
    assert json.loads(canonical_json(plan.tree)) == plan.tree
    for written in (canonical_json(plan.tree), canonical_json(plan.tree, indent=2)):
        again = make_plan(parse_spec(written, "t", **options, catalogue=CATALOGUE), CATALOGUE)
        assert canonical_json(again.tree) == canonical_json(plan.tree)
    again = make_plan(read_spec(spec.tree, catalogue=CATALOGUE), CATALOGUE)
    assert canonical_json(again.tree) == canonical_json(plan.tree)
    written = OmegaConf.to_yaml(spec.config)
    # PyYAML writes some line separators so that nobody reads them back
    if OmegaConf.create(written) == spec.config:
        again = make_plan(parse_spec(written, "t", **options, catalogue=CATALOGUE), CATALOGUE)
        assert canonical_json(again.tree) == canonical_json(plan.tree)
    return []


def check_place(place: Place | None) -> None:
    if place is not None and place.line:
        assert place.column >= 1
        assert 0 <= place.column - 1 - place.shift <= len(place.text)


@function_scoped
@given(texts)
@example("? [a]\n: b")
@example("&a {a: *a}")
@example("a: \ud800")
@example('a: "\\UFFFFFFFF"')
def test_any_text_gives_a_spec_or_a_spec_error(text: str) -> None:
    spec_or_error(text)
    spec_or_error(text, untrusted=True)


@function_scoped
@given(texts)
@example('a: "\\UFFFFFFFF"')
@example('a: "\\ud800"')
@example('weights: "\\ud800.pt"\nextends: "\\ud800"')
def test_so_it_does_without_libyaml(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamltree, "_Loader", yaml.SafeLoader)
        spec_or_error(text, folder=Path())


@function_scoped
@given(st.data())
def test_a_damaged_spec_gives_a_spec_or_a_spec_error(data: st.DataObject) -> None:
    text = BASE
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + data.draw(st.one_of(st.sampled_from(TOKENS), st.text(max_size=5))) + text[end:]
    spec_or_error(text, folder=Path())


words = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
leaves = st.one_of(words, st.integers(), st.floats(), st.booleans(), st.none(), st.integers(0, 9))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=5)),
    max_leaves=20,
)
_COMPONENTS = """
cosine plain tiny-unet ensemble transformer words classifier-free odd ddpm ddim
identity latent needy euler nothing
"""
components = _COMPONENTS.split()
_PLACES = "guidance[0] guidance.0 sampler [0] denoiser.channel_mult[1] stages stages.small stages.a"
parameters = [word for word in WORDS if word not in SLOTS]
parts: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(components),
    st.dictionaries(st.sampled_from(parameters), values, max_size=4).flatmap(
        lambda entries: st.sampled_from(components).map(lambda use: {**entries, "use": use})
    ),
)
specs = st.dictionaries(
    st.sampled_from([*SLOTS, "weights", "runtime", "plugins"]),
    st.one_of(parts, st.lists(parts, max_size=3), values),
)
cascades = st.one_of(
    st.fixed_dictionaries({"stages": st.dictionaries(words, st.one_of(specs, values), max_size=3)}),
    st.tuples(specs, values).map(lambda pair: {**pair[0], "stages": pair[1]}),
)


@function_scoped
@given(st.one_of(specs, cascades), st.sampled_from(["json", "yaml", "flow"]))
def test_any_structure_gives_a_spec_or_a_spec_error(spec: dict[str, Any], form: str) -> None:
    if form == "json":
        text = json.dumps(spec, ensure_ascii=False)
    else:
        text = yaml.safe_dump(spec, allow_unicode=True, default_flow_style=form == "flow")
    spec_or_error(text)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
steps = st.one_of(
    st.integers(1, 1000),
    st.sampled_from(["50", "10,10,5", "fast27"]),
    st.lists(st.integers(0, 999), max_size=5),
)
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
sound = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(["cosine", {"use": "cosine", "num_steps": 1000}]),
        "denoiser": st.fixed_dictionaries(
            {"use": st.just("tiny-unet")},
            optional={
                "channel_mult": st.lists(finite, min_size=1),
                "attention": st.sampled_from(["legacy", "new"]),
            },
        ),
        "sampler": st.one_of(
            st.just("ddpm"),
            st.fixed_dictionaries({"use": st.just("ddim"), "steps": steps, "eta": st.floats(0, 1)}),
        ),
    },
    optional={
        "text_encoder": st.fixed_dictionaries(
            {"use": st.just("transformer")},
            optional={
                "tokenizer": st.fixed_dictionaries(
                    {"use": st.just("words"), "title": text, "vocabulary": st.lists(text)}
                )
            },
        ),
        "guidance": st.lists(
            st.fixed_dictionaries(
                {"use": st.just("odd")},
                optional={
                    "extra": st.one_of(text, st.booleans(), st.none(), st.lists(text), st.integers(), finite),
                    "weights_by_name": st.dictionaries(
                        text, st.one_of(finite, st.sampled_from([".inf", "-.inf"])), max_size=3
                    ),
                    "names": st.lists(text),
                    "amount": st.one_of(finite, st.integers(-9, 9), st.lists(finite)),
                    "thing": st.sampled_from(["auto", True, False]),
                },
            ),
            max_size=2,
        ),
        "runtime": st.fixed_dictionaries(
            {}, optional={"device": st.sampled_from(["cpu", "cuda:3"]), "compile": st.booleans()}
        ),
    },
)


def as_cascade(spec: dict[str, Any]) -> dict[str, Any]:
    stage = {key: value for key, value in spec.items() if key != "runtime"}
    whole = {key: value for key, value in spec.items() if key == "runtime"}
    return {"stages": {"small": stage}, **whole}


@pytest.mark.thorough
@function_scoped
@given(st.one_of(sound, sound.map(as_cascade)))
def test_a_sound_spec_survives_being_resolved_written_and_read(spec: dict[str, Any]) -> None:
    assume("${" not in repr(spec) and "'???'" not in repr(spec))
    assert spec_or_error(canonical_json(spec)) == []


@function_scoped
@given(
    st.lists(
        st.one_of(
            st.text(max_size=20),
            st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(".".join), texts).map(
                "=".join
            ),
            st.tuples(
                st.sampled_from([*_PLACES.split(), "stages.small.sampler"]),
                words,
            ).map("=".join),
        ),
        max_size=4,
    )
)
def test_any_override_gives_a_spec_or_a_spec_error(overrides: list[str]) -> None:
    spec_or_error(BASE, *overrides)
    spec_or_error(SMALL, *overrides)


@function_scoped
@given(
    st.lists(
        st.sampled_from(
            [
                *("a", "b", "guidance", "sampler", "steps", "stages", "small"),
                *("${", "}", ".", "[0]", "x", ":", "$", "\\"),
            ]
        ),
        max_size=12,
    )
)
def test_any_interpolation_gives_a_spec_or_a_spec_error(pieces: list[str]) -> None:
    spec_or_error(f"{BASE}weights: '${{{''.join(pieces)}}}'\n")
    spec_or_error(BASE.replace("scale: 3", f"scale: '{''.join(pieces)}'"))
    spec_or_error(SMALL.replace("scale: 3", f"scale: '{''.join(pieces)}'"))


@function_scoped
@given(own=st.binary(max_size=100), base=st.binary(max_size=100))
def test_any_bytes_in_files_give_a_spec_or_a_spec_error(
    own: bytes, base: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_bytes(b"extends: base.yaml\n" + own)
    (tmp_path / "base.yaml").write_bytes(base)
    for untrusted in (False, True):
        with contextlib.suppress(SpecError):
            make_plan(read_spec("own.yaml", catalogue=CATALOGUE, untrusted=untrusted), CATALOGUE)


@function_scoped
@given(texts)
def test_any_name_gives_a_spec_or_a_spec_error(name: str) -> None:
    for source in (name, Path(name)):
        with pytest.raises(SpecError):
            read_spec(source, catalogue=CATALOGUE)


_SCALARS = "yes Yes YES yEs no on Off true FALSE null ~ y N .inf -.INF .nan"
numbers = st.one_of(
    st.text("0123456789+-._:eExobaAfF~nulNULInityrse", max_size=8),
    st.from_regex(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", fullmatch=True),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        [
            "",
            *[
                "yes",
                "Yes",
                "YES",
                "yEs",
                "no",
                "on",
                "Off",
                "true",
                "FALSE",
                "null",
                "~",
                "y",
                "N",
                ".inf",
                "-.INF",
                ".nan",
            ],
        ]
    ),
)


@given(numbers)
def test_plain_scalars_are_what_pyyaml_makes_of_them(text: str) -> None:
    """But for dates, which stay text, exponents without a point, and underscores at odd places."""
    assume(not re.search("_(?![0-9a-fA-F])|(?<![0-9a-fA-F])_", text))
    loader = yaml.SafeLoader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    try:
        theirs = loader.construct_object(yaml.ScalarNode(tag, text))
    except ValueError:
        assume(False)  # numbers that PyYAML's pattern takes and Python does not, such as "0x_"
    ours, rule = resolve(text)
    if isinstance(theirs, datetime.date):
        assert rule == TEXT
    elif rule == FLOAT and isinstance(theirs, str):
        assert "e" in text.lower() or text.lstrip("+-") in ("Infinity", "NaN")
        assert ours == pytest.approx(float(text), nan_ok=True)
    else:
        assert type(ours) is type(theirs)
        same = pytest.approx(theirs, nan_ok=True) if isinstance(theirs, float) else theirs
        assert ours == same
        assert (rule in (INT, FLOAT, OCTAL, BASE_60)) == isinstance(theirs, int | float) - isinstance(
            theirs, bool
        )
