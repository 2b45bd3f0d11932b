"""What options that a command does not have may mean: an option of its own, or a value of the spec."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from glidepath.registry.text.problems import known_as

if TYPE_CHECKING:
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.discovery.registered import Registered

_CALLED = {
    "--out": ("output", "output-file", "outfile", "outdir", "save", "o"),
    "--count": ("n", "num", "num-images", "num-samples", "n-samples", "samples", "images"),
    "--batch": ("b", "batch-size", "bs"),
    "--spec": ("model", "preset", "config", "pipeline", "m"),
    "--weights": ("checkpoint", "ckpt", "model-path"),
    "--dtype": ("precision",),
    "--label": ("class", "classes", "class-label", "labels"),
    "--image": ("init-image", "input", "i"),
    "--low-res": ("lowres",),
    "--seed": ("s", "random-seed"),
}
"""Our options, and what other programs call them."""

_KEYS = {
    "sampler.steps": ("num-steps", "num-inference-steps", "inference-steps", "ddim-steps", "timesteps"),
    "guidance[0].scale": ("cfg", "cfg-scale", "guidance-scale", "scale"),
}
"""Values of a spec, and what other programs call them; their own names are asked of what is installed."""

_MEANT = {
    "prompt": 'a prompt needs no option: glidepath sample "a green star"',
    "text": 'a prompt needs no option: glidepath sample "a green star"',
    **dict.fromkeys(
        ("size", "width", "height", "resolution", "image-size"),
        "the size is the denoiser's, as it was trained; --scale N enlarges what it makes",
    ),
}
_VALUES = {
    **dict.fromkeys(("float32", "bfloat16", "float16"), "--dtype"),
    **dict.fromkeys(("cpu", "cuda", "mps"), "--device"),
}
"""Values that are written as if they were options, and the option that takes them."""

_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")
_MOST_KEYS = 3


def meaning(option: str, value: str, own: Collection[str], *, training: bool = False) -> str:
    """What a person may have meant by an option that is not there, as a hint; "" where nothing is known.

    value: what was written behind it, "" for nothing. own: the options that there are.
    training: whether the command trains, and so means what a spec says of training first.
    """
    name = option.lstrip("-").lower().replace("_", "-")
    if (told := _MEANT.get(name)) and all(word in own for word in re.findall(r"--[a-z]+", told)):
        return told
    here = known_as(name) or name
    if _VALUES.get(here) in own:
        return f"did you mean {_VALUES[here]} {here}?"
    known = next((known for known, others in _CALLED.items() if name in others), "")
    if known in own:
        return f"did you mean {known}?"
    keys = list(dict.fromkeys(_keys(known.lstrip("-") or name, value, training)))[:_MOST_KEYS]
    if not keys:
        return ""
    written = [f"--set {shlex.quote(f'{key}={value}') if value else f'{key}=VALUE'}" for key in keys]
    return f"it is a value of the spec: {' or '.join(written)}"


def _keys(name: str, value: str, training: bool) -> Iterator[str]:
    """The values of a spec that are called so: a slot, or a parameter of what is installed for one."""
    from glidepath.registry.describe.fields import fields
    from glidepath.registry.discovery.catalogue import load_catalogue
    from glidepath.registry.plan.parts import Runtime

    if not training:
        yield from (key for key, others in _KEYS.items() if name in others)
    catalogue = load_catalogue()
    word = name.replace("-", "_")
    kinds = [(slot, kind) for slot, kind in catalogue.slots.items() if training or kind.sampling]
    # which of several parts is meant is less sure than which of one
    slots = dict(sorted(kinds, key=lambda it: (it[1].sampling, it[1].many)))
    if word in slots:
        # a number is no part: of a guidance it is how strong it is
        yield f"{word}[0].scale" if slots[word].many and _NUMBER.fullmatch(value) else word
    if word in fields(Runtime):
        yield f"runtime.{word}"
    for slot, kind in slots.items():
        if any(word in _parameters(registered, catalogue) for registered in catalogue.components(kind.name)):
            yield f"{slot}[0].{word}" if kind.many else f"{slot}.{word}"


def _parameters(registered: Registered, catalogue: Catalogue) -> Collection[str]:
    from glidepath.registry.describe.fields import fields

    try:
        config = catalogue.config_class(registered)
        return fields(config) if config is not None else ()
    except Exception:  # `glidepath plugins` tells what is wrong with it
        return ()
