"""Plugins are found by their entry points, each distribution by itself; switches act before any import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.discovery.metadata import canonical
from glidepath.registry.discovery.scan import installed_version, scan, unreadable
from glidepath.registry.discovery.switches import switches

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
        if not any(switch.refuses(it) for switch in chosen)
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
