"""A plugin with something of everything, and commands run beside it."""

from __future__ import annotations

from typing import Any

import pytest

DIFFUSION = '''
from typing import Literal
from pathlib import Path
from attrs.validators import ge, le

@attrs.frozen(kw_only=True)
class DdimConfig:
    """Deterministic or stochastic implicit sampling."""

    steps: int | str = attrs.field(default=50, metadata=doc("which timesteps are visited"))
    eta: float = attrs.field(default=0.0, validator=[ge(0), le(1)], metadata=doc("0 deterministic, 1 DDPM"))

@attrs.frozen(kw_only=True)
class EncoderConfig:
    width: int = attrs.field(metadata=doc("of the tokens"))
    order: Literal["old", "new"] = "old"
    tokenizer: None = attrs.field(default=None, metadata=part("tokenizer", "what cuts the text"))

@hookimpl
def components():
    yield Component(kind="sampler", name="ddim", target="acme.samplers:Ddim", config=DdimConfig,
                    summary="implicit sampler", references=["Song et al. 2021, equation 12"])
    yield Component(kind="text_encoder", name="wide", target="acme.text:Wide", config=EncoderConfig,
                    summary="wide", requires=[Extra(module="absent_module", install="acme[text]")])
    yield Component(kind="tokenizer", name="bpe", target="acme.text:Bpe", summary="bytes")
    yield Component(kind="tokenizer", name="words", target="acme.text:Words", summary="words")
    yield Component(kind="guidance", name="none", target="acme.guidance:Nothing", summary="nothing")

@hookimpl
def presets():
    return [Preset(name="fast", file=Path(__file__).parent / "fast.yaml", summary="few steps")]

@hookimpl
def commands():
    return [Command(name="tune", target="acme.tune:main", summary="tune it"),
            Command(name="stray", target="acme.absent:main", summary="is not there")]
'''


@pytest.fixture
def acme(site: Any) -> Any:
    """A plugin with something of everything."""
    site.plugin("acme", DIFFUSION, version="1.2")
    (site.folder / "acme" / "fast.yaml").write_text("sampler: {use: ddim, steps: 10}\n")
    for module, names in (("samplers", "Ddim"), ("text", "Wide, Bpe, Words"), ("guidance", "Nothing")):
        (site.folder / "acme" / f"{module}.py").write_text(f"from acme.implementation import {names}\n")
    (site.folder / "acme" / "tune.py").write_text(
        "def main(arguments):\n    print('tuning', arguments)\n    return 7 if arguments else None\n"
    )
    return site
