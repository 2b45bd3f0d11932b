"""Raters whose preferences are known: what an analysis should find in their answers."""

from __future__ import annotations

import attrs
import numpy as np
from scipy.special import expit

from glidepath.plugins.judge.analysis.clusters import Clusters

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)


@attrs.frozen(kw_only=True)
class World:
    """How raters answer: logit of a win = preference + a rater's own + the prompt's own, both normal."""

    raters: int
    prompts: int
    per_pair: int = 3
    preference: float = 0.0
    of_raters: float = 0.0
    of_prompts: float = 0.0
    ties: float = 0.0
    uneven: bool = False

    @property
    def rate(self) -> float:
        """The share of wins over all raters and prompts that there could be, ties as halves."""
        spread = np.hypot(self.of_raters, self.of_prompts)
        wins = (expit(self.preference + spread * NODES) * WEIGHTS).sum() / WEIGHTS.sum()
        return float((1 - self.ties) * wins + self.ties / 2)

    def clusters(self, generator: np.random.Generator) -> Clusters:
        """Who judges what: each prompt as often, and each rater as much, or not."""
        load, chosen = np.zeros(self.raters), []
        eager = generator.dirichlet(np.full(self.raters, 3.0))
        for _ in range(self.prompts):
            if self.uneven:
                some = generator.choice(self.raters, self.per_pair, replace=False, p=eager)
            else:
                some = np.lexsort((generator.random(self.raters), load))[: self.per_pair]
            load[some] += 1
            chosen.append(some)
        return Clusters(np.concatenate(chosen), np.repeat(np.arange(self.prompts), self.per_pair))

    def answers(self, clusters: Clusters, count: int, generator: np.random.Generator) -> np.ndarray:
        """Wins of so many judgements, [count, n]: 1, 0, or 1/2 for a tie."""
        of_raters = generator.normal(size=(count, self.raters)) * self.of_raters
        of_prompts = generator.normal(size=(count, self.prompts)) * self.of_prompts
        logits = self.preference + of_raters[:, clusters.raters] + of_prompts[:, clusters.prompts]
        wins = generator.random(logits.shape) < expit(logits)
        return np.where(generator.random(logits.shape) < self.ties, 0.5, wins.astype(float))
