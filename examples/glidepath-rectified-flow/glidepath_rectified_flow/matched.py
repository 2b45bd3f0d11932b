"""A denoiser of a variance-preserving schedule, on the flow."""

from __future__ import annotations

import attrs
from torch import Tensor

from glidepath.core import Bind, Conditioning, Guidance, Predict, Prediction, Step


class MatchedInput(Guidance):
    """Gives the denoiser x / sqrt(alpha^2 + sigma^2), which is the x_t that it knows.

    Two points of equal sigma / alpha are the same mixture of x_0 and epsilon at another scale, so that both
    predictions hold as they are. The time of that point is the schedule's to say (`trained_on`). It guides
    nothing: it stands first, and whatever guides wraps it.
    """

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""

        def bound(conditioning: Conditioning) -> Predict:
            predict = bind(conditioning)

            def matched(x: Tensor, step: Step) -> Prediction:
                scale = (step.alpha.square() + step.sigma.square()).rsqrt()
                known = attrs.evolve(step, alpha=scale * step.alpha, sigma=scale * step.sigma)
                made = predict(scale * x, known)
                if made.kind in ("velocity", "flow"):  # of which alpha and sigma are a part
                    made = made.with_sample(made.sample)
                return attrs.evolve(made, x=x, step=step)

            return matched

        return bound
