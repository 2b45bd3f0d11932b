"""Guidance by the gradient of a classifier."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from glidepath.core import Bind, Conditioning, Guidance, PartError, Predict, Prediction, Step
from glidepath.plugins.adm.classifier import Classifier
from glidepath.plugins.adm.classifier_config import ClassifierGuidanceConfig


class ClassifierGuidance(Guidance):
    """gradient += scale grad_x log p(label given x_t) (Dhariwal & Nichol 2021, algorithms 1 and 2).

    The gradient is taken through the classifier alone, at x_t, in float32, whatever the denoiser runs in.
    Labels are those of the conditioning, which a denoiser without classes does not read; where it has none,
    the configuration's label.

    Raises:
        PartError: the configuration's label is none of the classifier's.
    """

    differentiates = True
    scales_by_step = True
    reads = frozenset({"labels"})

    def __init__(self, config: ClassifierGuidanceConfig, *, classifier: Classifier) -> None:
        if config.label is not None and config.label >= classifier.num_classes:
            last = classifier.num_classes - 1
            raise PartError(f"label {config.label} is out of range: this classifier has classes 0 to {last}")
        self.config = config
        self.classifier = classifier
        self.num_classes = classifier.num_classes

    def networks(self) -> Mapping[str, nn.Module]:
        """The classifier."""
        return {"classifier": self.classifier}

    def __call__(self, bind: Bind) -> Bind:
        """Wrap `bind`."""
        if self.config.scale == 0:
            return bind

        def bound(conditioning: Conditioning) -> Predict:
            labels = self._labels(conditioning)
            predict = bind(conditioning)

            def guided(x: Tensor, step: Step) -> Prediction:
                prediction = predict(x, step)
                scale = self.weight_at(step) * self.config.scale
                if scale == 0:
                    return prediction
                return prediction.with_gradient(scale * self.gradient(x, step.t.expand(len(x)), labels))

            return guided

        return bound

    def gradient(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """The gradient of sum_i log p(labels_i given x_i) with respect to x, of the shape of x.

        x: [B, C, *spatial]; t: [B] timesteps as the denoiser receives them; labels: [B] int64.
        """
        with torch.enable_grad():
            free = x.detach().float().requires_grad_(True)
            log_p = self.classifier(free, t).float().log_softmax(dim=-1)
            chosen = log_p.gather(1, labels[:, None]).sum()
            return torch.autograd.grad(chosen, free)[0]

    def _labels(self, conditioning: Conditioning) -> Tensor:
        if (labels := conditioning.get("labels")) is not None:
            return labels
        if self.config.label is None:
            raise PartError(
                "classifier guidance needs class labels: give them to the pipeline, or set label for a class "
                "that all images are to have"
            )
        device = next(self.classifier.parameters()).device
        return torch.full((conditioning.batch,), self.config.label, device=device)
