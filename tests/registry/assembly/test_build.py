"""From a plan to a pipeline, and what is said when that fails."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.registry.tiny import SPEC, write_tiny

from glidepath.core.errors import GlidepathError, PartError
from glidepath.registry import SpecError, assemble
from glidepath.registry.assembly.build import AssemblyError
from glidepath.registry.assembly.devices import choose_device, choose_dtype
from glidepath.registry.assembly.weights import WeightsError, file_sha256, locate_weights
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.files.tensor_file import read_tensors
from glidepath.registry.plan.address import Address


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path)


def test_a_spec_becomes_a_pipeline_that_makes_images(tiny: Path) -> None:
    images = assemble(tiny)(["a green star", "a ring"], seed=3)
    assert images.shape == (2, 3, 8, 8)
    assert images.dtype == torch.uint8
    assert not torch.equal(images[0], images[1])


def test_overrides_reach_the_parts(tiny: Path) -> None:
    pipeline = assemble(tiny, overrides=["sampler.steps=2", "guidance[0].scale=1"])
    assert len(pipeline.levels()) == 2
    assert len(list(pipeline.states(["a star"]))) == 2


def test_the_file_of_weights_holds_all_parts_under_their_slots(tiny: Path) -> None:
    pipeline = assemble(tiny)
    stored = load_file(tiny.with_name("tiny.safetensors"))
    for name, value in pipeline.denoiser.state_dict().items():
        assert torch.equal(value, stored[f"denoiser.{name}"])
    assert pipeline.text_encoder is not None
    for name, value in pipeline.text_encoder.state_dict().items():
        assert torch.equal(value, stored[f"text_encoder.{name}"])


def test_half_precision_weights_run_in_the_precision_of_the_runtime(tiny: Path) -> None:
    half = {name: value.half() for name, value in load_file(tiny.with_name("tiny.safetensors")).items()}
    save_file(half, tiny.with_name("half.safetensors"))
    pipeline = assemble(tiny, weights=tiny.with_name("half.safetensors"))
    assert {value.dtype for value in pipeline.denoiser.state_dict().values()} == {torch.float32}


def test_a_part_may_have_weights_of_its_own(tiny: Path) -> None:
    stored = load_file(tiny.with_name("tiny.safetensors"))
    own = {
        name.removeprefix("denoiser."): value + 1
        for name, value in stored.items()
        if name.startswith("denoiser.")
    }
    save_file(own, tiny.with_name("denoiser.safetensors"))
    text = {name: value for name, value in stored.items() if name.startswith("text_encoder.")}
    save_file(text, tiny.with_name("tiny.safetensors"))
    pipeline = assemble(tiny, overrides=[f"denoiser.weights={tiny.with_name('denoiser.safetensors')}"])
    assert torch.equal(pipeline.denoiser.state_dict()["out.2.bias"], own["out.2.bias"])


def test_weights_of_a_part_that_is_no_network_are_refused(tiny: Path) -> None:
    file = tiny.with_name("tiny.safetensors")
    with pytest.raises(AssemblyError, match=r"sampler glidepath-diffusion/ddim .* is no network"):
        assemble(tiny, overrides=[f"sampler.weights={file}"])
    with pytest.raises(AssemblyError, match=r"at guidance\[0\].* is no network"):
        assemble(tiny, overrides=[f"guidance[0].weights={file}"])
    with pytest.raises(AssemblyError, match=r"at text_encoder\.tokenizer.* is no network"):
        assemble(tiny, overrides=[f"text_encoder.tokenizer.weights={file}"])


def test_a_part_inside_a_part_loads_its_own_weights(tiny: Path, site) -> None:
    site.bundle()
    site.plugin("acme", INNER_PLUGIN)
    (site.folder / "acme" / "parts.py").write_text(INNER_PARTS)
    save_file(
        {"weight": torch.tensor([[3.0]]), "bias": torch.tensor([4.0])}, tiny.with_name("inner.safetensors")
    )
    acme = load_catalogue(path=site.path)
    inner = f"guidance=[{{use: outer, inner: {{use: net, weights: {tiny.with_name('inner.safetensors')}}}}}]"
    (guidance,) = assemble(tiny, overrides=[inner], catalogue=acme).guidance
    assert guidance.inner.bias.item() == 4.0


INNER_PLUGIN = """
@attrs.frozen(kw_only=True)
class OuterConfig:
    inner: object = attrs.field(default=None, metadata=part("net", "a network inside"))

@hookimpl
def kinds():
    return [Kind(name="net", interface="torch.nn:Module", summary="s")]

@hookimpl
def components():
    return [
        Component(kind="guidance", name="outer", target="acme.parts:Outer", config=OuterConfig, summary="s"),
        Component(kind="net", name="net", target="acme.parts:Net", summary="s"),
    ]
"""
INNER_PARTS = """
import torch
from glidepath.core import Guidance

class Net(torch.nn.Linear):
    def __init__(self):
        super().__init__(1, 1)

class Outer(Guidance):
    def __init__(self, config, *, inner):
        self.inner = inner
    def __call__(self, bind):
        return bind
"""


def test_without_weights_the_networks_start_the_same_each_time_and_leave_the_global_stream_alone(
    tmp_path: Path,
) -> None:
    spec = write_tiny(tmp_path, SPEC.replace("weights: tiny.safetensors\n", ""))
    before = torch.random.get_rng_state()
    first, second = assemble(spec), assemble(spec)
    assert torch.equal(torch.random.get_rng_state(), before)
    for one, other in zip(first.denoiser.parameters(), second.denoiser.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it.pop("denoiser.out.2.bias"), "1 missing: out.2.bias"),
        (lambda it: it.update({"denoiser.extra": torch.ones(1)}), "1 not known to the part: extra"),
        (
            lambda it: it.update({"denoiser.out.2.bias": torch.ones(7)}),
            "out.2.bias: [7] in the file, [3] in the part",
        ),
        (lambda it: it.update({"denoisr.x": torch.ones(1)}), "did you mean 'denoiser'"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_keys(tiny: Path, change, message: str) -> None:
    tensors = load_file(tiny.with_name("tiny.safetensors"))
    change(tensors)
    save_file(tensors, tiny.with_name("tiny.safetensors"))
    with pytest.raises(WeightsError) as caught:
        assemble(tiny)
    assert message in str(caught.value)
    assert "tiny.safetensors" in str(caught.value)


def test_a_damaged_file_of_weights_is_named(tiny: Path) -> None:
    file = tiny.with_name("tiny.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"cannot read weights from .*tiny\.safetensors"):
        assemble(tiny)


def test_a_pytorch_file_is_read_as_tensors_only(tmp_path: Path) -> None:
    good, bad, odd = tmp_path / "good.pt", tmp_path / "bad.pt", tmp_path / "odd.pt"
    torch.save({"x": torch.ones(2)}, good)
    torch.save({"x": Path}, bad)
    torch.save({"x": 1}, odd)
    assert torch.equal(read_tensors(good)["x"], torch.ones(2))
    with pytest.raises(WeightsError, match="cannot read weights"):
        read_tensors(bad)
    with pytest.raises(WeightsError, match="flat mapping of names to tensors"):
        read_tensors(odd)


def test_the_sha256_of_weights_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file({"x": torch.ones(1)}, file)
    catalogue = load_catalogue()
    right = Address("file", str(file), sha256=file_sha256(file))
    assert list(locate_weights(right, catalogue)) == [file]
    with pytest.raises(WeightsError, match="expects 0000"):
        locate_weights(Address("file", str(file), sha256="0" * 64), catalogue)
    with pytest.raises(WeightsError, match="there is no weights file"):
        locate_weights(Address("file", str(tmp_path / "absent.safetensors")), catalogue)


def test_weights_in_a_folder_of_shards_are_those_of_one_file(tiny: Path) -> None:
    tensors = load_file(tiny.with_name("tiny.safetensors"))
    folder = tiny.with_name("shards")
    folder.mkdir()
    names, places = sorted(tensors), {}
    for number in range(3):
        file = f"model-0000{number + 1}-of-00003.safetensors"
        save_file({name: tensors[name] for name in names[number::3]}, folder / file)
        places |= dict.fromkeys(names[number::3], file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    whole, sharded = assemble(tiny), assemble(tiny, weights=folder)
    for name, value in whole.denoiser.state_dict().items():
        assert torch.equal(value, sharded.denoiser.state_dict()[name])
    files = locate_weights(Address("file", str(folder)), load_catalogue())
    lines = "".join(f"{file.name} {file_sha256(file)}\n" for file in sorted(files))
    right = hashlib.sha256(lines.encode()).hexdigest()
    assemble(tiny, [f"weights={{path: {folder}, sha256: {right}}}"])
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(SpecError, match=r"there is no file .*model-00002-of-00003"):
        assemble(tiny, weights=folder)


def test_a_missing_weights_file_is_a_fault_of_the_spec_with_its_place(tiny: Path) -> None:
    tiny.with_name("tiny.safetensors").unlink()
    with pytest.raises(SpecError, match=r"tiny\.safetensors"):
        assemble(tiny)


def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_dtype("auto", torch.device("cpu")) is torch.float32
    assert choose_dtype("bfloat16", torch.device("cpu")) is torch.bfloat16
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    if not torch.cuda.is_available():
        with pytest.raises(PartError, match="available: cpu"):
            choose_device("cuda")


PLUGIN = """
@hookimpl
def components():
    return [
        Component(kind="sampler", name="raises", target="acme.parts:Raises", summary="s"),
        Component(kind="sampler", name="absent", target="acme.parts:Absent", summary="s"),
        Component(kind="sampler", name="other", target="acme.parts:Other", summary="s"),
    ]

@hookimpl
def on_assemble(plan):
    if plan.runtime.compile:
        raise ValueError("acme does not compile")
"""
PARTS = """
class Raises:
    def __init__(self):
        raise TypeError("from within")

class Other:
    pass
"""


@pytest.fixture
def acme(site):
    site.bundle()
    site.plugin("acme", PLUGIN)
    (site.folder / "acme" / "parts.py").write_text(PARTS)
    return load_catalogue(path=site.path)


def test_what_a_constructor_raises_names_the_component_its_distribution_and_its_place(
    acme, tiny: Path
) -> None:
    with pytest.raises(TypeError, match="from within") as caught:
        assemble(tiny, overrides=["sampler=raises"], catalogue=acme)
    (note,) = caught.value.__notes__
    assert "sampler acme/raises (acme 1.0) at sampler" in note
    assert "--set #1" in note


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("absent", "names a target that cannot be imported, acme.parts:Absent"),
        ("other", "made a Other, which is no Sampler"),
    ],
)
def test_a_component_that_cannot_be_built_is_blamed_on_its_plugin(
    acme, tiny: Path, part: str, message: str
) -> None:
    with pytest.raises(AssemblyError) as caught:
        assemble(tiny, overrides=[f"sampler={part}"], catalogue=acme)
    assert message in str(caught.value)
    assert "acme 1.0" in str(caught.value)


def test_a_plugin_may_refuse_a_plan(acme, tiny: Path) -> None:
    with pytest.raises(ValueError, match="does not compile") as caught:
        assemble(tiny, overrides=["runtime.compile=true"], catalogue=acme)
    assert "on_assemble" in caught.value.__notes__[0]


def test_glidepath_errors_are_one_family() -> None:
    assert issubclass(AssemblyError, GlidepathError)
    assert issubclass(WeightsError, GlidepathError)


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        ("sampler.steps=5", "overrides are a list of texts, and this is of type str: 'sampler.steps=5'"),
        ({"sampler.steps": 5}, "overrides are a list of texts, and this is of type dict: "),
        (5, "overrides are a list of texts, and this is of type int: 5"),
        ([("sampler.steps", 5)], "an override is a text PATH=VALUE, and this is of type tuple: "),
    ],
)
def test_overrides_that_are_no_list_of_texts_are_one_fault(tiny: Path, overrides: object, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        assemble(tiny, overrides)  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert problem.what.startswith(what)
    assert problem.hint == 'write a list such as ["sampler.steps=50"]'
