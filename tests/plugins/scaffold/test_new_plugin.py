"""`glidepath new-plugin`: what it writes, and what it refuses without writing anything.

tests/packaging installs each package and runs its tests.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from packaging.requirements import Requirement

from glidepath.core.errors import GlidepathError
from glidepath.plugins.scaffold.package import NewPlugin, new_plugin, templates, write
from glidepath.registry import API_VERSION, load_catalogue, parameter_table
from glidepath.registry.cli import main
from glidepath.registry.describe.descriptors import component_problems
from glidepath.registry.describe.kinds import CORE_KINDS

CATALOGUE = load_catalogue(environ={}, no_plugins=True)
KINDS = templates(CATALOGUE)


def named(name: str, kind: str) -> NewPlugin:
    return new_plugin(name, kind, CATALOGUE)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A package of each kind, once with a short name and once with a long one, by name."""
    folder = tmp_path_factory.mktemp("written")
    names = {f"x{index}": kind for index, kind in enumerate(KINDS)}
    names |= {f"glidepath-acme-laboratory-{kind.replace('_', '-')}": kind for kind in KINDS}
    for name, kind in names.items():
        write(named(name, kind), folder / name)
    return {name: folder / name for name in names}


def _module(folder: Path, name: str) -> Any:
    (file,) = folder.glob(f"*/{name}.py")
    spec = importlib.util.spec_from_file_location(f"written_{folder.name.replace('-', '_')}_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_template_for_every_kind_of_glidepath_itself_for_datasets_and_for_metrics() -> None:
    """A conditioner needs a denoiser that reads it: a package with both is in examples/."""
    known = {kind.name for kind in CORE_KINDS} - {"conditioner"}
    assert {*known, "dataset", "metric"} == set(KINDS)


def test_no_placeholder_is_left(written: dict[str, Path]) -> None:
    for folder in written.values():
        for file in folder.rglob("*"):
            assert "PACKAGE" not in file.name
            assert file.suffix != ".template"
            if file.is_file() and file.suffix != ".yml":  # where ${{ }} is GitHub's
                assert "$" not in file.read_text(encoding="utf-8"), file


def test_what_is_written_is_formatted_and_without_a_warning(written: dict[str, Path]) -> None:
    """By the settings that the package has itself."""
    folder = next(iter(written.values())).parent
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", str(folder)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_package_bounds_the_versions_of_glidepath(written: dict[str, Path]) -> None:
    for name, folder in written.items():
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["name"] == name
        (bound,) = [
            it.specifier
            for it in map(Requirement, project["dependencies"])
            if it.name == "glidepath-diffusion"
        ]
        assert bound.contains(f"{API_VERSION}.3")
        assert not bound.contains("999.0")
        assert {one.operator for one in bound} == {">=", "<"}


def _imports(source: str) -> list[str]:
    """The modules that a module imports as it is imported itself: not those for its annotations."""
    tree = ast.parse(source)
    types = [it for it in tree.body if isinstance(it, ast.If) and ast.unparse(it.test) == "TYPE_CHECKING"]
    statements = [node for it in tree.body if it not in types for node in ast.walk(it)]
    return [
        str(node.module) if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in statements
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def test_the_entry_point_is_a_module_that_imports_neither_torch_nor_the_parameters(
    written: dict[str, Path],
) -> None:
    light = ("__future__", "collections", "functools", "typing", "glidepath.registry", "glidepath.core")
    for folder in written.values():
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        (target,) = project["entry-points"]["glidepath.plugins"].values()
        file = folder.joinpath(*target.split(".")).with_suffix(".py")
        assert [it for it in _imports(file.read_text(encoding="utf-8")) if not it.startswith(light)] == []
        parameters = _imports(file.with_name("config.py").read_text(encoding="utf-8"))
        assert [it for it in parameters if not it.startswith((*light, "attrs"))] == []


def test_its_component_is_sound_and_named_for_the_package(written: dict[str, Path]) -> None:
    for name, folder in written.items():
        (component,) = _module(folder, "plugin").components()
        assert component_problems(component, KINDS) == []
        module, _, config = component.config.partition(":")
        assert module == f"{name.replace('-', '_')}.config"
        assert attrs.has(getattr(_module(folder, "config"), config))
        assert component.name == name.removeprefix("glidepath-")


def test_the_readme_has_the_parameters_and_the_example(written: dict[str, Path]) -> None:
    for folder in written.values():
        (component,) = _module(folder, "plugin").components()
        readme = (folder / "README.md").read_text(encoding="utf-8")
        config = getattr(_module(folder, "config"), component.config.partition(":")[2])
        assert parameter_table(config) in readme
        assert (folder / "example.yaml").read_text(encoding="utf-8").strip() in readme


def test_the_readme_says_how_the_example_is_used(written: dict[str, Path]) -> None:
    for name, folder in written.items():
        readme = " ".join((folder / "README.md").read_text(encoding="utf-8").split())
        used = {
            "dataset": "glidepath train example.yaml --out run",
            "metric": "glidepath study run example.yaml",
        }
        kind = name.removeprefix("glidepath-acme-laboratory-")
        if kind != name:
            assert (
                used.get(kind, 'glidepath sample "a red star" --spec example.yaml --out star.png') in readme
            )
            assert f"A {'study' if kind == 'metric' else 'spec'} names it `acme-laboratory-{kind}`" in readme


def _places(folder: Path) -> dict[str, list[str]]:
    """What the README of a package says of its names: in which files each stands."""
    section = (folder / "README.md").read_text(encoding="utf-8").partition("## To rename")[2]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip("| `"): re.findall(r"`([^`]+)`", row[2]) for row in rows}


def _has(text: str, name: str) -> bool:
    """Whether a text has a name by itself; that of a class begins with it."""
    return (
        re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-]|$)" if "-" in name else rf"\b{name}", text)
        is not None
    )


def test_the_readme_lists_every_file_in_which_a_name_stands(written: dict[str, Path]) -> None:
    for name, folder in written.items():
        if name.startswith("glidepath-"):
            files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"]
            texts = {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}
            places = _places(folder)
            assert len(places) == 4
            for one, stated in places.items():
                assert stated == sorted(path for path, text in texts.items() if _has(text, one)), one


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_changed_in_the_files_that_the_readme_lists_is_changed_everywhere(
    kind: str, tmp_path: Path
) -> None:
    write(named("glidepath-acme", kind), tmp_path / "acme")
    write(named("glidepath-zeta", kind), tmp_path / "zeta")
    places = _places(tmp_path / "acme")
    assert list(places) == ["acme", "Acme", "glidepath_acme", "glidepath-acme"]
    patterns = {
        "acme": r"(?<![\w-])acme(?![\w-])",
        "Acme": r"\bAcme",
        "glidepath_acme": r"\bglidepath_acme\b",
        "glidepath-acme": r"(?<![\w-])glidepath-acme(?![\w-])",
    }
    for name, files in places.items():
        for file in files:
            text = (tmp_path / "acme" / file).read_text(encoding="utf-8")
            changed = re.sub(patterns[name], name.replace("acme", "zeta").replace("Acme", "Zeta"), text)
            (tmp_path / "acme" / file).write_text(changed, encoding="utf-8")
    for file in (tmp_path / "zeta").rglob("*"):
        same = tmp_path / "acme" / file.relative_to(tmp_path / "zeta").as_posix().replace("zeta", "acme")
        assert not file.is_file() or same.read_text(encoding="utf-8") == file.read_text(encoding="utf-8"), (
            file
        )


def test_names_replaced_as_whole_words_and_the_longest_first_are_changed_as_the_readme_says(
    tmp_path: Path,
) -> None:
    for name in ("acme", "zeta"):
        write(named(f"glidepath-{name}", "sampler"), tmp_path / name)
    said = " ".join((tmp_path / "acme" / "README.md").read_text(encoding="utf-8").split())
    assert "A plain search for `acme` also finds the longer names that hold it" in said
    for name, files in sorted(_places(tmp_path / "acme").items(), key=lambda it: -len(it[0])):
        for file in (tmp_path / "acme" / one for one in files):
            new = name.replace("acme", "zeta").replace("Acme", "Zeta")
            pattern = rf"\b{name}" if name == "Acme" else rf"\b{name}\b"
            file.write_text(re.sub(pattern, new, file.read_text(encoding="utf-8")), encoding="utf-8")
    wanted = {file.relative_to(tmp_path / "zeta"): file for file in (tmp_path / "zeta").rglob("*.[mpt]*")}
    assert wanted
    for place, file in wanted.items():
        renamed = tmp_path / "acme" / place.as_posix().replace("zeta", "acme")
        assert renamed.read_text(encoding="utf-8") == file.read_text(encoding="utf-8"), place


def test_the_ci_file_is_yaml_that_tests_and_publishes(written: dict[str, Path]) -> None:
    for name, folder in written.items():
        jobs = yaml.safe_load((folder / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]
        steps = [step.get("run", "") for step in jobs["test"]["steps"]]
        assert {"ruff check .", "mypy", "pytest", f"glidepath test-plugin {name}"} <= set(steps)
        assert jobs["test"]["steps"][1]["with"]["python-version"] == "${{ matrix.python }}"
        assert jobs["publish"]["needs"] == "test"


@pytest.mark.parametrize(
    ("name", "kind", "package", "part", "stem"),
    [
        ("glidepath-acme", "sampler", "glidepath_acme", "acme", "Acme"),
        ("acme-words", "text-encoder", "acme_words", "acme-words", "AcmeWords"),
        ("acme-text-encoder", "text_encoder", "acme_text_encoder", "acme-text-encoder", "Acme"),
    ],
)
def test_all_names_follow_from_one(name: str, kind: str, package: str, part: str, stem: str) -> None:
    plugin = named(name, kind)
    assert (plugin.package, plugin.part, plugin.stem) == (package, part, stem)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is no name for a package"),
        ("Acme", "is no name for a package"),
        ("acme_x", "is no name for a package"),
        ("-acme", "is no name for a package"),
        ("2d", "is no name for a package"),
        ("a/b", "is no name for a package"),
        ("..", "is no name for a package"),
        ("json", "would hide Python's own module"),
        ("torch", "would hide"),
        ("class", "would hide"),
        ("glidepath-2d", "let a letter come first"),
        ("ddim", "glidepath has a sampler 'ddim' itself"),
        ("glidepath-ddim", "glidepath has a sampler 'ddim' itself"),
    ],
)
def test_a_name_that_would_not_work_is_refused(name: str, said: str) -> None:
    with pytest.raises(GlidepathError, match=said):
        named(name, "sampler")


@pytest.mark.parametrize(
    ("kind", "said"),
    [("samplr", "did you mean 'sampler'"), ("weather", "there are templates for adapter, codec")],
)
def test_a_kind_without_a_template_is_refused(kind: str, said: str) -> None:
    with pytest.raises(GlidepathError, match=said):
        named("acme", kind)


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    with pytest.raises(GlidepathError, match="exists already"):
        write(named("acme", "sampler"), tmp_path / "acme")
    assert not list((tmp_path / "acme").iterdir())
    assert [it.name for it in tmp_path.iterdir()] == ["acme"]


def test_a_folder_above_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(GlidepathError, match=r"there is no folder .*nowhere"):
        write(named("acme", "sampler"), tmp_path / "nowhere" / "acme")


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(GlidepathError, match=r"acme cannot be written: .*No space left on device"):
        write(named("acme", "sampler"), tmp_path / "acme")
    assert not list(tmp_path.iterdir())


def test_the_folder_has_ordinary_permissions(tmp_path: Path) -> None:
    """Not those of a temporary folder, which its owner alone may read."""
    (tmp_path / "ordinary").mkdir()
    write(named("acme", "codec"), tmp_path / "acme")
    assert (tmp_path / "acme").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_the_command_writes_beside_it_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "glidepath-acme", "--kind", "text-encoder"]) == 0
    assert (tmp_path / "glidepath-acme" / "glidepath_acme" / "text_encoder.py").is_file()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "glidepath-acme: a text encoder named acme. Next:"
    example = "glidepath-acme/example.yaml"
    assert said[-1] == f'  glidepath sample "a red star" --spec {example} --out star.png'
    assert main(["new-plugin", "glidepath-acme", "--kind", "metric", "--out", "judge"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  glidepath study run judge/example.yaml"
    assert main(["new-plugin", "glidepath-acme", "--kind", "codec", "--out", "other"]) == 0
    assert (tmp_path / "other" / "glidepath_acme" / "codec.py").is_file()
    assert main(["new-plugin", "glidepath-acme", "--kind", "codec", "--out", "other"]) == 1
    assert "other exists already; nothing was written" in capsys.readouterr().err


def test_show_prints_the_table_of_a_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--markdown", "sampler/ddim", "--no-plugins"]) == 0
    config = CATALOGUE.config_class(CATALOGUE.look_up("sampler", "ddim"))
    assert capsys.readouterr().out.strip() == parameter_table(config)


def test_a_table_escapes_bars_and_says_what_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--markdown", "captioned-folder", "--no-plugins"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.startswith("| `folder` | Path | *required* |") for row in rows)
    assert main(["show", "--markdown", "codec/identity", "--no-plugins"]) == 0
    assert capsys.readouterr().out == "It has no parameters.\n"
