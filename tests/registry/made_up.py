"""A made-up catalogue."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge, in_, le, min_len

from glidepath.registry.describe.component import (
    Command,
    Component,
    Extra,
    Kind,
    Need,
    Preset,
    doc,
    part,
    parts,
)
from glidepath.registry.describe.kinds import CORE_KINDS
from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.discovery.loading import Loaded
from glidepath.registry.discovery.plugin_record import PluginProblem, PluginRecord


class Colour(enum.Enum):
    """An enumeration."""

    RED = "r"
    GREEN = "g"


@attrs.frozen(kw_only=True)
class Decay:
    """A class that is no part."""

    rate: float = attrs.field(default=0.1, validator=[ge(0), le(1)], metadata=doc("share lost per step"))
    floor: float = 0.0


@attrs.frozen(kw_only=True)
class ScheduleConfig:
    num_steps: int = attrs.field(default=1000, validator=ge(1), metadata=doc("N, at least 1"))


@attrs.frozen(kw_only=True)
class DenoiserConfig:
    image_size: int = 64
    in_channels: int = 3
    channels: int = attrs.field(default=192, validator=ge(1))
    channel_mult: tuple[float, ...] = attrs.field(default=(1, 2, 3, 4), validator=min_len(1))
    attention: Literal["legacy", "new"] = "legacy"
    text_width: int | None = None
    learned_variance: bool = True


@attrs.frozen(kw_only=True)
class EncoderConfig:
    width: int = 512
    layers: int = 16
    tokenizer: Any = attrs.field(default=None, metadata=part("tokenizer", "how text becomes integers"))


@attrs.frozen(kw_only=True)
class WordsConfig:
    file: Path | None = None
    title: str = "words"
    vocabulary: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class BpeConfig:
    file: Path


@attrs.frozen(kw_only=True)
class ScaleConfig:
    scale: float = attrs.field(default=3.0, validator=ge(0), metadata=doc("0 ignores the prompt; at least 0"))


@attrs.frozen(kw_only=True)
class EnsembleConfig:
    members: Any = attrs.field(default=(), metadata=parts("denoiser", "denoisers to average"))
    first: Any = attrs.field(default="tiny-unet", metadata=part("denoiser", "the one that counts twice"))


@attrs.frozen(kw_only=True)
class DdpmConfig:
    steps: int | str | tuple[int, ...] = attrs.field(default=150, metadata=doc("which timesteps are visited"))
    variance: Literal["learned-range", "fixed-small"] = "learned-range"


@attrs.frozen(kw_only=True)
class DdimConfig:
    steps: int | str | tuple[int, ...] = attrs.field(default=50, metadata=doc("which timesteps are visited"))
    eta: float = attrs.field(
        default=0.0, validator=[ge(0), le(1)], metadata=doc("0 deterministic, 1 as much noise as DDPM")
    )


@attrs.frozen(kw_only=True)
class OddConfig:
    """One parameter of each sort that the others do not have."""

    colour: Colour = Colour.RED
    order: int = attrs.field(default=1, validator=in_([1, 2, 3]))
    limits: tuple[int, int] = (0, 1)
    weights_by_name: dict[str, float] = attrs.field(factory=dict, metadata=doc("weights", unbounded=True))
    decay: Decay = Decay()
    extra: Any = None
    thing: Literal["auto"] | bool = "auto"
    amount: float | tuple[float, ...] | None = None
    names: list[str] = attrs.Factory(list)
    even: int = attrs.field(default=0)
    low: int = 0
    high: int = 10

    @even.validator
    def _is_even(self, _attribute: object, value: int) -> None:
        if value % 2:
            raise ValueError("only even numbers will do")

    def __attrs_post_init__(self) -> None:
        if self.low == self.high:
            raise ValueError("low and high are the same")


def _odd_check(config: OddConfig) -> Sequence[tuple[str, str]]:
    return [("low", f"low {config.low} is above high {config.high}")] if config.low > config.high else []


def _too_few(wanted: int) -> Callable[[int], str]:
    return lambda given: f"{wanted} of {given} steps cannot be visited" if wanted > given else ""


def _needs_steps(config: DdpmConfig | DdimConfig) -> Mapping[str, Need]:
    if not isinstance(config.steps, int):
        return {}
    return {"schedule.num_steps": Need(field="steps", test=_too_few(config.steps))}


def _ddpm_needs(config: DdpmConfig) -> Mapping[str, Need]:
    needs = dict(_needs_steps(config))
    if config.variance == "learned-range":
        needs["prediction.learned_variance"] = Need(
            value=True, field="variance", why="fixed-small does without it"
        )
    return needs


def _denoiser_needs(config: DenoiserConfig) -> Mapping[str, Need]:
    if config.text_width is None:
        return {}
    why = "its attention layers read the text"
    return {"text.width": Need(value=config.text_width, field="text_width", why=why)}


def _denoiser_provides(config: DenoiserConfig) -> Mapping[str, object]:
    return {
        "image.channels": config.in_channels,
        "prediction.learned_variance": config.learned_variance,
    }


COMPONENTS = (
    Component(
        kind="schedule",
        name="cosine",
        target="none:None",
        summary="a cosine",
        config=ScheduleConfig,
        provides=lambda config: {"schedule.num_steps": config.num_steps},
    ),
    Component(kind="schedule", name="plain", target="none:None", summary="without parameters"),
    Component(
        kind="denoiser",
        name="tiny-unet",
        target="none:None",
        summary="a UNet",
        config=DenoiserConfig,
        provides=_denoiser_provides,
        needs=_denoiser_needs,
    ),
    Component(
        kind="denoiser",
        name="ensemble",
        target="none:None",
        summary="many",
        config=EnsembleConfig,
        provides=lambda _config, inner: inner["first"],
    ),
    Component(
        kind="text_encoder",
        name="transformer",
        target="none:None",
        summary="a transformer",
        config=EncoderConfig,
        provides=lambda config: {"text.width": config.width},
    ),
    Component(kind="tokenizer", name="words", target="none:None", summary="words", config=WordsConfig),
    Component(kind="tokenizer", name="bpe", target="none:None", summary="pieces", config=BpeConfig),
    Component(kind="guidance", name="classifier-free", target="none:None", summary="cfg", config=ScaleConfig),
    Component(
        kind="guidance", name="odd", target="none:None", summary="odd", config=OddConfig, check=_odd_check
    ),
    Component(
        kind="sampler",
        name="ddpm",
        target="none:None",
        summary="ancestral",
        config=DdpmConfig,
        needs=_ddpm_needs,
    ),
    Component(
        kind="sampler",
        name="ddim",
        target="none:None",
        summary="implicit",
        config=DdimConfig,
        needs=_needs_steps,
    ),
    Component(kind="sampler", name="euler", target="none:None", summary="in two plugins"),
    Component(
        kind="sampler",
        name="needy",
        target="none:None",
        summary="needs a module",
        requires=(Extra(module="no_such_module", install="pip install no-such-module"),),
    ),
    Component(
        kind="codec",
        name="identity",
        target="none:None",
        summary="pixels",
        provides=lambda _config: {"codec.channels": 3, "codec.factor": 1, "codec.bounded": True},
    ),
    Component(
        kind="codec",
        name="latent",
        target="none:None",
        summary="4 channels, an eighth of the size",
        provides=lambda _config: {"codec.channels": 4, "codec.factor": 8, "codec.bounded": False},
    ),
)

BASE = """\
schedule: cosine
text_encoder: {use: transformer, width: 512}
denoiser: {use: tiny-unet, channels: 64, text_width: 512}
guidance: [{use: classifier-free, scale: 3}]
sampler: {use: ddpm, steps: 150}
"""


def make_catalogue(preset: Path | None = None, components: Sequence[Component] = COMPONENTS) -> Catalogue:
    """The made-up catalogue. preset: the file of its preset `base`."""
    ours = PluginRecord(
        name="parts", distribution="glidepath-diffusion", version="1.2", module="json.decoder", file="x.py"
    )
    acme = PluginRecord(name="acme", distribution="acme", version="2.0", module="acme.plugin", file="y.py")
    broken = PluginRecord(
        name="broken",
        distribution="broken-dist",
        version="0.1",
        module="broken.plugin",
        problems=(
            PluginProblem(
                stage="import", error="ModuleNotFoundError: No module named 'flax'", hint="pip install flax"
            ),
        ),
    )
    presets = (Preset(name="base", file=preset, summary="a base"),) if preset else ()
    sweep = Command(name="sweep", target="x:Y", summary="varies a spec", reads=("sweep", "base", "arms"))
    loaded = [
        Loaded(ours, None, tuple(components), (), presets, (sweep,)),
        Loaded(acme, None, (Component(kind="sampler", name="euler", target="x:Y", summary="theirs"),)),
        Loaded(broken),
    ]
    extra = Kind(name="dataset", interface="x:Y", summary="images", slot="data", sampling=False)
    return Catalogue(loaded, {kind.name: kind for kind in (*CORE_KINDS, extra)})
