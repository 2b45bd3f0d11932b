"""What the family `gan` learns from: a discriminator (Huang et al. 2024, arXiv:2501.05441, section 2)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from glidepath.core import Condition, Conditioning, Generator, map_tensors
from glidepath_families.gan import Discriminator, Gan
from glidepath_families.objective_config import AdversarialConfig


class Adversarial(nn.Module):
    """The relativistic loss with R1 and R2, and pairs that do not match.

    With D(x, t) how real an image is for a text, and f(u) = softplus(-u):

    - the discriminator goes down f(D(x, t) - D(G(z, t), t)) (equation 1), down f(D(x, t) - D(x, t')) of
      another text t' (Reed et al. 2016, "Generative Adversarial Text to Image Synthesis", algorithm 1, made
      relativistic), and down gamma / 2 times the squared norm of its gradient at real and at made images (R1
      and R2, equations 2 and 3);
    - the generator goes down f(D(G(z, t), t) - D(x, t)).

    Both take a step at a time: each of the two losses leaves the other's parameters alone.
    """

    name = "adversarial"

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__()
        self.config = config

    def attach(self, generator: Generator) -> None:
        """Make a discriminator like the generator."""
        self.discriminator = Discriminator(cast(Gan, generator).config)

    def loss(
        self, generator: Generator, x_0: Tensor, conditioning: Conditioning, draws: torch.Generator
    ) -> Tensor:
        """The sum of both losses."""
        gan = cast(Gan, generator)
        z = torch.randn((len(x_0), gan.config.latent), generator=draws).to(x_0.device)
        made = gan.from_latent(z, conditioning)
        fixed = {name: it.detach() for name, it in self.discriminator.named_parameters()}

        def judged(x: Tensor) -> Tensor:
            verdict: Tensor = functional_call(self.discriminator, fixed, (x, _still(conditioning)))
            return verdict

        of_generator = relativistic(judged(made), judged(x_0)).mean()
        return of_generator + self.of_discriminator(x_0, made.detach(), conditioning)

    def of_discriminator(self, x_0: Tensor, made: Tensor, conditioning: Conditioning) -> Tensor:
        """The discriminator's loss, of real images and of made ones, a scalar."""
        still = _still(conditioning)
        real, real_slope = judged_with_slope(self.discriminator, x_0, still)
        fake, fake_slope = judged_with_slope(self.discriminator, made, still)
        loss = relativistic(real, fake).mean()
        if conditioning.conditions and self.config.mismatch:
            wrong = self.discriminator(x_0, _rolled(still))
            loss = loss + self.config.mismatch * relativistic(real, wrong).mean()
        return loss + self.config.gamma / 2 * (real_slope + fake_slope).mean()


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """softplus(worse - better): how far one verdict is from being better than another, [B]."""
    return F.softplus(worse - better)


def judged_with_slope(
    discriminator: nn.Module, x: Tensor, conditioning: Conditioning
) -> tuple[Tensor, Tensor]:
    """Verdicts [B], and the squared norm of the gradient of each at its image, [B]: of real ones R1, else R2.

    Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", equations 9 and 10.
    """
    x = x.detach().requires_grad_(True)
    verdict: Tensor = discriminator(x, conditioning)
    (slope,) = torch.autograd.grad(verdict.sum(), x, create_graph=True)
    return verdict, slope.square().flatten(1).sum(1)


def _still(conditioning: Conditioning) -> Conditioning:
    """Conditions as values: the text encoder learns from the generator's loss alone."""
    made = {
        name: Condition(map_tensors(Tensor.detach, it.value)) for name, it in conditioning.conditions.items()
    }
    return Conditioning(conditioning.batch, made, conditioning.prompts)


def _rolled(conditioning: Conditioning) -> Conditioning:
    """Each image with the conditions of the one before it."""
    made = {
        name: Condition(map_tensors(lambda tensor: tensor.roll(1, 0), it.value))
        for name, it in conditioning.conditions.items()
    }
    return Conditioning(conditioning.batch, made)
