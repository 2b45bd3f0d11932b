"""A plugin that fails costs what it would have supplied, and says where, why and what would help."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any

import pytest

from glidepath.registry.cli import main
from glidepath.registry.discovery import slow
from glidepath.registry.discovery.catalogue import Catalogue, load_catalogue
from glidepath.registry.discovery.diagnosis import examine
from glidepath.registry.discovery.modules import target_problem
from glidepath.registry.discovery.plugin_record import PluginRecord

DDIM = """
@attrs.frozen(kw_only=True)
class Config:
    steps: int = 50

def ddim(**changed):
    values = dict(kind="sampler", name="ddim", target="acme.samplers:Ddim", config=Config, summary="implicit")
    return Component(**(values | changed))
"""
SOUND = f"""{DDIM}
@hookimpl
def components():
    return [ddim()]
"""


def load(site: Any, **options: Any) -> Catalogue:
    return load_catalogue(path=site.path, environ=options.pop("environ", {}), **options)


def record(catalogue: Catalogue, distribution: str) -> PluginRecord:
    (found,) = [it for it in catalogue.records if it.distribution == distribution]
    return found


def test_a_sound_plugin_is_ok_and_says_what_it_supplies(site: Any) -> None:
    preset = site.folder / "acme" / "fast.yaml"
    file = site.plugin(
        "acme",
        f"""{DDIM}
        """
        + f"""
@hookimpl
def components():
    yield ddim()

@hookimpl
def kinds():
    return [Kind(name="upscaler", interface="acme.kinds:Upscaler", summary="", slot="upscaler")]

@hookimpl
def presets():
    from pathlib import Path
    return [Preset(name="fast", file=Path({str(preset)!r}), summary="")]

@hookimpl
def commands():
    return (Command(name="tune", target="acme.tune:main", summary=""),)
""",
    )
    preset.write_text("sampler: ddim\n")
    catalogue = load(site)
    found = record(catalogue, "acme")
    assert (found.stage, found.error, found.hint, found.problems) == ("ok", "", "", ())
    assert found.works
    assert found.file == str(file)
    assert (found.version, found.module, found.name) == ("1.0", "acme.plugin", "acme")
    assert found.components == ("sampler/ddim",)
    assert (found.kinds, found.presets, found.commands) == (("upscaler",), ("fast",), ("tune",))
    assert catalogue.slots["upscaler"].name == "upscaler"
    assert not catalogue.failures
    catalogue.require_working()


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise RuntimeError('boom\\nbang')", "RuntimeError: boom bang"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "SystemExit"),
        ("class Odd(BaseException): ...\nraise Odd('odd')", "Odd: odd"),
        ("def f():\n    return f()\nf()", "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_whatever_a_module_raises_costs_that_plugin_alone(site: Any, source: str, error: str) -> None:
    file = site.plugin("broken", source)
    site.plugin("acme", SOUND)
    catalogue = load(site)
    broken = record(catalogue, "broken")
    assert (broken.stage, broken.error, broken.works) == ("import", error, False)
    assert broken.problems[0].where.startswith(f"{file}:")
    assert broken.hint == "report it to the authors of broken"
    assert record(catalogue, "acme").stage == "ok"
    assert catalogue.failures == (broken,)


def test_the_place_is_the_innermost_line_of_the_plugin_itself(site: Any) -> None:
    site.plugin("acme", "from acme.helper import parse\n\nparse('x')")
    helper = site.folder / "acme" / "helper.py"
    helper.write_text("import json\n\ndef parse(text):\n    return json.loads(text)\n")
    fault = record(load(site), "acme").problems[0]
    assert fault.where == f"{helper}:4"
    assert "JSONDecodeError" in fault.error


def test_a_syntax_error_is_placed_where_it_is(site: Any) -> None:
    file = site.plugin("acme", "def components(:\n")
    fault = record(load(site), "acme").problems[0]
    assert fault.where == f"{file}:3"
    assert "SyntaxError" in fault.error


def test_an_entry_point_without_its_module_is_to_be_corrected(site: Any) -> None:
    site.add("acme", entries={"acme": "acme.gone"}, modules={"acme/__init__.py": ""})
    found = record(load(site), "acme")
    assert found.stage == "import"
    assert found.hint == "correct the entry point 'acme' of acme, and install it again"
    assert found.file.endswith("entry_points.txt")


def test_a_name_that_another_version_may_have_is_hinted_at(site: Any) -> None:
    site.plugin("acme", "from glidepath.registry.describe.component import Gadget")
    assert "another version of glidepath" in record(load(site), "acme").hint


def test_an_entry_point_may_name_an_object_of_a_module(site: Any) -> None:
    site.add(
        "acme",
        entries={"acme": "acme:Plugin", "gone": "acme:Absent"},
        modules={
            "acme.py": """
            from glidepath.registry import hookimpl
            class Plugin:
                @staticmethod
                @hookimpl
                def components():
                    return ()
            """
        },
    )
    found = {it.name: it for it in load(site).records if it.distribution == "acme"}
    assert found["acme"].stage == "ok"
    assert found["gone"].stage == "import"
    assert "acme:Absent" in found["gone"].hint


def test_an_optional_hook_of_another_version_is_no_fault(site: Any) -> None:
    site.plugin("acme", f"{SOUND}\n@hookimpl(optionalhook=True)\ndef from_the_future():\n    return ()")
    assert record(load(site), "acme").stage == "ok"


def test_a_plugin_without_components_is_told_how_to_write_them(site: Any) -> None:
    site.plugin("unmarked", "def components():\n    return []")
    site.plugin("without", "x = 1")
    catalogue = load(site)
    unmarked, without = record(catalogue, "unmarked"), record(catalogue, "without")
    assert (unmarked.stage, unmarked.error) == ("hook components", "components() is not marked @hookimpl")
    assert unmarked.hint == "write @hookimpl, of glidepath.registry, above its def"
    assert without.error == f"there is no hook components() in {without.module}"
    assert "entry point names the module" in without.hint


def test_two_entry_points_of_one_module_are_one_plugin(site: Any) -> None:
    site.add(
        "acme",
        entries={"one": "acme.plugin", "two": "acme.plugin"},
        modules={"acme/__init__.py": "", "acme/plugin.py": site.head + SOUND},
    )
    found = {it.name: it for it in load(site).records if it.distribution == "acme"}
    assert found["one"].stage == "ok"
    assert found["two"].stage == "register"
    assert "plugin 'one' of acme" in found["two"].error


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise ValueError('no')", "components() raised ValueError: no"),
        ("yield ddim()\n    raise ValueError('late')", "components() raised ValueError: late"),
        ("import sys; sys.exit(1)", "components() raised SystemExit: 1"),
        ("pass", "components() returned None, which is not a list of Component"),
        ("return 7", "components() returned 7, which is not a list of Component"),
        ("return 'ddim'", "components() returned 'ddim', which is not a list of Component"),
        ("return {'ddim': 1}", "components() returned {'ddim': 1}, which is not a list of Component"),
        ("return ddim()", "components() returned one Component, which is not a list of Component"),
        ("return [7]", "7 is not a Component"),
    ],
)
def test_a_hook_that_fails_supplies_nothing_and_is_named(site: Any, body: str, error: str) -> None:
    source = (
        f"{DDIM}\n@hookimpl\ndef components():\n    {body}\n\n@hookimpl\ndef commands():\n    return ["
        "Command(name='tune', target='acme.tune:main', summary='')]"
    )
    site.plugin("acme", source)
    found = record(load(site), "acme")
    assert (found.stage, found.error) == ("hook components", error)
    assert not found.components
    assert found.commands == ("tune",)


def test_the_place_of_a_fault_in_a_hook_is_told(site: Any) -> None:
    file = site.plugin("acme", "@hookimpl\ndef components():\n    raise ValueError('no')")
    assert record(load(site), "acme").problems[0].where == f"{file}:5"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("name='DDIM'", "name 'DDIM' is not of lower-case letters"),
        ("name='-ddim'", "name '-ddim' is not of lower-case"),
        ("name=3", "name 3 is not of lower-case"),
        ("kind='samplr'", "no kind is named 'samplr'; did you mean 'sampler'?"),
        ("kind='zzz'", "no kind is named 'zzz'; there are adapter, codec, conditioner"),
        ("kind=['x']", "no kind is named ['x']"),
        (
            "target='acme.samplers.Ddim'",
            "target 'acme.samplers.Ddim' is not of the form 'package.module:Class'",
        ),
        ("target='acme.samplers:'", "target 'acme.samplers:' is not of the form"),
        ("config=int", "config <class 'int'> is not an attrs class"),
        ("config='Config'", "config 'Config' is not of the form 'package.module:Class'"),
        ("config=Config()", "is not an attrs class"),
        ("config=attrs.make_class('C', ['weights'])", "a parameter cannot be named 'weights'"),
        ("summary=' '", "summary is missing"),
        ("provides={}", "provides {} is not a function of the config"),
        ("requires='regex'", "requires 'regex' is not a list of Extra"),
        ("requires=['regex']", "requires ['regex'] is not a list of Extra"),
        ("requires=None", "requires None is not a list of Extra"),
        ("references='Song'", "references 'Song' is not a list of strings"),
    ],
)
def test_a_bad_descriptor_is_named_and_the_others_stay(site: Any, change: str, error: str) -> None:
    site.plugin(
        "acme",
        f"{DDIM}\n@hookimpl\ndef components():\n    return [ddim(**dict({change})), ddim(name='other')]",
    )
    found = record(load(site), "acme")
    (fault,) = found.problems
    assert fault.stage == "hook components"
    assert error in fault.error
    assert found.components == ("sampler/other",)
    assert found.works


def test_every_fault_of_a_descriptor_is_told(site: Any) -> None:
    site.plugin(
        "acme", f"{DDIM}\n@hookimpl\ndef components():\n    return [ddim(name='X', target='', summary='')]"
    )
    assert len(record(load(site), "acme").problems) == 3


@pytest.mark.parametrize(
    ("hook", "item", "error"),
    [
        ("kinds", "7", "7 is not a Kind"),
        ("kinds", "kind(name='Up')", "name 'Up' is not a lower-case word"),
        ("kinds", "kind(name='preset')", "the name 'preset' is taken by glidepath"),
        ("kinds", "kind(slot='up-scaler')", "slot 'up-scaler' is not a lower-case word"),
        ("kinds", "kind(name=['x'])", "name ['x'] is not a lower-case word"),
        ("kinds", "kind(slot=None)", "slot None is not a lower-case word"),
        ("kinds", "kind(slot='runtime')", "the slot 'runtime' is taken by glidepath"),
        ("kinds", "kind(interface='acme')", "interface 'acme' is not of the form"),
        ("kinds", "kind(name='sampler')", "name 'sampler' is also claimed by glidepath, differently"),
        ("kinds", "kind(slot='sampler')", "slot 'sampler' is also claimed by glidepath, differently"),
        ("presets", "7", "7 is not a Preset"),
        ("presets", "preset(name='A b')", "name 'A b' is not of lower-case"),
        ("presets", "preset(name=['x'])", "name ['x'] is not of lower-case"),
        ("presets", "preset(file='x.yaml')", "file 'x.yaml' is not a pathlib.Path"),
        ("presets", "preset(file=Path('/absent/x.yaml'))", "there is no file /absent/x.yaml"),
        ("commands", "7", "7 is not a Command"),
        ("commands", "command(name='Tune')", "name 'Tune' is not of lower-case"),
        ("commands", "command(name=['x'])", "name ['x'] is not of lower-case"),
        ("commands", "command(name='sample')", "glidepath has a command of this name"),
        ("commands", "command(target='a.b')", "is not of the form 'package.module:function'"),
    ],
)
def test_what_a_hook_returns_is_refused_where_it_is_wrong_and_the_rest_stays(
    site: Any, hook: str, item: str, error: str
) -> None:
    site.plugin(
        "acme",
        f"""{SOUND}
from pathlib import Path

def kind(**changed):
    return Kind(**(dict(name='upscaler', interface='acme.kinds:Upscaler', summary='', slot='up') | changed))

def preset(**changed):
    return Preset(**(dict(name='x', file=Path(__file__), summary='') | changed))

def command(**changed):
    return Command(**(dict(name='tune', target='a.b:c', summary='') | changed))

@hookimpl
def {hook}():
    return [{item}]
""",
    )
    found = record(load(site), "acme")
    assert found.stage == f"hook {hook}"
    assert error in found.error
    assert not getattr(found, hook)
    assert found.components == ("sampler/ddim",)


def _kind(summary: str) -> str:
    return f"""
@hookimpl
def kinds():
    return [Kind(name='upscaler', interface='acme.kinds:Upscaler', summary={summary!r}, slot='up')]

@hookimpl
def components():
    return [Component(kind='upscaler', name='bicubic', target='acme.x:Y', summary='x')]
"""


def test_a_kind_may_come_from_another_plugin(site: Any) -> None:
    site.plugin("zeta", _kind("x"))
    site.plugin("acme", f"{DDIM}\n@hookimpl\ndef components():\n    return [ddim(kind='upscaler')]")
    catalogue = load(site)
    assert not catalogue.failures
    assert [it.full_name for it in catalogue.components("upscaler")] == ["zeta/bicubic", "acme/ddim"]


def test_a_kind_of_a_plugin_that_did_not_load_is_told_to_be_missing_for_that(site: Any) -> None:
    site.plugin("zeta", _kind("x"))
    site.plugin("acme", f"{DDIM}\n@hookimpl\ndef components():\n    return [ddim(kind='upscaler')]")
    catalogue = load(site, environ={"GLIDEPATH_DISABLE": "zeta"})
    assert "may come from the plugin 'zeta' of zeta, which did not load" in record(catalogue, "acme").error


def test_two_plugins_may_state_one_kind_alike(site: Any) -> None:
    site.plugin("acme", _kind("x"))
    site.plugin("other", _kind("x"))
    catalogue = load(site)
    assert not catalogue.failures
    assert len(catalogue.components("upscaler")) == 2


def test_two_plugins_that_state_one_kind_differently_both_lose_it(site: Any) -> None:
    site.plugin("acme", _kind("one"))
    site.plugin("other", _kind("two"))
    catalogue = load(site)
    assert "upscaler" not in catalogue.kinds
    for name, rival in (("acme", "other"), ("other", "acme")):
        fault = record(catalogue, name).problems[0]
        assert fault.stage == "hook kinds"
        assert f"plugin {rival!r} of {rival}" in fault.error
        assert "GLIDEPATH_DISABLE" in fault.hint


def test_a_distribution_supplies_a_name_once(site: Any) -> None:
    site.add(
        "acme",
        entries={"one": "acme.one", "two": "acme.two"},
        modules={
            "acme/__init__.py": "",
            "acme/one.py": site.head + SOUND,
            "acme/two.py": site.head
            + DDIM
            + "\n@hookimpl\ndef components():\n    return [ddim(), ddim(kind='schedule')]",
        },
    )
    catalogue = load(site)
    one, two = (it for it in catalogue.records if it.distribution == "acme")
    assert one.components == ("sampler/ddim",)
    assert two.components == ("schedule/ddim",)
    assert "'sampler/ddim' is supplied twice; the plugin 'one' of acme has it" in two.error
    assert len(catalogue.components("sampler")) == 1


def test_a_disabled_plugin_is_a_record_and_is_not_imported(site: Any) -> None:
    site.plugin("acme", SOUND)
    site.plugin("other", SOUND)
    catalogue = load(site, environ={"GLIDEPATH_DISABLE": "acme"})
    found = record(catalogue, "acme")
    assert (found.stage, found.disabled, found.error) == ("disabled", "GLIDEPATH_DISABLE", "")
    assert not found.works
    assert found.file.endswith("entry_points.txt")
    assert "acme" not in sys.modules
    assert "acme.plugin" not in sys.modules
    assert record(catalogue, "other").works
    assert not catalogue.failures


@pytest.mark.parametrize(
    ("options", "source"),
    [
        ({"environ": {"GLIDEPATH_PLUGINS": "other"}}, "GLIDEPATH_PLUGINS"),
        ({"no_plugins": True}, "--no-plugins"),
        ({"allow": ["other"]}, "plugins.allow"),
        ({"deny": ["acme"]}, "plugins.deny"),
    ],
)
def test_every_switch_acts_before_the_import(site: Any, options: dict[str, Any], source: str) -> None:
    site.plugin("acme", "raise SystemExit")
    site.plugin("other", SOUND)
    catalogue = load(site, **options)
    assert record(catalogue, "acme").disabled == source
    assert "acme" not in sys.modules


def test_a_plugin_that_imports_torch_is_warned_of(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    site.add("torch", modules={"torch.py": ""})
    site.plugin("acme", f"import torch\n{SOUND}")
    found = record(load(site), "acme")
    assert found.stage == "ok"
    assert "imports torch" in found.warnings[0]


def test_so_is_one_whose_parameters_import_torch_once_they_are_examined(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    config = "import attrs\nimport torch\n@attrs.frozen\nclass Config: ...\n"
    site.add("torch", modules={"torch.py": "", "acme/heavy.py": config, "acme/walk.py": "class Walk: ..."})
    part = "kind='sampler', name='walk', target='acme.walk:Walk', config='acme.heavy:Config', summary='x'"
    site.plugin("acme", f"@hookimpl\ndef components():\n    return [Component({part})]\n")
    catalogue = load(site)
    assert record(catalogue, "acme").warnings == ()
    (found,) = [it for it in examine(catalogue) if it.distribution == "acme"]
    assert found.stage == "ok"
    assert "the parameters of sampler 'walk', acme.heavy:Config, import torch" in found.warnings[0]


def test_hooks_are_called_plugin_by_plugin_in_the_order_of_names(site: Any) -> None:
    for name in ("beta", "alpha"):
        site.plugin(
            name,
            f"{SOUND}\ndef look(part):\n    assert part == 3, '{name}'\n"
            "@hookimpl\ndef checks(kind):\n    return [look] if kind == 'sampler' else []",
        )
    catalogue = load(site)
    assert [check.__module__ for check in catalogue.checks("sampler")] == ["alpha.plugin", "beta.plugin"]
    assert catalogue.checks("codec") == []


def test_a_plugin_that_did_not_load_is_asked_nothing(site: Any) -> None:
    site.plugin("acme", "raise RuntimeError('boom')")
    assert load(site).checks("sampler") == []


def test_a_plugin_that_refuses_a_plan_is_named(site: Any) -> None:
    site.plugin(
        "acme", f"{SOUND}\n@hookimpl\ndef on_assemble(plan):\n    raise ValueError('not on my watch')"
    )
    with pytest.raises(ValueError, match="not on my watch") as caught:
        load(site).call_hook("on_assemble", plan="plan")
    assert caught.value.__notes__ == ["raised by the plugin 'acme' of acme 1.0 in its hook on_assemble()"]


def test_a_hook_may_take_fewer_arguments_than_it_is_given(
    site: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    site.plugin("acme", f"{SOUND}\n@hookimpl\ndef on_built(pipeline):\n    print('built', pipeline)")
    load(site).call_hook("on_built", pipeline="pipeline", plan="plan")
    assert capsys.readouterr().out == "built pipeline\n"


def _requires(site: Any, distribution: str, *requirements: str) -> None:
    lines = [f"Requires-Dist: {it}" for it in requirements]
    metadata = site.folder / f"{distribution}-1.0.dist-info" / "METADATA"
    metadata.write_text("\n".join(["Metadata-Version: 2.1", f"Name: {distribution}", *lines, "", ""]))


def test_a_disabled_plugin_is_not_held_against_versions(site: Any) -> None:
    site.plugin("acme", SOUND)
    _requires(site, "acme", "glidepath-diffusion>=99")
    assert record(load(site, environ={"GLIDEPATH_DISABLE": "acme"}), "acme").stage == "disabled"


def test_a_list_that_raises_while_it_is_read_is_a_fault_of_its_hook(site: Any) -> None:
    source = "class Odd(list):\n    def __iter__(self):\n        raise ValueError('torn')\n"
    site.plugin("acme", f"{source}\n@hookimpl\ndef components():\n    return Odd()")
    assert record(load(site), "acme").error == "components() raised ValueError: torn"


def test_the_wrapper_of_a_hook_acts(site: Any) -> None:
    wrapper = "@hookimpl(wrapper=True, specname='components')\ndef around():\n    return (yield)[:1]"
    site.plugin("acme", f"{SOUND}\n{wrapper}")
    assert record(load(site), "acme").stage == "ok"
    assert record(load(site), "acme").components == ("sampler/ddim",)


def test_a_misspelt_target_gets_a_suggestion(site: Any) -> None:
    site.add("acme", modules={"acme_drift.py": "class DriftSampler: ...\n"})
    assert target_problem("acme_drift:DirftSampler").endswith(
        "has no DirftSampler; did you mean 'DriftSampler'?"
    )


@pytest.mark.parametrize("hook", [False, True])
def test_an_interrupt_is_no_problem_of_the_plugin_and_says_where_it_was(site: Any, hook: bool) -> None:
    stop = "raise KeyboardInterrupt"
    file = site.plugin("acme", f"@hookimpl\ndef components():\n    {stop}" if hook else stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        load(site)
    doing = (
        "asking the plugin 'acme' of acme for its components"
        if hook
        else "importing the plugin 'acme' of acme"
    )
    assert caught.value.__notes__ == [f"while {doing}, at {file}:{5 if hook else 3}"]


def test_a_plugin_is_imported_in_the_main_thread_where_it_may_set_signal_handlers(site: Any) -> None:
    source = "import signal\nBEFORE = signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
    source += "signal.signal(signal.SIGTERM, BEFORE)\n"
    site.plugin("acme", source + SOUND)
    assert threading.current_thread() is threading.main_thread()
    assert record(load(site), "acme").stage == "ok"


def test_a_plugin_may_run_an_event_loop_that_handles_signals_while_it_is_imported(site: Any) -> None:
    source = """
import asyncio
import signal

async def answer():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, print)
    return loop.remove_signal_handler(signal.SIGTERM)

ANSWER = asyncio.run(answer())
"""
    site.plugin("acme", source + SOUND)
    assert record(load(site), "acme").stage == "ok"
    assert sys.modules["acme.plugin"].ANSWER is True


class _Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("terminal", [False, True])
def test_a_plugin_that_takes_long_is_named_on_a_terminal_and_nowhere_else(
    site: Any, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    screen = _Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(slow, "SECONDS", 0.05)
    wait = "import sys, time\nend = time.monotonic() + 20\n"
    wait += "while 'still' not in sys.stderr.getvalue() and time.monotonic() < end:\n    time.sleep(0.01)\n"
    site.plugin("acme", (wait if terminal else "import time\ntime.sleep(0.2)\n") + SOUND)
    assert record(load(site), "acme").stage == "ok"
    said = "glidepath: still importing the plugin 'acme' of acme (Ctrl-C says at which line)\n"
    assert screen.getvalue() == (said if terminal else "")


def test_a_command_that_is_interrupted_says_in_which_plugin(
    site: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = site.plugin("acme", "raise KeyboardInterrupt")
    assert main(["list"]) == 130
    said = f"glidepath: interrupted while importing the plugin 'acme' of acme, at {file}:3\n"
    assert capsys.readouterr().err == said
