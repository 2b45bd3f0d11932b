"""A name in a spec stands for one component, or the answer says why not and what would do."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from glidepath.registry.describe.component import Command, Component, Extra, Kind, Preset
from glidepath.registry.describe.kinds import CORE_KINDS
from glidepath.registry.discovery.catalogue import (
    Catalogue,
    NotFound,
    PluginFailures,
    Registered,
    load_catalogue,
)
from glidepath.registry.discovery.loading import Loaded
from glidepath.registry.discovery.plugin_record import PluginProblem, PluginRecord


@attrs.frozen(kw_only=True)
class Config:
    """Parameters."""

    steps: int = 50


def component(name: str, kind: str = "sampler", **changed: Any) -> Component:
    values: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "target": "acme.x:Y",
        "summary": "x",
        "config": Config,
    }
    return Component(**(values | changed))


def plugin(distribution: str, *components: Component, **supplied: Any) -> Loaded:
    record = PluginRecord(
        name=distribution, distribution=distribution, version="1.0", module=f"{distribution}.plugin"
    )
    return Loaded(record, components=components, **supplied)


def failed(distribution: str, error: str = "ImportError: no acme", hint: str = "pip install it") -> Loaded:
    fault = PluginProblem(stage="import", error=error, hint=hint)
    return Loaded(
        PluginRecord(name=distribution, distribution=distribution, version="2.0", problems=(fault,))
    )


def test_the_core_kinds_are_those_of_the_specs() -> None:
    catalogue = Catalogue()
    one = {"schedule", "denoiser", "text_encoder", "sampler", "codec", "handover"}
    assert set(catalogue.slots) == {*one, "conditioners", "guidance", "adapters"}
    assert {kind.name for kind in CORE_KINDS if kind.required} == {"schedule", "denoiser", "sampler"}
    assert {kind.name for kind in CORE_KINDS if kind.many} == {"conditioner", "guidance", "adapter"}
    assert catalogue.kinds["tokenizer"].slot == ""


def test_components_come_by_kind_then_name_then_distribution() -> None:
    catalogue = Catalogue(
        [
            plugin("zeta", component("b"), component("a")),
            plugin("alpha", component("b"), component("s", "schedule")),
        ]
    )
    assert [it.full_name for it in catalogue.components()] == ["alpha/s", "zeta/a", "alpha/b", "zeta/b"]
    assert [it.full_name for it in catalogue.components("sampler")] == ["zeta/a", "alpha/b", "zeta/b"]


@pytest.mark.parametrize("name", ["ddim", "acme-parts/ddim", "Acme_Parts/ddim"])
def test_a_component_is_found_by_its_short_and_its_full_name(name: str) -> None:
    found = Catalogue([plugin("acme-parts", component("ddim"))]).find("sampler", name)
    assert isinstance(found, Registered)
    assert (found.full_name, found.distribution, found.version, found.plugin) == (
        "acme-parts/ddim",
        "acme-parts",
        "1.0",
        "acme-parts",
    )


def test_of_two_with_one_name_neither_wins_and_both_can_be_reached() -> None:
    catalogue = Catalogue(
        [plugin("acme", component("ddim")), plugin("glidepath-diffusion", component("ddim"))]
    )
    with pytest.raises(NotFound) as caught:
        catalogue.find("sampler", "ddim")
    assert caught.value.allowed == ("acme/ddim", "glidepath-diffusion/ddim")
    assert "2 installed plugins supply a sampler named 'ddim'" in str(caught.value)
    for name in caught.value.allowed:
        assert catalogue.find("sampler", name).full_name == name


def test_one_name_in_two_kinds_is_no_ambiguity() -> None:
    catalogue = Catalogue([plugin("acme", component("linear"), component("linear", "schedule"))])
    assert catalogue.find("schedule", "linear").component.kind == "schedule"


def test_the_spelling_is_short_while_it_is_unique_within_its_kind() -> None:
    catalogue = Catalogue(
        [
            plugin("acme", component("ddim"), component("plms")),
            plugin("other", component("ddim"), component("plms", "schedule")),
        ]
    )
    spelled = [catalogue.spelling(it) for it in catalogue.components("sampler")]
    assert spelled == ["acme/ddim", "other/ddim", "plms"]


def test_an_unknown_name_comes_with_the_nearest_and_all_that_exist() -> None:
    catalogue = Catalogue([plugin("acme", component("ddim"), component("heun"))])
    with pytest.raises(NotFound) as caught:
        catalogue.find("sampler", "ddmi")
    assert caught.value.what == "there is no sampler named 'ddmi'"
    assert caught.value.hint == "did you mean 'ddim'?"
    assert caught.value.allowed == ("ddim", "heun")


def test_a_name_of_another_kind_is_recognised() -> None:
    catalogue = Catalogue([plugin("acme", component("ddim"), component("cosine", "schedule"))])
    with pytest.raises(NotFound, match="'cosine' is a schedule") as caught:
        catalogue.find("sampler", "cosine")
    assert caught.value.allowed == ("ddim",)


def test_an_unknown_kind_comes_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean 'sampler'"):
        Catalogue().find("samplr", "ddim")


def test_a_distribution_that_is_not_installed_is_named() -> None:
    catalogue = Catalogue([plugin("acme-diffusion", component("ddim"))])
    with pytest.raises(NotFound, match="no installed plugin comes from 'acme_difusion'") as caught:
        catalogue.find("sampler", "acme_difusion/ddim")
    assert caught.value.hint == "did you mean 'acme-diffusion'?"
    with pytest.raises(NotFound, match="install zzz"):
        catalogue.find("sampler", "zzz/ddim")


def test_a_distribution_whose_plugin_failed_is_named_with_the_reason() -> None:
    catalogue = Catalogue(
        [failed("acme"), failed("other", "RuntimeError: other"), plugin("good", component("ddim"))]
    )
    with pytest.raises(NotFound) as caught:
        catalogue.find("sampler", "acme/plms")
    assert (
        "plugin 'acme' of acme 2.0 failed to load and may supply it: ImportError: no acme"
        in caught.value.hint
    )
    assert "pip install it" in caught.value.hint
    assert "other" not in caught.value.hint


def test_a_short_name_may_be_of_any_plugin_that_failed_or_is_disabled() -> None:
    disabled = Loaded(PluginRecord(name="off", distribution="off", disabled="GLIDEPATH_DISABLE"))
    catalogue = Catalogue([failed("acme", hint=""), disabled, plugin("good", component("ddim"))])
    with pytest.raises(NotFound) as caught:
        catalogue.find("sampler", "plms")
    assert "plugin 'acme' of acme 2.0 failed to load" in caught.value.hint
    assert "plugin 'off' of off is disabled by GLIDEPATH_DISABLE, and may supply it" in caught.value.hint


@pytest.mark.parametrize(
    "module", ["absent_module", "xml.absent", "xml.dom.absent.more", "json.decoder.more"]
)
def test_a_missing_module_is_refused_when_it_is_used_and_says_how_to_get_it(module: str) -> None:
    extra = Extra(module=module, install="glidepath-diffusion[bpe]")
    catalogue = Catalogue([plugin("acme", component("ddim", requires=[extra]))])
    catalogue.look_up("sampler", "ddim")
    with pytest.raises(NotFound) as caught:
        catalogue.find("sampler", "ddim")
    assert caught.value.what == f"acme/ddim 1.0 needs {module}, which is not installed"
    assert caught.value.hint == "pip install glidepath-diffusion[bpe]"


def test_every_missing_module_is_named() -> None:
    extras = [Extra(module="absent_a", install="conda install a"), Extra(module="absent_b", install="b")]
    catalogue = Catalogue([plugin("acme", component("ddim", requires=extras))])
    with pytest.raises(NotFound, match="needs absent_a and absent_b, which are not installed") as caught:
        catalogue.find("sampler", "ddim")
    assert caught.value.hint == "conda install a; pip install b"


def test_an_installed_module_is_found_without_importing_it() -> None:
    loaded = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "wsgiref"
    }
    try:
        extras = [Extra(module=name, install="x") for name in ("wsgiref.util", "wsgiref", "sys", "attrs")]
        assert Catalogue([plugin("acme", component("ddim", requires=extras))]).find("sampler", "ddim")
        assert "wsgiref" not in sys.modules
    finally:
        sys.modules.update(loaded)


def test_a_module_without_a_specification_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glidepath.registry.discovery.modules.find_spec", _raise_value_error)
    extra = Extra(module="some_module", install="x")
    with pytest.raises(NotFound, match="some_module"):
        Catalogue([plugin("acme", component("ddim", requires=[extra]))]).find("sampler", "ddim")


def _raise_value_error(_name: str) -> None:
    raise ValueError("no __spec__")


def test_a_config_may_be_a_class_a_string_or_absent(site: Any) -> None:
    site.add(
        "acme", modules={"acme_config.py": site.head + "@attrs.frozen\nclass Settings:\n    steps: int = 3\n"}
    )
    catalogue = Catalogue(
        [
            plugin(
                "acme",
                component("a"),
                component("b", config="acme_config:Settings"),
                component("c", config=None),
            )
        ]
    )
    a, b, c = (catalogue.config_class(it) for it in catalogue.components("sampler"))
    assert a is Config
    assert b is not None
    assert b().steps == 3
    assert c is None


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ("absent_module:Config", "ModuleNotFoundError: No module named 'absent_module'"),
        ("acme_config:Absent", "AttributeError"),
        ("acme_config:Plain", "is not an attrs class"),
        ("acme_config:value", "is not an attrs class"),
        ("acme_config:Taken", "names a parameter 'weights', a key of every part; rename it"),
        ("acme_raises:Config", "RuntimeError: no licence"),
        ("acme_ends:Config", "SystemExit: 3"),
    ],
)
def test_a_config_that_cannot_be_read_is_a_fault_of_its_distribution(
    site: Any, config: str, error: str
) -> None:
    taken = "import attrs\n\n@attrs.frozen\nclass Taken:\n    weights: int = 1\n"
    modules = {
        "acme_config.py": f"{taken}\nclass Plain: ...\nvalue = 3\n",
        "acme_raises.py": "raise RuntimeError('no licence')\n",
        "acme_ends.py": "raise SystemExit(3)\n",
    }
    site.add("acme", modules=modules)
    catalogue = Catalogue([plugin("acme", component("ddim", config=config))])
    with pytest.raises(NotFound, match="the parameters of acme/ddim cannot be read") as caught:
        catalogue.config_class(catalogue.find("sampler", "ddim"))
    assert error in str(caught.value)
    assert "acme 1.0" in caught.value.hint


def test_a_misspelt_class_of_parameters_gets_a_suggestion(site: Any) -> None:
    site.add("acme", modules={"acme_config.py": "class DriftConfig: ...\n"})
    catalogue = Catalogue([plugin("acme", component("ddim", config="acme_config:DirftConfig"))])
    with pytest.raises(NotFound) as caught:
        catalogue.config_class(catalogue.find("sampler", "ddim"))
    assert caught.value.hint == "did you mean 'DriftConfig'?"


def _preset(name: str, distribution: str) -> Loaded:
    return plugin(
        distribution, presets=(Preset(name=name, file=Path(f"/{distribution}/{name}.yaml"), summary=""),)
    )


def test_presets_are_found_by_short_and_full_name() -> None:
    catalogue = Catalogue([_preset("fast", "acme"), _preset("slow", "acme")])
    assert set(catalogue.presets()) == {"fast", "slow"}
    assert catalogue.preset_source("fast").item is catalogue.preset_source("acme/fast").item
    assert catalogue.preset_source("fast").record.distribution == "acme"


def test_of_two_presets_with_one_name_neither_wins() -> None:
    catalogue = Catalogue([_preset("fast", "acme"), _preset("fast", "other")])
    assert list(catalogue.presets()) == ["acme/fast", "other/fast"]
    with pytest.raises(NotFound, match="2 installed plugins supply a preset named 'fast'") as caught:
        catalogue.preset_source("fast")
    assert caught.value.allowed == ("acme/fast", "other/fast")
    assert catalogue.preset_source("other/fast").item.file == Path("/other/fast.yaml")


def test_an_unknown_preset_comes_with_the_nearest_and_with_plugins_that_failed() -> None:
    catalogue = Catalogue([_preset("shapes", "acme"), failed("broken")])
    with pytest.raises(NotFound) as caught:
        catalogue.preset_source("shape")
    assert "did you mean 'shapes'?; the plugin 'broken' of broken 2.0 failed to load" in caught.value.hint
    assert caught.value.allowed == ("shapes",)


def test_commands_of_one_name_are_called_by_their_full_names() -> None:
    def tuner(distribution: str) -> Loaded:
        return plugin(
            distribution, commands=(Command(name="tune", target=f"{distribution}:main", summary=""),)
        )

    catalogue = Catalogue([tuner("acme"), tuner("other")])
    assert list(catalogue.commands()) == ["acme/tune", "other/tune"]
    assert catalogue.command_source("other/tune").item.target == "other:main"


def test_the_spec_may_read_files_from_the_packages_of_working_plugins_only(site: Any) -> None:
    site.plugin("acme", "@hookimpl\ndef components():\n    return ()")
    site.plugin("broken", "raise RuntimeError('boom')")
    site.plugin("off", "")
    (site.folder / "acme" / "weights").mkdir()
    catalogue = load_catalogue(path=site.path, environ={"GLIDEPATH_DISABLE": "off"})
    assert catalogue.package_folder("acme") == site.folder / "acme"
    assert catalogue.package_folder("acme.weights") == site.folder / "acme" / "weights"
    for package in ("acme.absent", "json", "", "acme./etc", "acme...", ".acme", "acme.plugin"):
        with pytest.raises(NotFound, match="no working plugin is in a package"):
            catalogue.package_folder(package)
    with pytest.raises(NotFound, match=r"plugin 'broken' of broken 1\.0 failed to load: RuntimeError: boom"):
        catalogue.package_folder("broken")
    with pytest.raises(NotFound, match=r"plugin 'off' of off 1\.0 is disabled by GLIDEPATH_DISABLE"):
        catalogue.package_folder("off")


def test_a_namespace_package_and_a_lone_module_have_no_folder_of_their_own(site: Any) -> None:
    source = site.head + "@hookimpl\ndef components():\n    return ()"
    site.add(
        "acme",
        entries={"a": "acme_space.part.plugin", "b": "acme_alone"},
        modules={
            "acme_space/part/__init__.py": "",
            "acme_space/part/plugin.py": source,
            "acme_alone.py": source,
        },
    )
    catalogue = load_catalogue(path=site.path, environ={})
    assert catalogue.package_folder("acme_space.part").name == "part"
    for package in ("acme_space", "acme_alone"):
        with pytest.raises(NotFound):
            catalogue.package_folder(package)


def test_failures_are_fatal_on_request() -> None:
    with pytest.raises(PluginFailures, match=r"plugin 'acme' of acme 2\.0: import: ImportError: no acme"):
        Catalogue([failed("acme"), plugin("good")]).require_working()


def test_a_kind_that_a_plugin_adds_has_its_slot() -> None:
    added = Kind(name="trainer", interface="a.b:C", summary="", slot="train", sampling=False)
    catalogue = Catalogue(kinds={"trainer": added})
    assert catalogue.slots == {"train": added}


def test_the_catalogue_follows_changes_of_the_folders(site: Any) -> None:
    first = load_catalogue(path=site.path, environ={})
    assert load_catalogue(path=site.path, environ={}) is first
    site.plugin("acme", "@hookimpl\ndef components():\n    return ()")
    os.utime(site.folder, ns=(1, 1))
    assert [it.distribution for it in load_catalogue(path=site.path, environ={}).records] == ["acme"]


def test_by_default_the_path_of_python_is_searched(site: Any) -> None:
    site.plugin("acme", "@hookimpl\ndef components():\n    return ()")
    assert "acme" in {it.distribution for it in load_catalogue().records}


def test_switches_that_name_nothing_are_warned_of(site: Any) -> None:
    site.plugin("acme", "@hookimpl\ndef components():\n    return ()")
    (warning,) = load_catalogue(path=site.path, environ={"GLIDEPATH_PLUGINS": "acm"}).warnings
    assert "did you mean 'acme'" in warning


def test_malformed_entry_points_are_records_of_the_catalogue(site: Any) -> None:
    site.add("broken", text="nonsense\n[glidepath.plugins]\n")
    catalogue = load_catalogue(path=site.path, environ={})
    assert [(it.distribution, it.stage) for it in catalogue.failures] == [("broken", "scan")]
    assert catalogue.failures[0].title == "broken 1.0"
