"""Files with seeded damage through every reader: errors of ours alone, in 2 seconds and 500 MB each.

GLIDEPATH_MUTATIONS says how many of each sort there are, and of specs ten times as many: 1000 is a full run.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save
from tests.registry.tiny import CASCADE, SPEC, write_tiny

from glidepath.core.errors import GlidepathError
from glidepath.registry.assembly.warnings import training_spec
from glidepath.registry.cli import main
from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.files.pictures import FORMATS, decode_picture
from glidepath.registry.files.tensor_file import read_state_dicts, require_numbers
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.records.differences import changes
from glidepath.registry.records.lock import read_lock, write_lock
from glidepath.registry.records.manifest import read_image
from glidepath.registry.records.recording import describe_plan
from glidepath.registry.spec.spec import parse_spec, read_spec

COUNT = int(os.environ.get("GLIDEPATH_MUTATIONS", "100"))
SECONDS, KILOBYTES = 2.0, 500_000
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 0.5, float("nan"), float("inf"), 2**63, 10**400, 1e308),
    *("", "\x1b]0;owned\x07", "\ud800", "../../etc/passwd", "/dev/zero", "${sampler}", "x" * 100_000, ".inf"),
    *([], {}, [[]], {"": {}}, {"use": []}, [{"use": "ddim"}] * 20, list(range(20_000))),
)

Read = Callable[[bytes], object]
Make = Callable[[random.Random], bytes]


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, taken away, put in, or moved."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        at, length = draw.randrange(len(changed) + 1), draw.choice((1, 2, 4, 8, 40))
        match draw.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                order = draw.choice("<>")
                changed[at : at + 4] = struct.pack(f"{order}I", draw.choice(NUMBERS))
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = changed[at : at + length] * draw.choice((1, 2, 50))
            case 4:
                changed[at:at] = draw.randbytes(length)
            case _:
                other = draw.randrange(len(changed) + 1)
                changed[at : at + length] = changed[other : other + length]
    return bytes(changed[: draw.randrange(len(changed) + 1)] if draw.random() < 0.1 else changed)


def altered(value: Any, draw: random.Random) -> Any:
    """Plain values of which some are others, absent, or elsewhere too."""
    places = list(_places(value))
    for _ in range(draw.randint(1, 3)):
        holder, key = draw.choice(places)
        new: Any = draw.choice(VALUES)
        if draw.random() < 0.05:
            for _ in range(draw.choice((40, 60, 900))):
                new = {"x": new} if draw.random() < 0.5 else [new]
        if draw.random() < 0.3:
            other, name = draw.choice(places)
            new = other[name] if name in other or (isinstance(other, list) and name < len(other)) else None
        if isinstance(holder, dict) and draw.random() < 0.2:
            holder[draw.choice(("", "use", "\x1b[2J", "weights", "spec"))] = holder.pop(key, None)
        elif isinstance(holder, dict) or key < len(holder):
            holder[key] = json.loads(json.dumps(new)) if not isinstance(new, float) else new
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def run(count: int, sort: str, make: Make, read: Read) -> None:
    """Read so many damaged files; fail with all that did not end in an error of ours, in time and memory."""
    bad = []
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(count):
        data = make(random.Random(f"{sort} {index}"))
        began = time.process_time()
        try:
            read(data)
        except GlidepathError as error:
            str(error)
        except Exception as error:  # of whatever kind: that is what is looked for
            bad.append(f"{index}: {type(error).__name__}: {str(error)[:200]}")
        seconds = time.process_time() - began
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if seconds > SECONDS or used - most > KILOBYTES:
            bad.append(f"{index}: {seconds:.1f} s, {(used - most) // 1000} MB more than before")
        most = max(most, used)
    assert not bad, f"{len(bad)} of {count} {sort}:\n" + "\n".join(bad[:50])


def test_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    catalogue = load_catalogue()
    texts = [SPEC, CASCADE, "extends: shapes\nsampler: {steps: 10}\n"]
    texts += [preset.file.read_text("utf-8") for preset in catalogue.presets().values()]

    def make(draw: random.Random) -> bytes:
        text = draw.choice(texts)
        if draw.random() < 0.5:
            return damaged(text.encode(), draw)
        tree = altered(yaml.safe_load(text), draw)
        try:
            text = json.dumps(tree) if draw.random() < 0.5 else yaml.safe_dump(tree)
        except RecursionError:  # of YAML's writer
            text = json.dumps(tree)
        return text.encode("utf-8", "replace")

    def read(data: bytes) -> None:
        Path("stranger.yaml").write_bytes(data)
        make_plan(read_spec("stranger.yaml", catalogue=catalogue), catalogue)

    run(10 * COUNT, "specs", make, read)


def _pictures() -> list[bytes]:
    rgba = np.random.default_rng(0).integers(0, 256, (9, 11, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    kept = [Image.fromarray(rgba), Image.fromarray(rgba[..., :3]), Image.fromarray(rgba[..., 0])]
    kept += [
        kept[1].quantize(16),
        kept[1].convert("1"),
        Image.fromarray(rgba[..., 0].astype(np.uint16) * 257),
    ]
    kept += [Image.fromarray(rgba[..., 0].astype(np.float32) / 255), kept[1].convert("CMYK")]
    files = []
    for form in FORMATS:
        for picture in kept:
            for options in (
                {"compression": "jpeg"},
                {},
                {"exif": exif},
                {"compression": "tiff_lzw"},
                {"save_all": True, "append_images": kept},
            ):
                written = io.BytesIO()
                try:
                    picture.save(written, form, **options)
                except (OSError, ValueError, TypeError, KeyError, RuntimeError):  # not in this format
                    continue
                files.append(written.getvalue())
    return files


def _png(data: bytes, draw: random.Random) -> bytes:
    """A PNG of which a chunk is damaged, with a checksum that is right."""
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append(data[at + 4 : at + 8 + length])
        at += length + 12
    which = draw.randrange(len(chunks))
    name, body = chunks[which][:4], damaged(chunks[which][4:], draw)
    chunks[which] = name + (zlib.compress(body) if name == b"IDAT" and draw.random() < 0.3 else body)
    return data[:8] + b"".join(
        struct.pack(">I", len(it) - 4) + it + struct.pack(">I", zlib.crc32(it)) for it in chunks
    )


def test_pictures() -> None:
    files = _pictures()

    def make(draw: random.Random) -> bytes:
        data = draw.choice(files)
        return (
            _png(data, draw) if data.startswith(b"\x89PNG") and draw.random() < 0.7 else damaged(data, draw)
        )

    run(COUNT, "pictures", make, lambda data: decode_picture(data, "it"))


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The manifest of an image of a tiny model that started from a picture, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    Image.new("RGB", (8, 8), "red").save("photo.png")
    made = ["--spec", "tiny.yaml", "--image", "photo.png", "--strength", "0.5", "--device", "cpu"]
    assert main(["sample", "a star", *made, "--out", "star.png", "--scale", "1"]) == 0
    with Image.open("star.png") as opened:
        opened.load()
        data: dict[str, Any] = json.loads(opened.info["glidepath"])
    return data


def _manifest(whole: dict[str, Any], draw: random.Random) -> bytes:
    text = json.dumps(altered(json.loads(json.dumps(whole)), draw)).encode()
    return damaged(text, draw) if draw.random() < 0.2 else text


def test_manifests(image: dict[str, Any]) -> None:
    catalogue = load_catalogue()
    told = Path("star.png").read_bytes()

    def make(draw: random.Random) -> bytes:
        body = b"iTXtglidepath\0\0\0\0\0" + _manifest(image, draw)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return told[:33] + chunk + told[told.index(b"IDAT") - 4 :]

    def read(data: bytes) -> None:
        Path("x.png").write_bytes(data)
        _, manifest, _ = read_image(Path("x.png"))
        assert manifest.images is not None
        manifest.images.inputs()
        text = json.dumps(manifest.spec)
        options: Any = {"catalogue": catalogue, "untrusted": True, "folder": Path(), "beside": Path()}
        make_plan(parse_spec(text, "x.png", [], **options), catalogue)

    run(COUNT, "manifests", make, read)


def test_locks(image: dict[str, Any]) -> None:
    catalogue = load_catalogue()
    now = describe_plan(make_plan(read_spec("tiny.yaml", catalogue=catalogue), catalogue), catalogue)
    write_lock(now, Path("x.lock.json"))
    whole = json.loads(Path("x.lock.json").read_bytes())

    def read(data: bytes) -> None:
        Path("x.lock.json").write_bytes(data)
        lock = read_lock(Path("x.lock.json"))
        [change.sentence() for change in changes(lock, now)]

    run(COUNT, "locks", lambda draw: _manifest(whole, draw), read)


TENSORS = {"denoiser.a": torch.ones(3, 4), "b": torch.zeros(5).half(), "c": torch.tensor(1.0)}


def _safetensors(draw: random.Random) -> bytes:
    data = save(TENSORS, {"spec": json.dumps({"schedule": {"use": "cosine"}}), "format": "x"})
    if draw.random() < 0.5:
        return damaged(data, draw)
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(altered(json.loads(data[8 : 8 + length]), draw)).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _checkpoint(draw: random.Random) -> bytes:
    written = io.BytesIO()
    zipped = draw.random() < 0.7
    torch.save({"model": TENSORS, "step": 1}, written, _use_new_zipfile_serialization=zipped)
    if not zipped or draw.random() < 0.4:
        return damaged(written.getvalue(), draw)
    again = io.BytesIO()
    with zipfile.ZipFile(written) as whole, zipfile.ZipFile(again, "w", draw.choice((0, 8))) as other:
        which = draw.choice(whole.namelist())
        for name in whole.namelist():
            data = whole.read(name)
            other.writestr(name, damaged(data, draw) if name == which or name.endswith(".pkl") else data)
    return again.getvalue()


@pytest.mark.parametrize(("name", "make"), [("x.safetensors", _safetensors), ("x.pt", _checkpoint)])
@pytest.mark.filterwarnings("ignore")
def test_weights(tmp_path: Path, name: str, make: Make) -> None:
    def read(data: bytes) -> None:
        (tmp_path / name).write_bytes(data)
        training_spec(tmp_path / name)
        for tensors in read_state_dicts(tmp_path / name).values():
            require_numbers(tensors, tmp_path / name)

    run(COUNT, name, make, read)


STUDY = """\
study: {name: store}
base: {extends: ./tiny.yaml, runtime: {device: cpu}}
arms:
  - axes: {sampler.steps: [1, 2]}
seeds: {sample: 1}
data: {prompts: [a star]}
metrics: {primary: {evaluations: network-evaluations}}
engine: in-process
"""


def test_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny(tmp_path)
    Path("study.yaml").write_text(STUDY)
    assert main(["study", "run", "study.yaml"]) == 0
    store = Path("runs/studies/store")
    shutil.copytree(store, "whole")
    files = sorted(path.relative_to("whole") for path in Path("whole").rglob("*") if path.is_file())
    commands = [
        ["status", str(store)],
        ["export", str(store), "--out", "o.csv"],
        ["list"],
        ["report", "study.yaml"],
    ]
    # drawing takes most of a sound report's time, and reads nothing of the store
    monkeypatch.setattr("glidepath.plugins.studies.report.write.rendered", lambda _figure, _format: b"")
    assert [main(["study", *command]) for command in commands] == [0, 0, 0, 0]
    chosen: dict[str, Any] = {}

    def make(draw: random.Random) -> bytes:
        chosen["file"], chosen["command"] = draw.choice(files), draw.choice(commands)
        data = (Path("whole") / chosen["file"]).read_bytes()
        if chosen["file"].suffix == ".json" and draw.random() < 0.7:
            tree = json.loads(data)
            return json.dumps(altered(tree, draw) if _places(tree) and tree else tree).encode()
        return damaged(data, draw)

    def read(data: bytes) -> None:
        (store / chosen["file"]).write_bytes(data)
        try:
            main(["study", *chosen["command"]])
            assert "\x1b" not in "".join(capsys.readouterr())
        finally:
            shutil.rmtree(store)
            shutil.copytree("whole", store)

    run(COUNT, "studies", make, read)


pytestmark = pytest.mark.thorough
