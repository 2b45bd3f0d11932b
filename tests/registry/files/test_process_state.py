"""A plugin changes nothing of the process for others; a part that is used may, and images say so."""

from __future__ import annotations

import locale
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from glidepath.registry.discovery.catalogue import load_catalogue
from glidepath.registry.files import process_state
from glidepath.registry.files.process_state import changed_by_parts, used

HOOK = "\n@hookimpl\ndef components():\n    {}\n    return []\n"

CHANGES = {
    "os.chdir('/')": "the current directory (/, was ",
    "os.environ['ACME_MODE'] = 'fast'": "the environment (ACME_MODE)",
    "os.environ.pop('PATH')": "the environment (PATH)",
    "os.environ.update(PATH='/acme')": "the environment (PATH)",
    "os.umask(0o077)": "the umask (63, was ",
    "sys.path.insert(0, '/acme/vendored')": "sys.path (/acme/vendored)",
    "sys.path.clear()": "sys.path (in another order)",
    "sys.stdout = sys.stderr = None": "the standard streams (others)",
    "sys.excepthook = print": "the standard streams (others)",
    "sys.setrecursionlimit(50_000)": "the recursion limit (50000, was ",
    "signal.signal(signal.SIGINT, print)": "handlers of signals (SIGINT)",
    "signal.signal(signal.SIGTERM, print)": "handlers of signals (SIGTERM)",
    "signal.signal(signal.SIGPIPE, signal.SIG_DFL)": "handlers of signals (SIGPIPE)",
    "multiprocessing.set_start_method('spawn', force=True)": "how processes start (spawn, was ",
    "warnings.simplefilter('error')": "filters of warnings (others)",
    "logging.basicConfig(level=0, force=True)": "the root logger (others)",
    "logging.disable()": "the root logger (others)",
    "locale.setlocale(locale.LC_ALL, 'C')": "the locale (C, was ",
    "numpy.seterr(all='raise')": "numpy's errors (divide, over, under, invalid)",
    "torch.set_default_dtype(torch.bfloat16)": "torch's default dtype (torch.bfloat16, was torch.float32)",
    "torch.set_default_device('meta')": "torch's default device (meta, was cpu)",
    "torch.set_num_threads(3)": "torch's threads (3, was 1)",
    "torch.use_deterministic_algorithms(True)": "torch's determinism (2, was 0)",
    "torch.set_float32_matmul_precision('medium')": "torch's precision of products (medium, was highest)",
    "torch.set_grad_enabled(False)": "torch's gradients (False, was True)",
    "torch.set_autocast_enabled('cpu', True)": "torch's autocast (True, was False)",
    "torch.backends.cudnn.benchmark = True": "torch's cuDNN (others)",
}


@pytest.fixture(autouse=True)
def _known_state(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(process_state, "_noted", {})
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C.UTF-8")
    torch.set_num_threads(1)
    yield
    locale.setlocale(locale.LC_ALL, before)


def state() -> dict[str, Any]:
    """What is read of the process; of sys.path, what stands before anything that was added."""
    found = process_state._read()
    return {**found, "sys.path": [folder for folder in found["sys.path"] if "acme" not in folder]}


@pytest.mark.parametrize("where", ["at import", "in a hook"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_plugin_changes_is_put_back_and_told(site: Any, change: str, where: str) -> None:
    modules = "import locale, logging, multiprocessing, numpy, os, signal, sys, torch, warnings\n"
    source = modules + (change + HOOK.format("pass") if where == "at import" else HOOK.format(change))
    site.plugin("acme", source)
    before = state()
    (record,) = load_catalogue(path=site.path).records
    assert state() == before
    assert record.stage == "ok"
    cause = "importing acme.plugin" if where == "at import" else "its components()"
    assert any(warning.startswith(f"{cause} changes {CHANGES[change]}") for warning in record.warnings)
    if "vendored" in change:  # what only the plugin has is found there still
        assert sys.path[-1] == "/acme/vendored"
        sys.path.pop()


def test_a_plugin_that_fails_leaves_nothing_changed_either(site: Any) -> None:
    site.plugin("acme", "import os\nos.chdir('/')\nraise SystemExit(3)\n")
    before = Path.cwd()
    (record,) = load_catalogue(path=site.path).records
    assert Path.cwd() == before
    assert record.stage == "import"


def test_a_part_that_is_used_sets_what_it_needs_and_is_named() -> None:
    with used("acme-glow"):
        torch.set_float32_matmul_precision("high")
        os.environ["ACME_MODE"] = "fast"
        os.chdir("/")
    try:
        assert torch.get_float32_matmul_precision() == "high"
        told = "the environment (ACME_MODE); torch's precision of products (high, was highest)"
        assert changed_by_parts() == {"acme-glow": told}
        assert Path.cwd() != Path("/")
    finally:
        torch.set_float32_matmul_precision("highest")
        del os.environ["ACME_MODE"]


@pytest.mark.thorough
def test_the_state_of_torch_is_known_where_the_plugin_is_the_first_to_import_it(site: Any) -> None:
    site.plugin(
        "acme",
        "import torch, numpy, logging\ntorch.set_num_threads(7)\ntorch.set_default_dtype(torch.float64)\n"
        "numpy.seterr(all='raise')\nlogging.basicConfig()\n" + HOOK.format("pass"),
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from glidepath.registry import load_catalogue\n"
            f"(record,) = load_catalogue(path={site.path!r}).records\n"
            "import logging, numpy, torch\n"
            "print(torch.get_num_threads(), torch.get_default_dtype(), numpy.geterr()['over'],"
            " logging.root.handlers, len(record.warnings))",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["1", "torch.float32", "warn", "[]", "5"], done.stderr


def test_a_module_that_another_thread_imports_is_let_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read of torch imports more of it: two threads that do so at once break each other's import."""

    class Halfway(ModuleType):
        def __getattr__(self, name: str) -> Any:
            read.append(name)
            raise AttributeError(name)

    read: list[str] = []
    module = Halfway("torch")
    module.__spec__ = ModuleSpec("torch", None)
    monkeypatch.setattr(module.__spec__, "_initializing", True, raising=False)
    monkeypatch.setitem(sys.modules, "torch", module)
    with used("acme"):
        pass
    assert not read
