"""What a user says of a checkpoint that its tensors do not show: `--set denoiser.heads=4`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from glidepath.registry import UsageError

_PATH = re.compile(r"[a-z]\w*(?:\.[a-z]\w*)*", re.ASCII)

FREE = {
    "denoiser": (
        "image_size",
        "heads",
        "head_channels",
        "heads_upsample",
        "attention_order",
        "dropout",
        "predicts",
    ),
    "text_encoder": ("heads", "tokenizer"),
    "classifier": ("image_size", "heads", "head_channels", "attention_order"),
    "clip": ("text_heads", "image_heads", "logit_scale", "tokenizer"),
}
"""The parameters of each part that no tensor shows. Other parts are free as a whole."""


class WrongSetting(UsageError):
    """A `--set` cannot be read, or contradicts the tensors."""


@attrs.frozen
class Setting:
    """One `--set`: a path below the top of a spec, and a value."""

    path: tuple[str, ...]
    value: Any

    def __str__(self) -> str:
        return ".".join(self.path)


def read_settings(texts: Sequence[str]) -> list[Setting]:
    """The settings in texts such as "denoiser.heads=4"; values are YAML.

    Raises:
        WrongSetting: a text is none.
    """
    import yaml

    settings = []
    for text in texts:
        path, equals, written = text.partition("=")
        if not equals or not _PATH.fullmatch(path.strip()):
            raise WrongSetting(f"--set {text}: write PATH=VALUE, such as --set denoiser.heads=4")
        try:
            value = yaml.safe_load(written)
        except yaml.YAMLError as error:
            raise WrongSetting(f"--set {text}: the value is no YAML: {error}") from error
        settings.append(Setting(tuple(path.strip().split(".")), value))
    return settings


def find(settings: Iterable[Setting], path: str) -> Any:
    """The value that is set at a dotted path, None when none is; that which was said last counts."""
    values = [setting.value for setting in settings if str(setting) == path]
    return values[-1] if values else None


def apply(tree: Mapping[str, Any], settings: Iterable[Setting]) -> dict[str, Any]:
    """The tree with settings put in. A part with another `use` replaces the part, as in a spec."""
    changed = dict(tree)
    for setting in settings:
        value = setting.value
        for key in reversed(setting.path):
            value = {key: value}
        changed = _merged(changed, value)
    return changed


def check(settings: Iterable[Setting], tree: Mapping[str, Any], file: str) -> None:
    """Refuse what contradicts a tree that was read from tensors.

    Raises:
        WrongSetting: a setting gives another value for what the tensors show.
    """
    for setting in settings:
        part = setting.path[0]
        given = setting.value if isinstance(setting.value, Mapping) else {}
        named = {setting.path[1]: setting.value} if len(setting.path) == 2 else given
        if part not in FREE or not isinstance(tree.get(part), Mapping) or len(setting.path) > 2:
            continue
        for key, value in named.items():
            shown = tree[part].get(key, value)
            if key not in FREE[part] and shown != value:
                raise WrongSetting(
                    f"--set {setting}: {part}.{key} is {shown}, as the tensors of {file} show; "
                    f"to be given are {', '.join(FREE[part])}"
                )


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    if "use" in over and over["use"] != base.get("use"):
        return dict(over)
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, str):
            below = {"use": below}  # the name of a part stands for a mapping
        elif isinstance(value, str) and isinstance(below, Mapping):
            value = {"use": value}
        merged[key] = (
            _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged
