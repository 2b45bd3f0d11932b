"""Plugins are found by their entry points, each distribution by itself; switches act before any import."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.discovery.metadata import canonical
from glidepath.registry.discovery.scan import installed_version, scan, unreadable, unreadable_metadata
from glidepath.registry.discovery.switches import switches
from glidepath.registry.records.installed import installed_files

MALFORMED = {
    "text before the first section": "nonsense\n[glidepath.plugins]\nx = acme.plugin\n",
    "bytes that are not utf-8": b"[glidepath.plugins]\nx = \xff\xfe\n",
    "a header that is not closed": "[glidepath.plugins\nx = acme.plugin\n",
    "an entry without a value": "[glidepath.plugins]\nx\n",
}


def test_entry_points_come_sorted_by_distribution_and_name(site: Any) -> None:
    site.add("zeta", entries={"b": "zeta.b", "a": "zeta.a"})
    site.add("alpha", entries={"c": "alpha.c"})
    found = scan(site.path).plugins
    assert [(it.distribution, it.name, it.module) for it in found] == [
        ("alpha", "c", "alpha.c"),
        ("zeta", "a", "zeta.a"),
        ("zeta", "b", "zeta.b"),
    ]


def test_names_of_distributions_are_canonical_and_versions_come_from_the_folder(site: Any) -> None:
    site.add("Acme_Diffusion.Parts", "1.2+local", entries={"Acme": "acme.plugin"})
    (found,) = scan(site.path).plugins
    assert (found.distribution, found.version, found.name) == ("acme-diffusion-parts", "1.2+local", "Acme")


def test_other_groups_are_passed_over(site: Any) -> None:
    site.add("tool", text="[console_scripts]\nglide = tool:main\n")
    answer = scan(site.path)
    assert (answer.plugins, answer.malformed) == ((), ())
    assert answer.versions == {"glidepath-diffusion": "9.9"}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_file_is_reported_and_hides_no_other(site: Any, fault: str) -> None:
    info = site.add("broken", "2.0", text=MALFORMED[fault])
    site.add("acme", entries={"acme": "acme.plugin"})
    answer = scan(site.path)
    assert [it.name for it in answer.plugins] == ["acme"]
    (record,) = answer.malformed
    assert (record.distribution, record.version, record.stage) == ("broken", "2.0", "scan")
    assert record.error
    assert record.problems[0].where == str(info / "entry_points.txt")
    assert "broken" in record.hint
    assert not record.works


def test_one_malformed_entry_costs_no_other_of_its_file(site: Any) -> None:
    site.add("acme", entries={"bad": "not a module!", "good": "acme.plugin"})
    answer = scan(site.path)
    assert [it.name for it in answer.plugins] == ["good"]
    assert [(it.name, it.stage) for it in answer.malformed] == [("bad", "scan")]
    assert "'not a module!'" in answer.malformed[0].error


def test_a_percent_sign_a_default_section_and_a_byte_order_mark_do_no_harm(site: Any) -> None:
    text = "[DEFAULT]\nleak = leak.plugin\n[other]\nx = 50%\n[glidepath.plugins]\nacme = acme.plugin\n"
    site.add("acme", text=b"\xef\xbb\xbf" + text.encode())
    answer = scan(site.path)
    assert [it.name for it in answer.plugins] == ["acme"]
    assert not answer.malformed


def test_a_name_that_occurs_twice_in_one_file_is_reported(site: Any) -> None:
    site.add("acme", text="[glidepath.plugins]\nacme = acme.one\nacme = acme.two\n")
    answer = scan(site.path)
    assert [it.module for it in answer.plugins] == ["acme.two"]
    assert "twice" in answer.malformed[0].error


@pytest.mark.parametrize("text", ["[other]\nx = a\nx = b\n", "[other]\nx = a\n[other]\ny = b\n"])
def test_repetitions_in_a_group_of_others_are_none_of_our_business(site: Any, text: str) -> None:
    site.add("acme", text=f"{text}[glidepath.plugins]\nacme = acme.plugin\n")
    answer = scan(site.path)
    assert [it.name for it in answer.plugins] == ["acme"]
    assert not answer.malformed


def test_of_a_distribution_on_two_paths_the_first_counts(site: Any, tmp_path: Path) -> None:
    later = tmp_path / "later"
    site.add("My.Dist", "1.0", entries={"x": "first.plugin"})
    site.add("my_dist", "2.0", entries={"x": "second.plugin"}, folder=later)
    assert [it.module for it in scan([*site.path, str(later)]).plugins] == ["first.plugin"]
    assert [it.module for it in scan([str(later), *site.path]).plugins] == ["second.plugin"]


def test_a_distribution_without_plugins_hides_a_later_one_of_its_name(site: Any, tmp_path: Path) -> None:
    site.add("acme", "2.0")
    site.add("acme", "1.0", entries={"x": "acme.plugin"}, folder=tmp_path / "later")
    assert not scan([*site.path, str(tmp_path / "later")]).plugins


def test_leftovers_of_pip_and_folders_that_are_not_there_are_passed_over(site: Any, tmp_path: Path) -> None:
    site.add("~cme", entries={"x": "acme.plugin"})
    assert not scan([*site.path, str(tmp_path / "absent"), str(tmp_path / "file.zip")]).plugins


@pytest.mark.parametrize("metadata", ["METADATA", "PKG-INFO"])
def test_a_folder_without_a_version_has_it_in_its_metadata(site: Any, metadata: str) -> None:
    info = site.folder / "acme.egg-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[glidepath.plugins]\nx = acme.plugin\n")
    (info / metadata).write_text("Metadata-Version: 2.1\nName: acme\nVersion: 3.4\n")
    assert scan(site.path).plugins[0].version == "3.4"


def test_a_version_that_nothing_states_is_empty(site: Any) -> None:
    (site.folder / "acme.egg-info").mkdir()
    (site.folder / "acme.egg-info" / "entry_points.txt").write_text("[glidepath.plugins]\nx = acme.plugin\n")
    assert scan(site.path).plugins[0].version == ""


def test_the_python_version_of_an_egg_is_no_part_of_its_version(site: Any) -> None:
    info = site.folder / "acme-1.5-py3.11.egg-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[glidepath.plugins]\nx = acme.plugin\n")
    assert scan(site.path).plugins[0].version == "1.5"


PLUGIN = "[glidepath.plugins]\nglow = acme_glow.plugin\n"


def described(info: Path, name: str = "acme-glow", version: str = "1.0", text: str = PLUGIN) -> None:
    """A folder of metadata, complete."""
    info.mkdir(parents=True)
    file = "METADATA" if info.suffix == ".dist-info" else "PKG-INFO"
    (info / file).write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: no\n")
    (info / "entry_points.txt").write_text(text)


@pytest.mark.parametrize("second", ["acme_glow.egg-info", "acme-glow.egg-info", "Acme.Glow-0.9.dist-info"])
def test_a_development_install_that_is_described_twice_is_one(tmp_path: Path, second: str) -> None:
    described(tmp_path / "site" / "acme_glow-1.0.dist-info")
    described(tmp_path / "source" / second)
    path = [str(tmp_path / "site"), str(tmp_path / "source")]
    assert [(it.distribution, it.version) for it in scan(path).plugins] == [("acme-glow", "1.0")]
    assert [it.distribution for it in scan(path[::-1]).plugins] == ["acme-glow"]


@pytest.mark.parametrize(
    "left",
    ["acme_glow-1.0.dist-info", "acme_glow-1.0-py3.10.egg-info", "acme-glow-0.9.dist-info", "acme.egg-info"],
)
@pytest.mark.parametrize("files", [(), ("REQUESTED",), ("METADATA", "PKG-INFO")])
def test_metadata_that_an_upgrade_left_behind_hides_nothing(
    tmp_path: Path, left: str, files: tuple[str, ...]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / left).mkdir(parents=True)
        for file in files:
            (tmp_path / folder / left / file).touch()
    described(tmp_path / "b" / "acme_glow-2.0.dist-info", version="2.0")
    (found,) = scan([str(tmp_path / "a"), str(tmp_path / "b")]).plugins
    assert (found.distribution, found.version) == ("acme-glow", "2.0")


@pytest.mark.parametrize(
    ("folder", "name", "version"),
    [
        ("acme-glow-1.0.dist-info", "acme-glow", "1.0"),
        ("acme-glow.egg-info", "acme-glow", "1.0"),
        ("acme-glow-1.0-py3.11.egg-info", "acme-glow", "1.0"),
        ("acme-2d-1.0.dist-info", "acme-2d", "1.0"),
        ("Acme.Glow-1!2.0.post1.dist-info", "acme-glow", "1!2.0.post1"),
    ],
)
def test_name_and_version_are_those_that_the_metadata_states(
    tmp_path: Path, folder: str, name: str, version: str
) -> None:
    described(tmp_path / folder, name, version)
    described(tmp_path / "acme-shine-1.0.dist-info", "acme-shine")
    found = scan([str(tmp_path)]).plugins
    assert [(it.distribution, it.version) for it in found] == sorted([(name, version), ("acme-shine", "1.0")])
    assert installed_version(name, [str(tmp_path)]) == version
    assert installed_version("acme", [str(tmp_path)]) == ""


def test_the_egg_info_of_distutils_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "acme-glow-1.0.egg-info").write_text("Metadata-Version: 1.1\nName: acme-glow\nVersion: 1.0\n")
    assert scan([str(tmp_path)]).plugins == ()
    assert installed_version("acme-glow", [str(tmp_path)]) == "1.0"


@pytest.mark.parametrize("info", ["acme_glow-1.0.dist-info", "EGG-INFO"])
def test_eggs_on_the_path_are_looked_into(site: Any, info: str) -> None:
    source = site.folder / "made"
    described(source / info)
    (source / "acme_glow").mkdir()
    (source / "acme_glow" / "__init__.py").touch()
    (source / "acme_glow" / "plugin.py").write_text(
        f"{site.head}\n@hookimpl\ndef components():\n"
        "    return [Component(kind='sampler', name='glow', target='acme_glow:Glow', summary='glows')]\n"
    )
    place = site.folder / "acme_glow-1.0-py3.11.egg"
    source.rename(place)
    sys.path.insert(0, str(place))
    try:
        catalogue = load_catalogue(path=[str(place), *site.path])
        (record,) = catalogue.records
        assert (record.distribution, record.version, record.stage) == ("acme-glow", "1.0", "ok")
        assert [entry.full_name for entry in catalogue.components()] == ["acme-glow/glow"]
        assert list(installed_files("acme-glow", ["acme_glow.plugin"]))
    finally:
        sys.path.remove(str(place))
        for module in ("acme_glow.plugin", "acme_glow"):
            sys.modules.pop(module, None)


def test_plugins_in_one_namespace_package_of_two_folders(site: Any, tmp_path: Path) -> None:
    later = tmp_path / "later"
    sys.path.append(str(later))
    try:
        for name, folder in (("glow", site.folder), ("shine", later)):
            module = f"acme_space/{name}/plugin.py"
            source = f"{site.head}\n@hookimpl\ndef components():\n    return []\n"
            entries = {name: f"acme_space.{name}.plugin"}
            site.add(f"acme-{name}", entries=entries, modules={module: source}, folder=folder)
        catalogue = load_catalogue(path=[*site.path, str(later)])
        assert [(record.distribution, record.stage) for record in catalogue.records] == [
            ("acme-glow", "ok"),
            ("acme-shine", "ok"),
        ]
        for record in catalogue.records:
            assert list(installed_files(record.distribution, [record.module])) == [
                record.module.replace(".", "/") + ".py"
            ]
    finally:
        sys.path.remove(str(later))
        for module in [name for name in sys.modules if name.startswith("acme_space")]:
            del sys.modules[module]


def test_unreadable_files_of_others_are_named_on_request(site: Any) -> None:
    site.add("stranger", text="nonsense\n")
    site.add("tool", text="[console_scripts]\nglide = tool:main\n")
    site.add("ours", text="nonsense\n[glidepath.plugins]\n")  # scan tells of this one
    ((file, error),) = unreadable(site.path)
    assert "stranger-1.0" in file
    assert "MissingSectionHeaderError" in error


def test_the_version_of_an_installed_distribution(site: Any) -> None:
    site.add("acme_diffusion", "1.2")
    assert installed_version("acme-diffusion", site.path) == "1.2"
    assert installed_version("acme", site.path) == ""
    assert installed_version("pytest") == pytest.__version__


@pytest.mark.parametrize("spelling", ["my-dist", "My.Dist", "my_dist", "MY-_.dist"])
def test_spellings_of_one_name_are_equal(spelling: str) -> None:
    assert canonical(spelling) == "my-dist"


def _loaded(site: Any, environ: dict[str, str], **arguments: Any) -> set[str]:
    options = {"no_plugins": False, "allow": None, "deny": ()} | arguments
    chosen = switches(environ, **options)
    return {
        f"{it.distribution}/{it.name}"
        for it in scan(site.path).plugins
        if not any(switch.refuses(it.distribution, it.name) for switch in chosen)
    }


@pytest.fixture
def three(site: Any) -> Any:
    site.add("acme-diffusion", entries={"one": "acme.one", "two_b": "acme.two"})
    site.add("other", entries={"one": "other.one"})
    return site


EVERYTHING = {"acme-diffusion/one", "acme-diffusion/two_b", "other/one"}


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ("one", {"acme-diffusion/one", "other/one"}),
        ("acme-diffusion", {"acme-diffusion/one", "acme-diffusion/two_b"}),
        ("Acme_Diffusion", {"acme-diffusion/one", "acme-diffusion/two_b"}),
        ("other/one", {"other/one"}),
        ("two-b", {"acme-diffusion/two_b"}),
        (" other , two_b,, ", {"other/one", "acme-diffusion/two_b"}),
        ("absent", set()),
    ],
)
def test_a_switch_names_entry_points_distributions_or_both(three: Any, names: str, meant: set[str]) -> None:
    assert _loaded(three, {"GLIDEPATH_PLUGINS": names}) == meant
    assert _loaded(three, {"GLIDEPATH_DISABLE": names}) == EVERYTHING - meant


def test_an_empty_variable_is_no_switch(three: Any) -> None:
    assert _loaded(three, {"GLIDEPATH_PLUGINS": " ", "GLIDEPATH_DISABLE": ""}) == EVERYTHING


def test_every_switch_must_let_a_plugin_pass(three: Any) -> None:
    assert _loaded(three, {"GLIDEPATH_PLUGINS": "one"}, deny=["other"]) == {"acme-diffusion/one"}
    assert _loaded(three, {"GLIDEPATH_DISABLE": "one"}, allow=["acme-diffusion"]) == {"acme-diffusion/two_b"}
    assert _loaded(three, {}, allow=[]) == set()


def test_no_plugins_leaves_those_of_glidepath_itself(three: Any) -> None:
    three.add("glidepath-diffusion", "9.9", entries={"bundled": "glidepath.plugins.bundled"})
    assert _loaded(three, {}, no_plugins=True) == {"glidepath-diffusion/bundled"}


def test_a_switch_that_names_nothing_is_warned_of(three: Any) -> None:
    (switch,) = switches({"GLIDEPATH_DISABLE": "othr,one"}, no_plugins=False, allow=None, deny=())
    (warning,) = switch.unmatched(scan(three.path).plugins)
    assert "GLIDEPATH_DISABLE" in warning
    assert "did you mean 'other'" in warning


def test_scanning_imports_nothing(site: Any) -> None:
    site.plugin("acme", "raise SystemExit")
    assert scan(site.path).plugins
    assert "acme" not in sys.modules


def test_the_other_project_named_glidepath_is_told_of(site: Any) -> None:
    site.add("glidepath", "1.2.3")
    (warning,) = scan(site.path).warnings
    assert warning.startswith("glidepath 1.2.3, another project, is installed beside glidepath-diffusion")
    assert warning.endswith("pip uninstall glidepath")
    assert load_catalogue(path=site.path).warnings == (warning,)


def test_distributions_of_other_names_and_ours_in_an_older_spelling_are_not_taken_for_it(site: Any) -> None:
    site.add("glidepath-acme")
    site.add("glidepath", entries={"old": "old.plugin"})
    assert scan(site.path).warnings == ()


@pytest.mark.parametrize(
    "text", [b"[console_scripts]\nx = \xff\xfe\n", b"[x]\nno value\n", b"[glidepath.plugins]\nx = \xff\n"]
)
def test_metadata_that_stops_whoever_reads_all_of_it_is_named(site: Any, text: bytes) -> None:
    file = site.add("stranger", text=text) / "entry_points.txt"
    with pytest.raises((ValueError, TypeError)) as raised:
        importlib.metadata.entry_points(group="torch.backends")
    said = unreadable_metadata(raised.value)
    assert said.startswith(f"{file} cannot be read (")
    assert said.endswith("and so torch cannot be imported: reinstall or uninstall stranger")
    assert unreadable_metadata(ValueError("of another place")) == ""


@pytest.mark.thorough
@pytest.mark.parametrize("text", [b"[a]\nx = \xff\n", b"[torch.backends]\nx = absent_module:main\n"])
@pytest.mark.parametrize(
    "code",
    [
        "from glidepath.registry import main; main(['sample', 'a star'])",
        "from glidepath.registry import main; main(['plan', 'shapes'])",
        "from glidepath.registry import assemble; assemble('shapes')",
    ],
)
def test_a_distribution_that_stops_torch_from_importing_is_named(site: Any, text: bytes, code: str) -> None:
    site.bundle()
    file = site.add("stranger", text=text) / "entry_points.txt"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=120
    )
    assert f"rror: {file} " in done.stderr
    assert done.stderr.endswith("and so torch cannot be imported: reinstall or uninstall stranger\n")
