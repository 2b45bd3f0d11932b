"""What the distribution `acme-latent` supplies. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glidepath.registry import Component, hookimpl


def _provides(config: Any) -> dict[str, object]:
    return {"codec.channels": config.channels, "codec.factor": 2, "codec.bounded": False}


@hookimpl
def components() -> Iterable[Component]:
    """The codec."""
    return [
        Component(
            kind="codec",
            name="patches",
            target="acme_latent:Autoencoder",
            config="acme_latent_config:AutoencoderConfig",
            summary="a tiny autoencoder",
            provides=_provides,
        )
    ]
