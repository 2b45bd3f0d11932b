"""`weights`: addresses of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.address import Address
from glidepath.registry.plan.parts import PartPlan
from glidepath.registry.plan.plan import Plan
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec, read_spec
from glidepath.registry.text.problems import Problem, SpecError

GOOD = "schedule: cosine\ndenoiser: tiny-unet\nsampler: ddpm\n"
HASH = "0123456789abcdef" * 4

ToPlan = Callable[..., Plan]
Fault = Callable[..., Problem]


def test_a_file_is_relative_to_the_folder_of_the_spec(plan: ToPlan, tmp_path: Path) -> None:
    made = plan(f"{GOOD}weights: w/a.safetensors\n", folder=tmp_path)
    assert made.weights == Address("file", str(tmp_path / "w" / "a.safetensors"))
    assert str(made.weights) == str(tmp_path / "w" / "a.safetensors")
    assert made.tree["weights"] == "w/a.safetensors"


def test_a_file_of_an_extended_spec_is_relative_to_that(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "b.yaml").write_text(f"{GOOD}weights: ../w.pt\n")
    (tmp_path / "my.yaml").write_text("extends: base/b.yaml\n")
    made = make_plan(read_spec(tmp_path / "my.yaml", catalogue=catalogue), catalogue)
    assert made.weights == Address("file", str(tmp_path / "w.pt"))


def test_a_file_of_an_override_is_relative_to_the_current_directory(
    plan: ToPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = plan(GOOD, "weights=w.pt", folder=tmp_path / "elsewhere")
    assert made.weights == Address("file", str(tmp_path / "w.pt"))
    assert made.tree["weights"] == str(tmp_path / "w.pt")


def test_a_part_has_weights_of_its_own(plan: ToPlan, tmp_path: Path) -> None:
    made = plan(GOOD.replace("tiny-unet", "{use: tiny-unet, weights: d.ckpt}"), folder=tmp_path)
    part = made.parts["denoiser"]
    assert isinstance(part, PartPlan)
    assert part.weights == Address("file", str(tmp_path / "d.ckpt"))
    assert made.weights is None
    assert made.tree["denoiser"]["weights"] == "d.ckpt"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("hub:acme/base/unet/w.safetensors", Address("hub", "acme/base/unet/w.safetensors")),
        (
            f"{{path: 'hub:acme/base/w.pt', revision: v1.2/a, sha256: {HASH.upper()}}}",
            Address("hub", "acme/base/w.pt", HASH, "v1.2/a"),
        ),
        (f"{{path: 'hub:a/b/w.pth', sha256: '{'1' * 64}'}}", Address("hub", "a/b/w.pth", "1" * 64)),
        (
            f"{{path: 'hub:a/b/w.pth', sha256: {'1' * 64}, revision: 12}}",
            Address("hub", "a/b/w.pth", "1" * 64, "12"),
        ),
        ("package:json/tool.safetensors", Address("package", "json/tool.safetensors")),
        ("{path: 'hub:a/b/w.pt', sha256: null}", Address("hub", "a/b/w.pt")),
    ],
)
def test_addresses_have_three_schemes(plan: ToPlan, written: str, address: Address) -> None:
    made = plan(f"{GOOD}weights: {written}\n")
    assert made.weights == address
    again = plan(json.dumps(made.tree))
    assert again.weights == address


@pytest.mark.parametrize(
    ("written", "column", "path", "what"),
    [
        ("3", 10, "", "weights takes an address, and this is a number"),
        ("[a.pt]", 10, "", "weights takes an address, and this is a list"),
        ("a.onnx", 10, "", "'a.onnx' is no file of weights, by its name"),
        ("a.PT", 10, "", "'a.PT' is no file of weights, by its name"),
        ("''", 10, "", "'' is not the name of a file"),
        ("https://acme.org/a.pt", 10, "", "there is no kind of address 'https'"),
        ("file:a.pt", 10, "", "there is no kind of address 'file'"),
        ("hubb:a/b/c.pt", 10, "", "there is no kind of address 'hubb'"),
        ("hub:a.pt", 10, "", "'a.pt' does not name a file of a hub repository"),
        ("hub:a/../../b.pt", 10, "", "'a/../../b.pt' does not name a file of a hub repository"),
        ("package:json", 10, "", "'json' does not name a file of a package"),
        ("package:x.pt", 10, "", "'x.pt' does not name a file of a package"),
        ("package:json/../x.pt", 10, "", "'json/../x.pt' does not name a file of a package"),
        ("package:json//etc/x.pt", 10, "", "'json//etc/x.pt' does not name a file of a package"),
        ('"package:json/..\\\\x.pt"', 10, "", "'json/..\\\\x.pt' does not name a file of a package"),
        ("package:acme/x.pt", 10, "", "no working plugin is in a package 'acme'"),
        ("{file: a.pt}", 11, "weights.file", "weights has no 'file'"),
        ("{sha256: x}", 10, "", "weights has no path"),
        ("{path: }", 10, "", "weights has no path"),
        ("{path: 3}", 17, "weights.path", "path takes text, and this is a number"),
        ("{path: 'hub:a/b/c.pt', sha256: []}", 41, "weights.sha256", "sha256 takes text, and this is a list"),
        ("{path: 'hub:a/b/c.pt', sha256: abc}", 41, "weights.sha256", "sha256 takes 64 hexadecimal digits"),
        (
            "{path: a.pt, revision: main}", 33, "weights.revision",
            "a revision is a branch, a tag or a commit of a hub repository",
        ),
        (
            "{path: 'hub:a/b/c.pt', revision: a b}", 43, "weights.revision",
            "a revision is a branch, a tag or a commit of a hub repository",
        ),
    ],
)  # fmt: skip
def test_a_wrong_address_is_a_fault(fault: Fault, written: str, column: int, path: str, what: str) -> None:
    problem = fault(f"{GOOD}weights: {written}\n", folder=Path())
    assert problem.what == what
    assert problem.path == (path or "weights")
    assert problem.place is not None
    assert (problem.place.line, problem.place.column) == (4, column)


def test_what_an_address_may_be_is_listed(fault: Fault) -> None:
    assert fault(f"{GOOD}weights: hubb:a/b/c.pt\n").hint == "did you mean 'hub'?"
    assert fault(f"{GOOD}weights: {{pth: a.pt}}\n").hint == "did you mean 'path'?"
    assert "package:PACKAGE/FILE" in fault(f"{GOOD}weights: 3\n").allowed
    assert fault(f"{GOOD}weights: a.onnx\n", folder=Path()).allowed == (
        *("NAME.safetensors", "NAME.pt", "NAME.pth", "NAME.ckpt", "NAME.bin", "a folder"),
    )


def test_a_missing_file_is_a_fault_where_weights_are_needed(catalogue: Catalogue, tmp_path: Path) -> None:
    def problems(text: str) -> list[tuple[str, str]]:
        spec = parse_spec(text, "s.yaml", catalogue=catalogue, folder=tmp_path)
        make_plan(spec, catalogue)
        try:
            make_plan(spec, catalogue, need_weights=True)
        except SpecError as error:
            return [(problem.path, problem.what) for problem in error.problems]
        return []

    (tmp_path / "there.pt").write_bytes(b"")
    assert problems(f"{GOOD}weights: there.pt\n") == []
    assert problems(f"{GOOD}weights: hub:a/b/c.pt\n") == []
    assert problems(f"{GOOD}weights: gone.pt\n") == [("weights", "there is no file 'gone.pt'")]
    assert problems(f"{GOOD}weights: {{path: gone.pt}}\n") == [("weights.path", "there is no file 'gone.pt'")]
    assert problems(f"{GOOD}weights: package:json/gone.pt\n") == [("weights", "json has no file 'gone.pt'")]


def test_a_file_that_is_not_there_is_told_with_its_whole_path(catalogue: Catalogue, tmp_path: Path) -> None:
    spec = parse_spec(f"{GOOD}weights: w.safetensors\n", "s.yaml", catalogue=catalogue, folder=tmp_path)
    with pytest.raises(SpecError) as caught:
        make_plan(spec, catalogue, need_weights=True)
    assert caught.value.problems[0].hint.startswith(f"it would be {tmp_path / 'w.safetensors'}")


def test_a_link_out_of_a_package_is_not_followed(
    fault: Fault, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.pt").write_bytes(b"")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "link.pt").symlink_to("../secret.pt")
    monkeypatch.setattr(catalogue, "package_folder", lambda _name: tmp_path / "package")
    assert fault(f"{GOOD}weights: package:p/link.pt\n").what == "'p/link.pt' leads out of the package"


@pytest.mark.parametrize(
    "written",
    [
        "/etc/x.pt",
        "../x.pt",
        "a/../../x.pt",
        "link/x.pt",
        "'C:\\x.pt'",
        "'..\\x.pt'",
        "'\\\\host\\x.pt'",
        "'\\x.pt'",
    ],
)
def test_a_stranger_names_files_of_its_own_folder_only(fault: Fault, tmp_path: Path, written: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("..")
    for text in (
        f"{GOOD}weights: {written}\n",
        f"{GOOD}text_encoder: {{use: transformer, tokenizer: {{use: words, file: {written}}}}}\n",
    ):
        problem = fault(text, folder=folder, untrusted=True)
        assert (
            problem.what.endswith("is outside the folder of the spec") or "no kind of address" in problem.what
        )
        assert problem.place is not None
        assert problem.place.line == 4


def test_a_stranger_may_name_files_of_its_folder(plan: ToPlan, tmp_path: Path) -> None:
    (tmp_path / "inside.pt").symlink_to("x.pt")
    for name in ("x.pt", "a/b/x.pt", "inside.pt"):
        plan(f"{GOOD}weights: {name}\n", folder=tmp_path, untrusted=True)


def test_a_stranger_without_a_folder_names_no_file(fault: Fault) -> None:
    assert fault(f"{GOOD}weights: x.pt\n", untrusted=True).what == "a spec without a folder may name no file"


def test_overrides_of_a_strangers_spec_are_our_own(plan: ToPlan, tmp_path: Path) -> None:
    made = plan(GOOD, f"weights={tmp_path}/x.pt", folder=tmp_path / "folder", untrusted=True)
    assert made.weights == Address("file", str(tmp_path / "x.pt"))


def test_a_stranger_says_exactly_what_to_fetch(fault: Fault, plan: ToPlan) -> None:
    text = f"{GOOD}weights: {{path: 'hub:a/b/c.pt'}}\n"
    assert fault(text, untrusted=True).what == "this address needs a sha256"
    plan(text.replace("}", f", sha256: '{HASH}'}}"), untrusted=True)


def test_a_folder_an_index_and_a_variant_are_addresses(plan: ToPlan, tmp_path: Path) -> None:
    (tmp_path / "v1.5").mkdir()
    (tmp_path / "v1.5" / "model.fp16.safetensors").write_bytes(b"")
    made = plan(f"{GOOD}weights: {{path: v1.5, variant: fp16}}\n", folder=tmp_path)
    assert made.weights == Address("file", str(tmp_path / "v1.5"), variant="fp16")
    assert made.tree["weights"] == {"path": "v1.5", "variant": "fp16"}
    assert plan(f"{GOOD}weights: unet\n", folder=tmp_path).weights == Address("file", str(tmp_path / "unet"))
    for written in ("unet/m.safetensors.index.json", "hub:acme/base/unet", "hub:acme/base"):
        plan(f"{GOOD}weights: {written}\n", folder=tmp_path)


@pytest.mark.parametrize(
    ("written", "path", "what"),
    [
        ("v1.5", "weights", "v1.5 has no file of weights; it has those of the variant fp16: "),
        ("{path: v1.5, variant: bf16}", "weights.path", "v1.5 has no file of weights of the variant 'bf16'"),
        ("{path: a.pt, variant: fp16}", "weights.variant", "a variant is one of those in a folder, "),
        ("{path: v1.5, variant: a b}", "weights.variant", "a variant is a word of letters and digits"),
    ],
)
def test_what_a_folder_does_not_hold_is_a_fault(
    fault: Fault, tmp_path: Path, written: str, path: str, what: str
) -> None:
    (tmp_path / "v1.5").mkdir()
    (tmp_path / "v1.5" / "model.fp16.safetensors").write_bytes(b"")
    problem = fault(f"{GOOD}weights: {written}\n", folder=tmp_path)
    assert problem.path == path
    assert what in problem.what


def test_a_strangers_folder_holds_no_link_that_leads_out(fault: Fault, plan: ToPlan, tmp_path: Path) -> None:
    (tmp_path / "here" / "unet").mkdir(parents=True)
    (tmp_path / "secret.safetensors").write_bytes(b"")
    (tmp_path / "here" / "unet" / "m.safetensors").symlink_to(tmp_path / "secret.safetensors")
    text = f"{GOOD}weights: unet\n"
    said = fault(text, folder=tmp_path / "here", untrusted=True).what
    assert said == "'unet' holds a link that leads out of it: m.safetensors"
    plan(text, folder=tmp_path / "here")
