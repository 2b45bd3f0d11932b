"""The interface of what makes conditions of a request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from glidepath.core.codec import Codec
from glidepath.core.conditioning import Condition
from glidepath.core.request import Input, Request


class Conditioner(nn.Module, ABC):
    """Makes conditions of what is asked for: of prompts, labels, sizes, pictures. A text encoder is one.

    Subclasses set, in their class or their constructor:
        makes: the names of the conditions that it makes. Some part has to read each (`Denoiser.reads`).
        inputs: the pictures of a request that it takes, by name.
    """

    makes: frozenset[str]
    inputs: Mapping[str, Input] = MappingProxyType({})

    @abstractmethod
    def conditions(self, request: Request, codec: Codec) -> Mapping[str, Condition]:
        """The conditions of a batch by name, each with a row for each image of the request.

        request: what is asked for; its size is that of the images that will be made.
        codec: what encodes a picture to x_0, for a conditioner that needs one so.
        """
