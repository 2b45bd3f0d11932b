"""Which model a checkpoint holds, by the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import attrs

from glidepath.core import GlidepathError
from glidepath.plugins.convert.models import ClassifierModel, ClipImage, ClipText, Diffusion, Model
from glidepath.plugins.convert.published import PUBLISHED, Published
from glidepath.plugins.convert.shapes import Shapes, Unlike
from glidepath.registry import list_names

_ARCHITECTURES: tuple[type[Model], ...] = (Diffusion, ClassifierModel, ClipText, ClipImage)
_OURS = ("denoiser.", "text_encoder.")
_DECIDES = {"upsamples", "inpaints", "text", "num_classes"}
"""What tells models apart more than their sizes do."""


class Unrecognised(GlidepathError):
    """A checkpoint is of no known architecture, or is damaged."""


@attrs.frozen(kw_only=True)
class Recognised:
    """A checkpoint's model, and the published one that it is (`exact`) or is nearest to."""

    model: Model
    nearest: Published

    @property
    def exact(self) -> bool:
        """Whether every key and shape is that of the published model."""
        return self.model == self.nearest.model

    @property
    def name(self) -> str:
        """What it is, in words."""
        return self.nearest.name if self.exact else describe(self.model)


def recognise(shapes: Shapes, file: str) -> Recognised:
    """The model whose tensors these are.

    file: its name, for messages.

    Raises:
        Unrecognised: they are those of no known architecture; the nearest is named, with what differs.
    """
    candidates: list[tuple[str, Shapes]] = [(it.name, it.model.shapes()) for it in PUBLISHED]
    for model, whole in _models(shapes):
        if whole == dict(shapes):
            return Recognised(model=model, nearest=_nearest(model))
        candidates.append((describe(model), whole))
    if any(name.startswith(_OURS) for name in shapes):
        raise Unrecognised(
            f"{file}: its keys begin with the names of parts ({list_names(shapes, 2)}), as in files that "
            "glidepath made; write it as `weights` in a spec"
        )
    # one that shares no name is the nearest of none, though it may be so small that little differs
    akin = [it for it in candidates if shapes.keys() & it[1].keys()]
    if not akin:
        raise Unrecognised(
            f"{file}: no checkpoint of GLIDE or ADM: none of its {len(shapes)} tensors is called as one of "
            f"theirs; its first are {list_names(shapes)}"
        )
    name, expected = min(akin, key=lambda it: sum(map(len, _differences(shapes, it[1]))))
    missing, extra, other = _differences(shapes, expected)
    told = (("missing", missing), ("not known to it", extra), ("of another shape", other))
    lines = [f"    {len(names)} {title}: {list_names(names)}" for title, names in told if names]
    raise Unrecognised(
        "\n".join(
            [
                f"{file}: no checkpoint of GLIDE or ADM, or a damaged one. Of its {len(shapes)} tensors, "
                f"{len(shapes) - len(extra) - len(other)} are as in the nearest, {name} "
                f"({len(expected)} tensors):",
                *lines,
            ]
        )
    )


def belongs(shapes: Shapes) -> set[str]:
    """The names among some tensors that are of a known model, where one of them is there whole."""
    wholes = (set(whole) for _, whole in _models(shapes) if whole.items() <= shapes.items())
    return max(wholes, key=len, default=set())


def _models(shapes: Shapes) -> Iterator[tuple[Model, Shapes]]:
    """The models that some tensors seem to be of, one for each architecture, with all tensors of each."""
    for architecture in _ARCHITECTURES:
        try:
            model = architecture.read(shapes)
            yield model, model.shapes()
        except (Unlike, LookupError, ValueError, ZeroDivisionError):
            continue


@cache
def known_names() -> frozenset[str]:
    """The names of all tensors of the published models."""
    return frozenset(name for it in PUBLISHED for name in it.model.shapes())


def describe(model: Model) -> str:
    """A model in words, by what it does and the hyperparameters that tell it from others."""
    if isinstance(model, ClipText):
        return f"a text encoder of noised CLIP, {model.layers} layers of width {model.width}"
    if isinstance(model, ClipImage):
        kind = "noised CLIP" if model.timesteps else "CLIP"
        size = f"{model.image_size}x{model.image_size}"
        return f"an image encoder of {kind} for {size}, {model.layers} layers of width {model.width}"
    trunk = model.trunk
    widths = " ".join(map(str, trunk.widths))
    size = f"widths {widths}, {trunk.res_blocks} residual blocks a level"
    if isinstance(model, ClassifierModel):
        return f"a classifier like ADM's ({model.pool} pooling, {model.classes} classes), {size}"
    roles = [
        "GLIDE's" if model.text else "ADM's",
        *(["upsampling"] if model.upsamples else []),
        *(["inpainting"] if model.inpaints else []),
        *([f"{model.num_classes} classes"] if model.num_classes else []),
    ]
    return f"a diffusion model like {', '.join(roles)}, {size}"


def _nearest(model: Model) -> Published:
    """The published model of the same architecture that has most in common."""
    return min(
        (it for it in PUBLISHED if type(it.model) is type(model)), key=lambda it: _apart(model, it.model)
    )


def _apart(one: Model, other: Model) -> float:
    """How far apart two models of one architecture are; 0 for the same."""
    a, b = attrs.asdict(one, recurse=False), attrs.asdict(other, recurse=False)
    far: float = 10.0 * sum(bool(a[key]) != bool(b[key]) for key in _DECIDES & a.keys())
    far += sum(a[key] != b[key] for key in a)
    if isinstance(one, Diffusion | ClassifierModel) and isinstance(other, Diffusion | ClassifierModel):
        inner, outer = attrs.asdict(one.trunk), attrs.asdict(other.trunk)
        far += sum(inner[key] != outer[key] for key in inner)
        far += abs(len(one.trunk.channel_mult) - len(other.trunk.channel_mult))
    return far


def _differences(found: Shapes, expected: Shapes) -> tuple[list[str], list[str], list[str]]:
    """What is missing, what is extra, and what is of another shape than expected."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    other = [
        f"{name} ({list(found[name])} in the file, {list(shape)} expected)"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    return missing, extra, other
