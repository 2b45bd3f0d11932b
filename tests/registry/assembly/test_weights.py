"""Files of weights: where they come from, which are refused, and what is said."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import types
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from tests.registry.tiny import write_tiny
from torch import nn

from glidepath.core.errors import PartError
from glidepath.registry import assemble
from glidepath.registry.assembly.hub import fetch_path, fetch_weights
from glidepath.registry.assembly.weights import (
    Weights,
    WeightsError,
    file_sha256,
    load_module,
    locate_weights,
    read_sha256,
)
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.files.tensor_file import format_bytes, list_names, read_tensors, require_numbers
from glidepath.registry.plan.address import Address

FILE = "owner/name/sub/w.safetensors"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path)


def linear(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"weight": torch.ones(2, 3), "bias": torch.ones(2), **changes}


def refusal(tensors: dict[str, torch.Tensor]) -> str:
    with pytest.raises(WeightsError) as caught:
        load_module(nn.Linear(3, 2), tensors, part="denoiser", file=Path("w.safetensors"))
    return str(caught.value)


def test_weights_that_fit_are_loaded_in_the_precision_of_the_part() -> None:
    part = nn.Linear(3, 2)
    load_module(part, {name: value.half() for name, value in linear().items()}, part="p", file=Path("w"))
    assert part.weight.dtype == torch.float32
    assert torch.equal(part.weight, torch.ones(2, 3))


def test_each_way_of_not_fitting_has_a_count_and_its_first_keys() -> None:
    strange = {f"extra.{index}": torch.ones(1) for index in range(7)}
    said = refusal({"weight": torch.ones(3, 2), **strange})
    assert said == (
        "the weights in w.safetensors do not fit denoiser:\n"
        "    1 missing: bias\n"
        "    7 not known to the part: extra.0, extra.1, extra.2, extra.3, extra.4, and 2 more\n"
        "    1 of another shape: weight: [3, 2] in the file, [2, 3] in the part"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_value_that_is_no_number_is_refused_wherever_it_is(
    value: float, dtype: torch.dtype, place: int
) -> None:
    weight = torch.ones(6, dtype=dtype)
    weight[place] = value
    said = refusal(linear(weight=weight.view(2, 3)))
    assert said.startswith(
        "the weights of denoiser in w.safetensors: 1 tensor is NaN or infinite: weight (1 of 6); "
    )


@pytest.mark.parametrize(("value", "own"), [(1e300, torch.float32), (-7e4, torch.float16)])
def test_a_value_that_the_part_cannot_hold_is_refused(value: float, own: torch.dtype) -> None:
    weight = torch.tensor([[1.0, value, 1.0], [1.0, 1.0, value]], dtype=torch.float64)
    said = rf"the weights of p in w: 2 values do not fit {str(own)[6:]}, .*: weight \(2 of 6\)"
    with pytest.raises(PartError, match=said):
        load_module(nn.Linear(3, 2, dtype=own), linear(weight=weight), part="p", file=Path("w"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_largest_numbers_are_numbers(dtype: torch.dtype) -> None:
    """Though their sum is not."""
    largest = torch.full((1000,), torch.finfo(dtype).max, dtype=dtype)
    require_numbers({"x": largest, "empty": torch.empty(0, dtype=dtype)}, Path("w"))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_weights_of_another_kind_of_number_are_refused(dtype: torch.dtype) -> None:
    said = refusal(linear(bias=torch.ones(2).to(dtype)))
    name = str(dtype).removeprefix("torch.")
    assert f"1 tensor is not of floating-point numbers: bias ({name})" in said


def test_a_tensor_is_looked_at_after_its_shape() -> None:
    """A checkpoint of another architecture is called that, whatever it holds."""
    assert "do not fit" in refusal({"x": torch.full((3,), float("nan"))})


def test_keys_of_no_part_are_counted() -> None:
    tensors = {"denoiser.weight": torch.ones(1), **{f"clip.{index}": torch.ones(1) for index in range(6)}}
    with pytest.raises(WeightsError) as caught:
        Weights(Path("w.pt"), tensors).by_slot(["denoiser"], load_catalogue())
    assert "w.pt holds 6 keys of parts that this spec has no weights for (it has denoiser.)" in str(
        caught.value
    )
    assert "clip.0, clip.1, clip.2, clip.3, clip.4, and 1 more" in str(caught.value)


def test_a_published_checkpoint_is_sent_to_be_converted(tiny: Path) -> None:
    tensors = load_file(tiny.with_name("tiny.safetensors"))
    torch.save({name.partition(".")[2]: value for name, value in tensors.items()}, tiny.with_name("base.pt"))
    with pytest.raises(WeightsError) as caught:
        assemble(tiny, weights=tiny.with_name("base.pt"))
    assert "none of the " in str(caught.value)
    assert "begins with a part of this spec (denoiser., text_encoder.)" in str(caught.value)
    assert "`glidepath convert`" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {**tensors, "denoiser.out.2.bias": torch.full((3,), float("nan"))},
        lambda tensors: {**tensors, "denoiser.out.2.bias": torch.ones(3, dtype=torch.int32)},
        lambda tensors: {**tensors, "denoiser.out.2.bias": torch.ones(4)},
        lambda tensors: {"denoiser.x": torch.ones(1)},
    ],
)
def test_bad_weights_end_in_one_error_before_anything_is_sampled(
    tiny: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> None:
    file = tiny.with_name("tiny.safetensors")
    save_file(change(load_file(file)), file)
    with pytest.raises(WeightsError, match=r"tiny\.safetensors"):
        assemble(tiny)


def test_what_a_file_is_decides_how_it_is_read_and_not_its_name(tmp_path: Path) -> None:
    torch.save(linear(), tmp_path / "a.safetensors")
    (tmp_path / "b.pt").write_bytes(save(linear()))
    assert torch.equal(read_tensors(tmp_path / "a.safetensors")["bias"], torch.ones(2))
    assert torch.equal(read_tensors(tmp_path / "b.pt")["bias"], torch.ones(2))


def test_a_zip_archive_of_several_disks_is_refused(tmp_path: Path) -> None:
    torch.save(linear(), tmp_path / "w.pt")
    whole = (tmp_path / "w.pt").read_bytes()
    end = whole.rindex(b"PK\5\6")
    (tmp_path / "w.pt").write_bytes(
        whole[: end - 20] + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 2) + whole[end:]
    )
    with pytest.raises(WeightsError, match="multiple disks"):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("end", [0, 3, 8, 40, 1000])
def test_a_safetensors_file_cut_anywhere_is_refused(tmp_path: Path, end: int) -> None:
    whole = save({"x": torch.ones(1000)})
    file = tmp_path / "w.safetensors"
    file.write_bytes(whole[:end])
    with pytest.raises(
        WeightsError, match=r"cannot read weights from .*w\.safetensors: it is (empty|cut short)"
    ):
        read_tensors(file)


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b'{"x": 3}',
        b'{"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}',
        b"[]",
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [-9, 4]}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, "4"]}}',
        b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": null}}',
        b'{"x": {"dtype": "F32", "shape": {}, "data_offsets": [0, 4]}}',
        b'{"x": {"dtype": 32, "shape": [1], "data_offsets": [0, 4]}}',
        b'{"__metadata__": 3, "x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(WeightsError, match=r"cannot read weights from .*w\.safetensors"):
        read_tensors(file)


@pytest.mark.parametrize("member", ["data.pkl", "data/0", "version"])
def test_a_pytorch_file_that_inflates_is_refused_unread(tmp_path: Path, member: str) -> None:
    """PyTorch compresses nothing, and the archive says what is compressed."""
    file, damaged = tmp_path / "w.pt", tmp_path / "inflates.pt"
    torch.save({"x": torch.zeros(1000)}, file)
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(damaged, "w") as inflating:
        for name in archive.namelist():
            packed = name.endswith(member)
            data = archive.read(name) + bytes(10**7 if packed else 0)
            inflating.writestr(name, data, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    tracemalloc.start()
    with pytest.raises(WeightsError, match=rf"{member} in it is compressed"):
        read_tensors(damaged)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


@pytest.mark.parametrize("replace", ["moved over it", "written into it"])
def test_a_file_of_another_sha256_is_not_used_though_size_and_time_are_the_same(
    tiny: Path, replace: str
) -> None:
    file, other = tiny.with_name("tiny.safetensors"), tiny.with_name("other.safetensors")
    stated = [f"weights={{path: {file}, sha256: {file_sha256(file)}}}"]
    pipeline, before = assemble(tiny, stated), file.stat()
    save_file({name: value * 1.5 for name, value in load_file(file).items()}, other)
    if replace == "moved over it":
        other.replace(file)
    else:
        file.write_bytes(other.read_bytes())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    with pytest.raises(WeightsError, match="and the spec expects"):
        assemble(tiny, stated)
    with pytest.raises(WeightsError, match="was changed after it was read"):
        read_sha256(file)
    assert pipeline is not None


def test_names_are_shortened_with_the_count_of_the_rest() -> None:
    assert list_names(["a", "b"]) == "a, b"
    assert list_names("abcdefg") == "a, b, c, d, e, and 2 more"


@pytest.mark.parametrize(
    ("count", "text"),
    [(96, "96 bytes"), (1000, "1 kB"), (999_499, "999 kB"), (999_999, "1 MB"), (1_540_000_000, "1.54 GB")],
)
def test_sizes_are_told_in_three_digits(count: int, text: str) -> None:
    assert format_bytes(count) == text


# the hub


def test_a_hub_address_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install 'glidepath-diffusion\[hub\]'"):
        locate_weights(Address("hub", FILE), load_catalogue())


SHARDS = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
]


class Hub(types.ModuleType):
    """huggingface_hub, as far as it is used: the function, and the errors by the names that `utils` has."""

    def __init__(self, answer: Path | str, *, is_reached: bool = True) -> None:
        super().__init__("huggingface_hub")
        self.asked: list[tuple[str, str, str | None]] = []
        self.answer, self.is_reached = answer, is_reached and answer != "LocalEntryNotFoundError"
        self.utils = types.SimpleNamespace(
            HfHubHTTPError=(http := type("HfHubHTTPError", (OSError,), {})),
            RepositoryNotFoundError=(repository := type("RepositoryNotFoundError", (http,), {})),
            GatedRepoError=type("GatedRepoError", (repository,), {}),
            RevisionNotFoundError=type("RevisionNotFoundError", (http,), {}),
            EntryNotFoundError=(entry := type("EntryNotFoundError", (Exception,), {})),
            LocalEntryNotFoundError=type("LocalEntryNotFoundError", (FileNotFoundError, entry), {}),
            OfflineModeIsEnabled=type("OfflineModeIsEnabled", (ConnectionError,), {}),
        )

    def HfApi(self) -> Hub:
        return self

    def model_info(self, repository: str, *, revision: str | None, timeout: float) -> None:
        if not self.is_reached:
            raise ConnectionError
        if isinstance(self.answer, str):
            raise self.utils.HfHubHTTPError

    def list_repo_files(self, repository: str, *, revision: str | None) -> list[str]:
        assert (repository, revision) == ("owner/name", None)
        return [
            "config.json",
            *(f"unet/{name}" for name in ("config.json", *SHARDS, "model.fp16.safetensors")),
        ]

    def hf_hub_download(
        self, repository: str, name: str, *, revision: str | None, local_files_only: bool
    ) -> str:
        assert local_files_only != self.is_reached
        self.asked.append((repository, name, revision))
        if isinstance(self.answer, Path):
            return str(self.answer / name if self.answer.is_dir() else self.answer)
        raise getattr(self.utils, self.answer)("a page of text\nand more")

    def snapshot_download(self, repository: str, *, revision: str | None, local_files_only: bool) -> str:
        assert (repository, revision, local_files_only) == ("owner/name", None, True)
        return str(self.answer)


def test_without_a_network_a_folder_of_a_hub_is_that_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unet").mkdir()
    save_file(linear(), tmp_path / "unet" / "model.safetensors")
    hub = Hub(tmp_path, is_reached=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert fetch_path(Address("hub", "owner/name/unet")) == tmp_path / "unet"
    assert fetch_weights(Address("hub", "owner/name/unet")) == tmp_path / "unet" / "model.safetensors"


def test_a_hub_address_is_fetched_at_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(linear(), tmp_path / "w.safetensors")
    hub = Hub(tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    address = Address("hub", FILE, revision="abc", sha256=file_sha256(tmp_path / "w.safetensors"))
    assert list(locate_weights(address, load_catalogue())) == [tmp_path / "w.safetensors"]
    assert hub.asked == [("owner/name", "sub/w.safetensors", "abc")]


@pytest.mark.parametrize("value", ["owner/name/unet", "owner/name/unet/model.safetensors.index.json"])
def test_of_a_folder_no_more_is_fetched_than_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    (tmp_path / "unet").mkdir()
    for name, file in zip(("weight", "bias"), SHARDS, strict=False):
        save_file({name: linear()[name]}, tmp_path / "unet" / file)
    index = {"weight_map": dict(zip(("weight", "bias"), SHARDS, strict=False))}
    (tmp_path / "unet" / SHARDS[2]).write_text(json.dumps(index))
    hub = Hub(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    files = locate_weights(Address("hub", value), load_catalogue())
    assert list(files) == [tmp_path / "unet" / name for name in SHARDS[:2]]
    assert sorted(name for _, name, _ in hub.asked) == [f"unet/{name}" for name in SHARDS]
    assert fetch_weights(Address("hub", "owner/name/unet", variant="fp16")).name == "model.fp16.safetensors"
    assert fetch_path(Address("hub", "owner/name/unet")) == tmp_path / "unet"
    assert fetch_path(Address("hub", "owner/name/config.json")) == tmp_path / "config.json"


def test_a_fetched_file_of_another_sha256_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(linear(), tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(tmp_path / "w.safetensors"))
    with pytest.raises(WeightsError) as caught:
        locate_weights(Address("hub", FILE, sha256="0" * 64), load_catalogue())
    for part in (
        file_sha256(tmp_path / "w.safetensors"),
        f"the spec expects {'0' * 64}",
        "nothing of it is used",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("RepositoryNotFoundError", "the hub has no repository owner/name, or none that you may read"),
        ("GatedRepoError", "owner/name is given to those only who agreed to its terms"),
        ("RevisionNotFoundError", "owner/name has no such branch, tag or commit"),
        ("EntryNotFoundError", "owner/name has no file sub/w.safetensors"),
        ("LocalEntryNotFoundError", "the hub cannot be reached, and the file is not in the cache"),
        ("OfflineModeIsEnabled", "the hub cannot be reached, and the file is not in the cache"),
        ("HfHubHTTPError", "cannot be fetched: a page of text"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(
    raised: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(raised))
    with pytest.raises(WeightsError) as caught:
        locate_weights(Address("hub", FILE, revision="v1"), load_catalogue())
    assert str(caught.value).startswith(f"hub:{FILE} at revision 'v1'")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


CONTENT = save(linear())
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(BaseHTTPRequestHandler):
    """A hub of one repository, owner/name, with one file at one revision, v1."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        repository, _, rest = self.path.removeprefix("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        missing = (
            "RepoNotFound" if repository != "owner/name"
            else "RevisionNotFound" if revision not in ("v1", COMMIT)
            else "EntryNotFound" if file != "sub/w.safetensors"
            else ""
        )  # fmt: skip
        self.send_response(404 if missing else 200)
        if missing:
            self.send_header("X-Error-Code", missing)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("Content-Length", str(0 if missing else len(CONTENT)))
        self.end_headers()
        if with_body and not missing:
            self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def fetched(endpoint: str, home: Path, *addresses: dict[str, str]) -> list[str]:
    """What `locate_weights` gives or says of each in a process whose hub is at an address of this machine."""
    code = (
        "import json, sys, time\n"
        "from glidepath.registry.plan.address import Address\n"
        "from glidepath.registry.discovery.catalogue import load_catalogue\n"
        "from glidepath.registry.assembly.weights import WeightsError, locate_weights\n"
        "time.sleep = lambda _seconds: None  # a hub that does not answer is asked again at once\n"
        "for address in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        print(*locate_weights(Address('hub', **address), load_catalogue()))\n"
        "    except WeightsError as error:\n"
        "        print('refused:', error)\n"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "NO_PROXY": "127.0.0.1",
    }
    asked = json.dumps([{"value": FILE, "revision": "v1", **address} for address in addresses])
    command = [sys.executable, "-c", code, asked]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_huggingface_hub_fetches_from_a_server_and_its_errors_are_understood(
    endpoint: str, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra [hub] is not installed")
    right = hashlib.sha256(CONTENT).hexdigest()
    found, *refused = fetched(
        endpoint,
        tmp_path,
        {"sha256": right},
        {"sha256": "1" * 64},
        {"revision": "v2"},
        {"value": "owner/name/x.safetensors"},
        {"value": "owner/other/w.safetensors"},
    )
    assert Path(found).read_bytes() == CONTENT
    for said, expected in zip(
        refused,
        (
            f"has sha256 {right}, and the spec expects {'1' * 64}",
            "has no such branch, tag or commit",
            "owner/name has no file x.safetensors",
            "the hub has no repository owner/other",
        ),
        strict=True,
    ):
        assert expected in said
    nobody = "http://127.0.0.1:1"
    (said,) = fetched(nobody, tmp_path / "empty", {})
    assert "the hub cannot be reached" in said
    # what is in the cache needs no hub
    (found,) = fetched(nobody, tmp_path, {"revision": COMMIT})
    assert Path(found).read_bytes() == CONTENT
