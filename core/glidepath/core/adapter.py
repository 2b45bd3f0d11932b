"""The interface of what changes networks that are built."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from glidepath.core.errors import PartError


class Adapter(ABC):
    """Changes the networks of a pipeline in place, after their weights are loaded: LoRA and its kin.

    The `weights` that a spec names for it are given to `load`, before `apply`.
    """

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the tensors of its file.

        Raises:
            PartError: they are none that it knows; here: it takes none.
        """
        raise PartError(f"{type(self).__name__} takes no weights")

    @abstractmethod
    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        """Change networks, which are given by path: "denoiser", "text_encoder", "guidance[0].denoiser".

        Raises:
            PartError: it does not fit them.
        """
