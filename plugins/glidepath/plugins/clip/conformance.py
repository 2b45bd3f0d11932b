"""How the conformance kit uses a CLIP: `glidepath test-plugin` applies its checks of any use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from glidepath.core import GlidepathError
from glidepath.plugins.clip.interface import Clip
from glidepath.testing import PROMPTS, Attempt, CannotRun, Trial, cannot_read, random_rows, require


class ClipTrial(Trial):
    """Embeds a prompt and an image for each row."""

    def use(self, built: Clip, rows: Sequence[int], device: str = "cpu") -> list[Tensor]:
        """The embeddings of both."""
        texts = embedded(built, [PROMPTS[row % len(PROMPTS)] for row in rows])
        images = random_rows(rows, (3, built.image_size, built.image_size)).clamp(-1, 1).to(device)
        t = torch.tensor([100 * row for row in rows]).to(device) if built.noised else None
        return [texts, built.embed_images(images, t)]

    def require_shapes(self, built: Clip) -> None:
        """[B, D] of both, each row of length 1; a scalar logit_scale."""
        texts, images = self.use(built, (0, 1))
        require(
            texts.ndim == 2 and texts.shape == images.shape and texts.shape[0] == 2,
            f"2 texts are {list(texts.shape)}, 2 images {list(images.shape)}, and both must be [2, D]",
        )
        for name, vectors in (("texts", texts), ("images", images)):
            length = vectors.float().norm(dim=1)
            require(bool(((length - 1).abs() < 1e-3).all()), f"the embeddings of {name} are not of length 1")
        require(torch.as_tensor(built.logit_scale).ndim == 0, "logit_scale is no scalar")

    def require_dtypes(self, built: Clip) -> None:
        """Floating point, and finite."""
        for vectors in self.use(built, (0,)):
            require(
                vectors.is_floating_point() and bool(vectors.isfinite().all()),
                f"embeddings are {vectors.dtype}, and must be finite and floating point",
            )

    def bad_inputs(self, built: Clip) -> Iterator[Attempt]:
        """Images without channels, and a timestep too many or too few."""
        images = torch.zeros(1, 3, built.image_size, built.image_size)
        t = None if built.noised else torch.zeros(1, dtype=torch.int64)
        what = "noisy images without their timesteps" if built.noised else "clean images with timesteps"
        yield what, lambda: built.embed_images(images, t), True


def embedded(built: Clip, prompts: Sequence[str]) -> Tensor:
    """The embeddings of some prompts.

    Raises:
        CannotRun: it does not know their words.
    """
    try:
        return built.embed_texts(prompts)
    except GlidepathError as error:
        raise CannotRun(cannot_read(prompts[0], error)) from error
