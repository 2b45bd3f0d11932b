"""What this plugin supplies. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from glidepath.registry import Component, hookimpl


def _provides(_config: object) -> dict[str, object]:
    return {"codec.channels": 3, "codec.factor": 1, "codec.bounded": True}


@hookimpl
def components() -> Iterable[Component]:
    """The codecs."""
    return (
        Component(
            kind="codec",
            name="identity",
            target="glidepath.core.codec:IdentityCodec",
            summary="pixels: 8 bits to [-1, 1] and back, rounded as GLIDE does",
            provides=_provides,
        ),
        Component(
            kind="codec",
            name="truncating",
            target="glidepath.plugins.codecs.truncating:TruncatingCodec",
            summary="pixels: 8 bits to [-1, 1] and back, fractions cut off as ADM does",
            provides=_provides,
            references=("Dhariwal & Nichol 2021, the program published with it (guided-diffusion)",),
        ),
    )
