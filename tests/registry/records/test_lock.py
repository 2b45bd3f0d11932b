"""`glidepath lock` and `--locked`: what a lock holds, what counts as drift, and what is said of it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.records.installed import installed_files
from glidepath.registry.records.lock import LockError, lock_file, read_lock
from glidepath.registry.spec.spec import read_spec

# No target is there: whoever builds a part fails.
PLUGIN = """
from pathlib import Path

@attrs.frozen(kw_only=True)
class StepsConfig:
    steps: int = attrs.field(default=DEFAULT, metadata=doc("how many"))

@attrs.frozen(kw_only=True)
class TableConfig:
    table: Path | None = attrs.field(default=None, metadata=doc("numbers"))

@hookimpl
def components():
    return [
        Component(kind="schedule", name="plain", target="acme.parts:Plain", config=TableConfig, summary="x"),
        Component(kind="denoiser", name="net", target="acme.parts:Net", summary="x"),
        Component(kind="sampler", name="walk", target="acme.parts:Walk", config=StepsConfig, summary="x"),
        Component(kind="codec", name="codec", target="acme.parts:Codec", summary="x"),
    ]
"""
SPEC = """\
schedule: {use: plain, table: table.txt}
denoiser: net
sampler: {use: walk, steps: 4}
codec: codec
weights: net.safetensors
"""


@pytest.fixture
def acme(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A glidepath of one file, a plugin of four parts, and a spec of them with two files, in spec.yaml."""
    (site.folder / "own.txt").write_text("one")
    record(site.folder / "glidepath_diffusion-9.9.dist-info", "own.txt")
    site.plugin("acme", PLUGIN.replace("DEFAULT", "50"), version="1.2")
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "table.txt").write_text("1 2 3")
    (tmp_path / "net.safetensors").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    return site


def record(info: Path, *names: str) -> None:
    """Write a RECORD as installers do."""
    lines = [f"{name},sha256=x,1" for name in names] + [f"{info.name}/RECORD,,"]
    (info / "RECORD").write_text("\n".join(lines))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def again(site: Any, version: str = "1.2", default: str = "50") -> None:
    """Install acme anew, as another process would find it."""
    for info in site.folder.glob("acme-*"):
        for file in info.iterdir():
            file.unlink()
        info.rmdir()
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]
    site.plugin("acme", PLUGIN.replace("DEFAULT", default), version=version)


def test_a_lock_holds_all_that_decides_what_a_spec_makes(acme: Any, glidepath: Any, tmp_path: Path) -> None:
    assert glidepath("lock", "spec.yaml") == (0, "spec.lock.json\n", "")
    lock = json.loads((tmp_path / "spec.lock.json").read_text())
    catalogue = load_catalogue()
    tree = make_plan(read_spec("spec.yaml", catalogue=catalogue), catalogue).tree
    assert lock["spec"] == tree
    assert lock["weights"] == {"": sha256(b"weights")}
    assert lock["files"] == {"schedule.table": sha256(b"1 2 3")}
    assert lock["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert re.match(r"\d+\.\d+", lock["environment"]["torch"])
    assert lock["distributions"]["glidepath-diffusion"]["version"] == "9.9"
    assert lock["distributions"]["glidepath-diffusion"]["files"] == {"own.txt": sha256(b"one")}
    assert lock["distributions"]["acme"]["version"] == "1.2"
    plugin = (acme.folder / "acme" / "plugin.py").read_bytes()
    assert lock["distributions"]["acme"]["files"]["acme/plugin.py"] == sha256(plugin)


def test_a_lock_of_what_a_lock_was_made_of_is_the_same(acme: Any, glidepath: Any, tmp_path: Path) -> None:
    glidepath("lock", "spec.yaml", "--out", "one/a.json")
    glidepath("lock", "spec.yaml", "--out", "one/b.json")
    assert (tmp_path / "one/a.json").read_bytes() == (tmp_path / "one/b.json").read_bytes()
    assert glidepath("diff", "one/a.json", "one/b.json") == (0, "no difference\n", "")


def test_versions_that_a_distribution_requires_are_in_its_lock(
    acme: Any, glidepath: Any, tmp_path: Path
) -> None:
    info = next(acme.folder.glob("acme-1.2*"))
    (info / "METADATA").write_text("Name: acme\nVersion: 1.2\nRequires-Dist: glidepath-diffusion<10,>=9\n")
    glidepath("lock", "spec.yaml")
    lock = json.loads((tmp_path / "spec.lock.json").read_text())
    assert lock["distributions"]["acme"]["requires"] == ["glidepath-diffusion>=9,<10"]


def test_a_plugin_that_hears_of_what_is_built_is_in_the_lock(
    acme: Any, glidepath: Any, tmp_path: Path
) -> None:
    acme.plugin(
        "listener", "@hookimpl\ndef components():\n    return []\n@hookimpl\ndef on_built(pipeline): ...\n"
    )
    acme.plugin("idle", "@hookimpl\ndef components():\n    return []\n")
    glidepath("lock", "spec.yaml")
    lock = json.loads((tmp_path / "spec.lock.json").read_text())
    assert list(lock["distributions"]) == ["acme", "glidepath-diffusion", "listener"]


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("my.yaml", "my.lock.json"),
        ("runs/a/spec.yml", "runs/a/spec.lock.json"),
        ("shapes", "shapes.lock.json"),
        ("acme/base", "acme-base.lock.json"),
    ],
)
def test_a_lock_stands_beside_its_spec_and_that_of_a_preset_here(spec: str, file: str) -> None:
    assert lock_file(spec) == Path(file)


def test_weights_that_are_not_there_are_locked_as_such(acme: Any, glidepath: Any, tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").unlink()
    status, _, err = glidepath("lock", "spec.yaml")
    assert (status, err) == (
        0,
        "glidepath: warning: the file of weights is not there yet; the lock holds to that\n",
    )
    assert read_lock(tmp_path / "spec.lock.json").weights == {"": "not there"}


def drifted(glidepath: Any, *arguments: str) -> list[str]:
    """What `sample --locked` refuses, without head and foot."""
    status, _, err = glidepath("sample", "x", "--spec", "spec.yaml", "--locked", *arguments)
    lines = err.splitlines()
    assert status == 1
    assert "not as spec.lock.json has it; nothing was built" in lines[0]
    assert lines[-1] == "    to take it all as it is now: glidepath lock spec.yaml --out spec.lock.json"
    return [line.strip() for line in lines[1:-1]]


def test_what_is_as_the_lock_has_it_is_built(acme: Any, glidepath: Any) -> None:
    glidepath("lock", "spec.yaml")
    status, _, err = glidepath("sample", "x", "--spec", "spec.yaml", "--locked")
    assert status == 1
    assert "there is no module acme.parts" in err or "No module named 'acme.parts'" in err


def test_a_parameter_that_was_set_is_drift(acme: Any, glidepath: Any) -> None:
    glidepath("lock", "spec.yaml")
    assert drifted(glidepath, "--set", "sampler.steps=5") == ["sampler.steps was 4, and is 5, from --set #1"]
    assert drifted(glidepath, "--device", "cpu") == ["runtime.device was auto, and is cpu, from --device cpu"]


def test_a_parameter_that_was_edited_is_drift(acme: Any, glidepath: Any, tmp_path: Path) -> None:
    glidepath("lock", "spec.yaml")
    (tmp_path / "spec.yaml").write_text(SPEC.replace("steps: 4", "steps: 6"))
    assert drifted(glidepath) == ["sampler.steps was 4, and is 6, from spec.yaml:3:29"]


def test_another_version_of_a_plugin_is_drift_and_a_default_that_it_changed(
    acme: Any, glidepath: Any, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC.replace("{use: walk, steps: 4}", "walk"))
    glidepath("lock", "spec.yaml")
    again(acme, "1.10", "40")
    steps, distribution = drifted(glidepath)
    assert steps.startswith("sampler.steps was 50, and is 40, a default")
    assert distribution == "distribution acme was 1.2, and is 1.10"


def test_an_edited_file_of_a_distribution_is_drift(acme: Any, glidepath: Any) -> None:
    glidepath("lock", "spec.yaml")
    (acme.folder / "own.txt").write_text("two")
    assert drifted(glidepath) == [
        f"sha256 of own.txt of glidepath-diffusion was {sha256(b'one')[:12]}, and is {sha256(b'two')[:12]}"
    ]
    (acme.folder / "own.txt").unlink()
    assert f"was {sha256(b'one')[:12]}, and is absent" in drifted(glidepath)[0]


def test_other_weights_under_the_same_name_are_drift(acme: Any, glidepath: Any, tmp_path: Path) -> None:
    glidepath("lock", "spec.yaml")
    (tmp_path / "net.safetensors").write_bytes(b"others!")
    assert drifted(glidepath) == [
        f"sha256 of the weights was {sha256(b'weights')[:12]}, and is {sha256(b'others!')[:12]}"
    ]


def test_the_same_weights_under_another_name_are_no_drift(acme: Any, glidepath: Any, tmp_path: Path) -> None:
    glidepath("lock", "spec.yaml")
    (tmp_path / "net.safetensors").rename(tmp_path / "other.safetensors")
    _, _, err = glidepath("sample", "x", "--spec", "spec.yaml", "--locked", "--weights", "other.safetensors")
    assert "nothing was built" not in err


def test_a_file_that_a_parameter_names_drifts_with_its_content_alone(
    acme: Any, glidepath: Any, tmp_path: Path
) -> None:
    glidepath("lock", "spec.yaml")
    (tmp_path / "table.txt").write_text("3 2 1")
    assert drifted(glidepath) == [
        f"sha256 of the file at schedule.table was {sha256(b'1 2 3')[:12]}, and is {sha256(b'3 2 1')[:12]}"
    ]
    (tmp_path / "table.txt").write_text("1 2 3")
    (tmp_path / "table.txt").rename(tmp_path / "moved.txt")
    _, _, err = glidepath(
        "sample", "x", "--spec", "spec.yaml", "--locked", "--set", "schedule.table=moved.txt"
    )
    assert "nothing was built" not in err


@pytest.mark.parametrize(
    ("name", "version", "told"),
    [
        ("torch", "1.0", "torch was 1.0, and is {}"),
        ("python", "2.7.18", "python was 2.7.18, and is {}"),
    ],
)
def test_another_torch_or_minor_version_of_python_is_drift(
    acme: Any, glidepath: Any, tmp_path: Path, name: str, version: str, told: str
) -> None:
    glidepath("lock", "spec.yaml")
    file = tmp_path / "spec.lock.json"
    lock = json.loads(file.read_text())
    here, lock["environment"][name] = lock["environment"][name], version
    file.write_text(json.dumps(lock))
    assert drifted(glidepath) == [told.format(here)]


def test_another_patch_of_python_is_no_drift(acme: Any, glidepath: Any, tmp_path: Path) -> None:
    glidepath("lock", "spec.yaml")
    file = tmp_path / "spec.lock.json"
    lock = json.loads(file.read_text())
    lock["environment"]["python"] = "{}.{}.99".format(*sys.version_info)
    file.write_text(json.dumps(lock))
    assert "nothing was built" not in glidepath("sample", "x", "--spec", "spec.yaml", "--locked")[2]


def test_train_refuses_drift_before_it_makes_its_folder(site: Any, glidepath: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    site.bundle()
    (site.folder / "own.txt").write_text("one")
    record(site.folder / "glidepath_diffusion-9.9.dist-info", "own.txt")
    monkeypatch.chdir(tmp_path)
    assert glidepath("lock", "shapes")[0] == 0
    status, _, err = glidepath("train", "shapes", "--locked", "shapes.lock.json", "--set", "train.steps=1")
    assert status == 1
    assert "train.steps was 40000, and is 1, from --set #1" in err
    assert not (tmp_path / "runs").exists()


def test_locked_takes_a_prompt_for_a_prompt(acme: Any, glidepath: Any) -> None:
    glidepath("lock", "spec.yaml", "--out", "other.json")
    status, _, err = glidepath("sample", "--spec", "spec.yaml", "--locked", "a green star")
    assert (status, err) == (
        1,
        "glidepath: error: there is no lock spec.lock.json; "
        "`glidepath lock SPEC --out spec.lock.json` writes it\n",
    )
    for given in (["--locked", "other.json"], ["--locked=other.json"]):
        _, _, err = glidepath("sample", "x", *given, "--spec", "spec.yaml", "--set", "sampler.steps=5")
        assert "not as other.json has it" in err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lock: lock.update(format="glidepath-manifest-9"), "its format is 'glidepath-manifest-9'"),
        (lambda lock: lock.pop("weights"), "it is damaged: KeyError: 'weights'"),
        (lambda lock: lock.update(distributions=[]), "it is damaged"),
        (lambda lock: lock["distributions"].update(acme="1.2"), "it is damaged"),
    ],
)
def test_a_damaged_lock_is_refused(
    acme: Any, glidepath: Any, tmp_path: Path, change: Callable[[Any], object], told: str
) -> None:
    glidepath("lock", "spec.yaml")
    file = tmp_path / "spec.lock.json"
    lock = json.loads(file.read_text())
    change(lock)
    file.write_text(json.dumps(lock))
    with pytest.raises(LockError, match="cannot read the lock") as caught:
        read_lock(file)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_file_that_is_no_lock_is_refused(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "no.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LockError, match=r"cannot read the lock .*no\.json"):
        read_lock(file)


def test_locking_imports_no_torch(tmp_path: Path) -> None:
    source = f"""if True:
        import sys
        from glidepath.registry.cli import main
        assert main(["lock", "adm-64", "--out", {str(tmp_path / "a.json")!r}]) == 0
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", source], check=True, stdout=subprocess.DEVNULL)


def test_files_are_those_of_the_record_but_what_installers_write(site: Any) -> None:
    info = site.add("other", modules={"other/__init__.py": "", "other/data.txt": "x", "stray.py": ""})
    names = (
        "other/__init__.py",
        "other/data.txt",
        "other/__pycache__/a.pyc",
        "../bin/other",
        "other/gone.py",
    )
    record(info, *names, "other.pth", f"{info.name}/METADATA")
    assert list(installed_files("other", ["stray"])) == ["other/__init__.py", "other/data.txt"]


def test_files_of_an_editable_installation_are_those_of_its_packages_under_the_same_names(site: Any) -> None:
    modules = {
        "space/pack/__init__.py": "",
        "space/pack/deep/data.txt": "x",
        "space/pack/.hidden": "",
        "space/pack/__pycache__/a.pyc": "",
        "alone.py": "",
        "beside.py": "",
    }
    info = site.add("other", modules=modules)
    record(info, "__editable__.other.pth")
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///x"}')
    found = installed_files("other", ["space.pack.deep.module", "alone", "nosuch.thing"])
    assert list(found) == ["alone.py", "space/pack/__init__.py", "space/pack/deep/data.txt"]
    assert found["alone.py"].samefile(site.folder / "alone.py")


def test_a_distribution_that_is_not_there_has_the_files_of_its_modules(site: Any) -> None:
    site.add("other", modules={"alone.py": ""})
    assert list(installed_files("nosuch", ["alone"])) == ["alone.py"]
