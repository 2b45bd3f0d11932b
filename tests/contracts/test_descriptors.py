"""What the bundled plugins say of their parts is true, complete, and said without torch."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import attrs
import pytest

from glidepath.core import Guidance, NoiseSchedule, Sampler
from glidepath.registry import load_catalogue
from glidepath.registry.describe.component import DOC, Component

from .sources import ROOT

CATALOGUE = load_catalogue(environ={}, no_plugins=True)
COMPONENTS = {f"{it.component.kind}/{it.component.name}": it.component for it in CATALOGUE.components()}
INTERFACES = {"schedule": NoiseSchedule, "sampler": Sampler, "guidance": Guidance}
"""The kinds whose parts are each a method of some paper."""


def class_of(name: str) -> type:
    """The class that "module:Class" names."""
    module, _, attribute = name.partition(":")
    defined = getattr(importlib.import_module(module), attribute)
    assert isinstance(defined, type)
    return defined


@pytest.mark.parametrize("component", COMPONENTS.values(), ids=COMPONENTS)
def test_a_descriptor_names_its_class_and_every_parameter_says_what_it_means(component: Component) -> None:
    assert component.summary
    for extra in component.requires:
        pytest.importorskip(extra.module, reason=f"{extra.module} is not installed: {extra.install}")
    assert isinstance(class_of(component.target), type)
    if component.config is not None:
        fields = attrs.fields(class_of(str(component.config)))
        assert [field.name for field in fields if not field.metadata.get(DOC)] == []


@pytest.mark.parametrize("name", [name for name in COMPONENTS if name.partition("/")[0] in INTERFACES])
def test_a_method_is_of_its_kind_and_names_its_paper(name: str) -> None:
    component = COMPONENTS[name]
    assert issubclass(class_of(component.target), INTERFACES[component.kind])
    assert component.references
    assert all("arXiv:" in reference for reference in component.references)


DESCRIBE = """
import sys
from glidepath.registry import load_catalogue

catalogue = load_catalogue(environ={}, no_plugins=True)
for registered in catalogue.components():
    part, config_class = registered.component, catalogue.config_class(registered)
    try:
        config = config_class() if config_class else None
    except TypeError:  # a parameter without a default
        continue
    list(part.needs(config)), list(part.provides(config)), list(part.lacks(config))
    if part.check:
        part.check(config)
    assert "torch" not in sys.modules, f"{part.kind}/{part.name}"
"""


def test_describing_the_parts_and_their_defaults_imports_no_torch() -> None:
    path = os.pathsep.join(str(ROOT / name) for name in ("core", "registry", "plugins"))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", DESCRIBE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
