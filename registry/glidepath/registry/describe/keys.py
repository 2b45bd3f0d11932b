"""What glidepath's own parts say to one another, by key; plugins may agree upon others between themselves."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Key:
    """A key of `Component.provides` and `Component.needs`. value: what stands under it. by: who says it."""

    value: str
    by: str


KEYS: Mapping[str, Key] = {
    "schedule.num_steps": Key("how many timesteps there are", "schedules"),
    "schedule.continuous": Key("true in continuous time, where there are no timesteps", "schedules"),
    "schedule.rescale_timesteps": Key("whether the denoiser receives t * 1000 / N", "schedules"),
    "schedule.time": Key(
        "what the denoiser receives. `t`; `log-ratio`: log(sigma / alpha) / 4; `log-sigma`: the same, and "
        "alpha is 1",
        "schedules",
    ),
    "schedule.zero_terminal_snr": Key("true where the last timestep is noise alone", "schedules"),
    "text.width": Key("of a text's token vectors", "text encoders"),
    "text.pooled": Key("width of a text's pooled vector", "text encoders"),
    "condition.NAME": Key("true where such a condition is made: `condition.palette`", "conditioners"),
    "reads.NAME": Key("true where such a condition is read: `reads.palette`", "denoisers"),
    "text.context": Key("how many tokens of a prompt are read", "text encoders"),
    "image.channels": Key("of the x that a denoiser makes: an image, or a codec's latent", "denoisers"),
    "image.size": Key("of each side of that x", "denoisers"),
    "pixels.size": Key("`image.size` times `codec.factor`: of the images", "nobody: it is worked out"),
    "codec.channels": Key("of its x_0; equal to `image.channels`", "codecs"),
    "codec.factor": Key("how many pixels along each side one position of x_0 stands for", "codecs"),
    "handover.latent": Key("whether latents are handed over, and not images", "handovers"),
    "handover.level": Key("the sigma / alpha at which the stage before stops half way", "handovers"),
    "codec.bounded": Key("whether x_0 lies within [-1, 1]: samplers clip it then", "codecs"),
    "image.upsamples": Key("whether it starts from a low-resolution image", "denoisers"),
    "prediction.kind": Key("`epsilon`, `sample`, `velocity` or `flow`", "denoisers"),
    "prediction.learned_variance": Key("whether a variance is predicted too", "denoisers"),
    "labels.null": Key("whether it has a class label that stands for none", "denoisers that read labels"),
    "sampler.order": Key("its order of convergence; 1 where it does not say", "samplers"),
    "guidance.weight": Key(
        "whether it can be scaled by step, as `interval` and `scale-schedule` do", "guidances"
    ),
    "guidance.unguided": Key("whether it keeps the prediction before it, which `rescale` needs", "guidances"),
    "data.channels": Key("of the images of a dataset", "datasets"),
    "data.size": Key("of the images of a dataset", "datasets"),
    "data.facts": Key("whether it knows what its captions say", "datasets"),
    "metric.whole_set": Key("whether it gives one number for all images of a trial", "metrics"),
    "metric.given": Key("whether the spec decides it, and no chance: it is shown, and not tested", "metrics"),
    "metric.per_prompt": Key("how many images of each prompt it needs; 1 where it does not say", "metrics"),
    "metric.prompts": Key("some texts that it can judge, where those of the tests are none", "metrics"),
}
