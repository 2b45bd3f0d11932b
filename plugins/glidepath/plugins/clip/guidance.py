"""Guidance by a CLIP: how well an image fits its prompt (Nichol et al. 2021, "GLIDE", section 2.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import torch
from torch import Tensor, nn

from glidepath.core import Bind, Conditioning, Guidance, PartError, Predict, Prediction, Step
from glidepath.plugins.clip.configs import ClipGuidanceConfig
from glidepath.plugins.clip.cutouts import cut, draw_cutouts
from glidepath.plugins.clip.interface import Clip, resized

Embed = Callable[[Tensor], Tensor]
"""Images [B, 3, H, W] -> embeddings [N B, D], those of each image every B rows."""


class ClipGuidance(Guidance):
    """Adds scale * grad log p(prompt given x_t), where log p is logit_scale times the cosine of the two.

    A noised CLIP reads x_t, as in GLIDE. Any other reads the predicted x_0, clipped to [-1, 1] as the
    samplers show it. Its gradient there is taken back to x_t through the denoiser, past the clipping, or by
    the factor alpha / (alpha^2 + sigma^2), which is d x_0 / d x_t of a perfect denoiser where data are unit
    Gaussian.

    All is computed in the precision of the CLIP, float32 in a pipeline.
    """

    differentiates = True
    scales_by_step = True

    def __init__(self, config: ClipGuidanceConfig, *, clip: Clip) -> None:
        """Raises PartError where parameters for clean images come with a noised CLIP."""
        if clip.noised and (config.through_denoiser or config.cutouts):
            name = "through_denoiser" if config.through_denoiser else "cutouts"
            raise PartError(
                f"guidance clip: {name} is for the predicted x_0, and a noised CLIP reads x_t; leave it out, "
                "or take a clip for images without noise"
            )
        self.config = config
        self.clip = clip.eval().requires_grad_(False)

    def networks(self) -> Mapping[str, nn.Module]:
        """The CLIP."""
        return {"clip": self.clip}

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""
        if self.config.scale == 0:
            return bind

        def bound(conditioning: Conditioning) -> Predict:
            predict = bind(conditioning)
            texts = self._texts(conditioning)

            def guided(x: Tensor, step: Step) -> Prediction:
                scale = self.weight_at(step) * self.config.scale
                if scale == 0:
                    return predict(x, step)
                prediction, gradient = self._predicted(predict, texts, x, step)
                return prediction.with_gradient(scale * gradient)

            return guided

        return bound

    def _predicted(self, predict: Predict, texts: Tensor, x: Tensor, step: Step) -> tuple[Prediction, Tensor]:
        """The prediction of x_t, and the gradient of log p(prompt given x_t)."""
        if self.clip.noised:
            return predict(x, step), self._slope(self._noised(step), x, texts)
        if not self.config.through_denoiser:
            prediction = predict(x, step)
            slope = self._slope(self._clean(step), prediction.sample.clamp(-1, 1), texts)
            return prediction, step.alpha / (step.alpha**2 + step.sigma**2) * slope
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            prediction = predict(leaf, step)
            sample = prediction.sample
        slope = self._slope(self._clean(step), sample.detach().clamp(-1, 1), texts)
        (gradient,) = torch.autograd.grad(sample, leaf, slope)
        return _detached(prediction, x), gradient

    def _slope(self, embed: Embed, images: Tensor, texts: Tensor) -> Tensor:
        """The gradient of sum_i logit_scale z_t . z_i, averaged over the pieces of an image, by the image."""
        with torch.enable_grad():
            leaf = images.detach().to(torch.float32).requires_grad_()
            embedded = embed(leaf)
            pieces = len(embedded) // len(leaf)
            fit = self.clip.logit_scale * (embedded * texts.repeat(pieces, 1)).sum() / pieces
            (slope,) = torch.autograd.grad(fit, leaf)
        return slope

    def _noised(self, step: Step) -> Embed:
        t = step.t.round().long() if step.t.is_floating_point() else step.t
        return lambda images: self.clip.embed_images(images, t.expand(len(images)))

    def _clean(self, step: Step) -> Embed:
        config, size = self.config, self.clip.image_size
        if not config.cutouts:
            return lambda images: self.clip.embed_images(resized(images, size))
        cutouts = draw_cutouts(
            config.cutouts,
            power=config.cut_power,
            smallest=config.cut_min,
            seed=config.cut_seed,
            step=step.index,
        )
        return lambda images: self.clip.embed_images(cut(images, cutouts, size))

    def _texts(self, conditioning: Conditioning) -> Tensor:
        """[B, D], each different prompt embedded once."""
        prompts = conditioning.prompts
        if prompts is None:
            raise PartError("guidance clip compares images with their prompts, and this batch has none")
        distinct = list(dict.fromkeys(prompts))
        with torch.no_grad():
            texts = self.clip.embed_texts(distinct)
            rows = torch.tensor([distinct.index(prompt) for prompt in prompts])
            return texts[rows.to(texts.device, non_blocking=True)]


def _detached(prediction: Prediction, x: Tensor) -> Prediction:
    """The prediction without the graph it was made with, of the x_t that the sampler knows."""
    variance, gradient, unguided = prediction.variance_fraction, prediction.gradient, prediction.unguided
    return attrs.evolve(
        prediction,
        value=prediction.value.detach(),
        x=x,
        variance_fraction=None if variance is None else variance.detach(),
        gradient=None if gradient is None else gradient.detach(),
        unguided=None if unguided is None else _detached(unguided, x),
    )
