"""`glidepath diff`: two specs, locks or images, part by part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from glidepath.registry.records.differences import ABSENT, changes
from glidepath.registry.records.images import save_png
from glidepath.registry.records.manifest import ImageKey, Images, Manifest, Release
from glidepath.registry.records.pictures import Carried

pytestmark = pytest.mark.thorough


def side(**known: Any) -> Manifest:
    empty: dict[str, Any] = {"spec": {}, "distributions": {}, "weights": {}, "environment": {}}
    return Manifest(**{**empty, **known})


def found(was: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What differs between two trees."""
    sides = (side(spec=tree) for tree in (was, now))
    return [(change.path, change.was, change.now) for change in changes(*sides)]


def part(use: str, **parameters: Any) -> dict[str, Any]:
    return {"use": use, **parameters}


def test_equal_trees_do_not_differ() -> None:
    tree = {"sampler": part("ddim", steps=5), "guidance": [part("a")], "runtime": {"device": "auto"}}
    assert found(tree, json.loads(json.dumps(tree))) == []


def test_numbers_of_another_type_differ() -> None:
    assert found({"x": part("a", y=1)}, {"x": part("a", y=True)}) == [("x.y", 1, True)]
    assert found({"x": part("a", y=1)}, {"x": part("a", y=1.0)}) == [("x.y", 1, 1.0)]


def test_another_part_is_told_with_the_parameters_that_it_does_not_share() -> None:
    was, now = part("ddim", steps=5, eta=0.0), part("ddpm", steps=5, variance="auto")
    assert found({"sampler": was}, {"sampler": now}) == [
        ("sampler", "ddim", "ddpm"),
        ("sampler.eta", 0.0, ABSENT),
        ("sampler.variance", ABSENT, "auto"),
    ]


def test_parts_inside_parts_are_compared() -> None:
    was = {"text_encoder": part("t", tokenizer=part("bpe", merges=None))}
    now = {"text_encoder": part("t", tokenizer=part("words", merges=None))}
    assert found(was, now) == [("text_encoder.tokenizer", "bpe", "words")]


def test_an_entry_that_was_put_into_a_list_does_not_change_those_behind_it() -> None:
    one, two, new = part("a", x=1), part("b", x=1), part("new")
    assert found({"guidance": [one, two]}, {"guidance": [new, one, two]}) == [("guidance[0]", ABSENT, new)]
    changed = part("b", x=2)
    assert found({"guidance": [one, two]}, {"guidance": [one, new, changed]}) == [
        ("guidance[1]", ABSENT, new),
        ("guidance[1 -> 2].x", 1, 2),
    ]
    assert found({"guidance": [one, two]}, {"guidance": [two]}) == [("guidance[0]", one, ABSENT)]
    assert found({"guidance": [one]}, {"guidance": [part("c", x=1)]}) == [("guidance[0]", "a", "c")]


def test_addresses_of_weights_are_no_difference_and_their_content_is() -> None:
    assert found({"weights": "a.pt", "x": part("a", weights="b.pt")}, {"x": part("a")}) == []
    sides = [side(weights={"": hash_}) for hash_ in ("11", "22")]
    assert [(change.section, change.path, change.was, change.now) for change in changes(*sides)] == [
        ("weights", "", "11", "22")
    ]


def test_stages_are_compared_one_by_one_and_in_their_order() -> None:
    base, up = {"sampler": part("a", steps=1)}, {"sampler": part("a", steps=2)}
    assert found({"stages": {"base": base}}, {"stages": {"base": up}}) == [
        ("stages.base.sampler.steps", 1, 2)
    ]
    assert found({"stages": {"a": base, "b": up}}, {"stages": {"b": up, "a": base}}) == [
        ("stages", ["a", "b"], ["b", "a"])
    ]
    assert found({"stages": {"a": base}}, {"stages": {"a": base, "b": up}}) == [("stages.b", ABSENT, up)]


def test_what_one_side_does_not_know_is_not_compared() -> None:
    full = side(
        distributions={"x": Release(version="1", requires=[">1"], files={"f": "1"})},
        files={"a": "1"},
        environment={"torch": "2"},
        images=Images(keys=[ImageKey("a star", 1, 0)]),
    )
    assert changes(full, side(distributions={"x": Release(version="1")})) == []


def test_files_of_another_version_are_not_listed() -> None:
    sides = [
        side(distributions={"x": Release(version=version, files={"f": hash_})})
        for version, hash_ in (("1", "11"), ("2", "22"))
    ]
    assert [change.section for change in changes(*sides)] == ["distributions"]


def test_a_spec_does_not_differ_from_itself(glidepath_here: Any) -> None:
    assert glidepath_here("diff", "shapes", "shapes") == (0, "no difference\n", "")
    document = json.loads(glidepath_here("diff", "shapes", "shapes", "--json")[1])
    assert (document["equal"], document["changes"]) == (True, [])
    assert document["a"] == {"name": "shapes", "sort": "spec"}


def test_two_specs_are_compared_part_by_part(glidepath_here: Any, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(
        "extends: shapes\nsampler: {steps: 20}\nguidance:\n"
        "  - {use: classifier-free, scale: 4}\n  - {use: rescale}\n"
    )
    status, out, _ = glidepath_here("diff", "shapes", "my.yaml")
    assert status == 1
    assert out.startswith("guidance[0]\n  scale: 3.0 -> 4.0\nguidance[1]\n  absent -> {")
    assert out.endswith("sampler\n  steps: 50 -> 20\n")
    document = json.loads(glidepath_here("diff", "shapes", "my.yaml", "--json")[1])
    assert not document["equal"]
    assert document["changes"][0] == {
        "section": "spec", "path": "guidance[0].scale", "was": 3.0, "now": 4.0
    }  # fmt: skip
    assert "was" not in document["changes"][1]


def test_stages_of_a_cascade_are_titles_of_their_own(glidepath_here: Any, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("extends: adm-u-256\nstages: {base: {sampler: {steps: 9}}}\n")
    assert glidepath_here("diff", "adm-u-256", "my.yaml")[1] == "stages.base.sampler\n  steps: 250 -> 9\n"


def manifest(images: Images | None = None, **changed: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "spec": {"sampler": part("glidepath-diffusion/ddim", steps=5)},
        "distributions": {"glidepath-diffusion": Release(version="0.1")},
        "weights": {"": "11"},
        "environment": {"torch": "2", "python": "3.11.2", "device": "cpu", "dtype": "float32"},
        "images": images or Images(keys=[ImageKey("a star", 1, 0)]),
    }
    return Manifest(**(values | changed)).to_json()


def test_two_images_are_compared_by_what_they_carry(glidepath_here: Any, tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8))
    save_png(picture, tmp_path / "a.png", manifest())
    other = manifest(
        spec={"sampler": part("glidepath-diffusion/ddim", steps=6)},
        weights={"": "22"},
        environment={"torch": "3", "python": "3.11.2", "device": "cpu", "dtype": "float32"},
        images=Images(keys=[ImageKey("a ring", 2, 0)], pictures={"image": Carried("33", None)}, strength=0.5),
    )
    save_png(picture, tmp_path / "b.png", other)
    save_png(picture, tmp_path / "film.png", {"film": manifest()})
    assert glidepath_here("diff", "a.png", "film.png")[:2] == (0, "no difference\n")
    assert glidepath_here("diff", "a.png", "b.png")[1].splitlines() == [
        "sampler",
        "  steps: 5 -> 6",
        "weights (sha256)",
        "  of the whole spec: 11 -> 22",
        "environment",
        "  torch: 2 -> 3",
        "images",
        "  image: absent -> 33",
        '  prompts: ["a star"] -> ["a ring"]',
        "  seeds: [1] -> [2]",
        "  strength: null -> 0.5",
    ]


def test_an_image_is_compared_with_a_spec_in_what_both_tell(glidepath_here: Any, tmp_path: Path) -> None:
    save_png(Image.new("RGB", (8, 8)), tmp_path / "a.png", manifest(environment={"torch": "0"}))
    document = json.loads(glidepath_here("diff", "a.png", "shapes", "--json")[1])
    assert (document["a"]["sort"], document["b"]["sort"]) == ("image", "spec")
    told = {(change["section"], change["path"]) for change in document["changes"]}
    assert {("spec", "sampler.steps"), ("environment", "torch"), ("weights", "")} <= told
    assert not {"images", "code"} & {section for section, _ in told}


def test_what_cannot_be_read_exits_with_2(glidepath_here: Any, tmp_path: Path) -> None:
    save_png(Image.new("RGB", (8, 8)), tmp_path / "noise.png", {"timesteps": [1]})
    (tmp_path / "bad.yaml").write_text("sampler: nosuch\n")
    for name, told in (
        ("nosuch.png", "there is no file nosuch.png"),
        ("noise.png", "is a noise film"),
        ("nosuch.json", "there is no lock nosuch.json"),
        ("bad.yaml", "there is no sampler named 'nosuch'"),
        ("nosuch", "there is no preset named 'nosuch'"),
    ):
        status, out, err = glidepath_here("diff", "shapes", name)
        assert (status, out) == (2, "")
        assert told in err
