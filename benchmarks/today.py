"""A step of a model of today in glidepath, beside one in diffusers' own pipeline: one network, two loops.

    pip install -c constraints.txt -e ".[bench,diffusers]"
    OMP_NUM_THREADS=1 python benchmarks/today.py

Networks of diffusers with random weights and 32x32 latents, as images of 256x256 pixels have:

UNet         27 M parameters, like Stable Diffusion 1.5's; 77 tokens of text
ControlNet   the same, with a ControlNet of its own shape
transformer  36 M parameters, like PixArt-alpha's; 120 tokens of text
PixArt-Sigma four layers, each as wide as one of its 28, and its 300 tokens of text

One image, DDIM with classifier-free guidance, so two rows a step; the attention is torch's in both. Each
pipeline has a network of its own with the same weights. The loops take turns step by step, so that what else
the machine does falls on both alike; their first steps, in which things are prepared, are left out.

ms/step     median over all steps
of theirs   glidepath's step over diffusers' step beside it; the median and the middle half of all pairs
difference  of the last latents from the same noise, the largest over their standard deviation

diffusers' UNet is measured in its own memory layout and in channels_last, which glidepath has.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import diffusers
import torch
from ours import GivenNoise
from timing import Clock, machine, read_options, replaced
from torch import Tensor

from glidepath.core import Condition, Conditioner, Pipeline, TextEmbedding
from glidepath.registry import assemble

SCALE = 4.5


@attrs.frozen(kw_only=True)
class Model:
    """A network of diffusers and its pipeline there.

    text: positions and width of the text that it reads. masked: whether the text has a mask.
    layouts: memory formats that diffusers' network is measured in. control: whether it has a ControlNet.
    """

    network: str
    config: Mapping[str, Any]
    pipeline: Callable[[Any, Any], Any]
    text: tuple[int, int]
    masked: bool
    layouts: Mapping[str, torch.memory_format]
    control: bool = False


def _stable_diffusion(network: Any, scheduler: Any, **more: Any) -> Any:
    kind = diffusers.StableDiffusionControlNetPipeline if more else diffusers.StableDiffusionPipeline
    return kind(
        **more,
        vae=diffusers.AutoencoderKL(),
        text_encoder=None,
        tokenizer=None,
        unet=network,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _pixart(network: Any, scheduler: Any) -> Any:
    return diffusers.PixArtAlphaPipeline(
        vae=diffusers.AutoencoderKL(),
        text_encoder=None,
        tokenizer=None,
        transformer=network,
        scheduler=scheduler,
    )


UNET = {
    "sample_size": 32,
    "block_out_channels": (96, 192, 256),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
MODELS = {
    "UNet": Model(
        network="UNet2DConditionModel",
        config=UNET,
        pipeline=_stable_diffusion,
        text=(77, 768),
        masked=False,
        layouts={
            "diffusers": torch.contiguous_format,
            "diffusers, channels_last": torch.channels_last,
        },
    ),
    "ControlNet": Model(
        network="UNet2DConditionModel",
        config=UNET,
        pipeline=_stable_diffusion,
        text=(77, 768),
        masked=False,
        layouts={"diffusers, channels_last": torch.channels_last},
        control=True,
    ),
    "transformer": Model(
        network="PixArtTransformer2DModel",
        config={
            "sample_size": 32,
            "patch_size": 2,
            "in_channels": 4,
            "out_channels": 8,
            "num_layers": 8,
            "attention_head_dim": 64,
            "num_attention_heads": 8,
            "cross_attention_dim": 512,
            "caption_channels": 1024,
            "use_additional_conditions": False,
        },
        pipeline=_pixart,
        text=(120, 1024),
        masked=True,
        layouts={"diffusers": torch.contiguous_format},
    ),
    "PixArt-Sigma": Model(
        network="PixArtTransformer2DModel",
        config={
            "sample_size": 32,
            "patch_size": 2,
            "in_channels": 4,
            "out_channels": 8,
            "num_layers": 4,
            "attention_head_dim": 72,
            "num_attention_heads": 16,
            "cross_attention_dim": 1152,
            "caption_channels": 64,  # not 4096: its share is to be that beside 28 layers
            "use_additional_conditions": False,
        },
        pipeline=_pixart,
        text=(300, 64),
        masked=True,
        layouts={"diffusers": torch.contiguous_format},
    ),
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "timestep_spacing": "trailing",
    "steps_offset": 1,  # trailing does not read it; without it diffusers warns
}


class Given(Conditioner):
    """A condition that was made beforehand."""

    def __init__(self, name: str, condition: Condition) -> None:
        super().__init__()
        self.makes = frozenset({name})
        self.given = {name: condition}

    def conditions(self, *_: object) -> Mapping[str, Condition]:
        """It, whatever is asked for."""
        return self.given


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = read_options(arguments, __doc__, list(MODELS), steps=20, rounds=3, of="DDIM", least_steps=4)
    torch.set_num_threads(options.threads)
    clock: Clock = time.thread_time if options.clock == "cpu" else time.perf_counter
    report: dict[str, Any] = {
        "machine": {"diffusers": diffusers.__version__, **machine(options)},
        "models": {},
    }
    print("  ".join(f"{name} {value}" for name, value in report["machine"].items()))
    heads = f"{'M parameters':>13}{'ms/step':>9}{'theirs':>9}{'of theirs':>11}{'middle half':>15}"
    print(f"\n{'':40}{heads}{'difference':>12}")
    for name in options.models:
        for layout, memory_format in MODELS[name].layouts.items():
            print(f"{name} beside {layout}", file=sys.stderr)
            measured = _measure(MODELS[name], memory_format, options, clock)
            report["models"].setdefault(name, {})[layout] = measured
            low, high = measured["middle_half"]
            print(
                f"{f'{name}, beside {layout}':40}{measured['parameters'] / 1e6:>13.1f}"
                f"{1e3 * measured['ours']:>9.1f}{1e3 * measured['theirs']:>9.1f}{measured['ratio']:>11.3f}"
                f"{f'{low:.3f}-{high:.3f}':>15}{measured['difference']:>12.1e}"
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(
    model: Model, memory_format: torch.memory_format, options: argparse.Namespace, clock: Clock
) -> dict[str, Any]:
    torch.manual_seed(0)
    network = getattr(diffusers, model.network)(**model.config).eval().requires_grad_(False)
    both = torch.randn(2, *model.text)
    texts = [TextEmbedding(None, row, _mask(row) if model.masked else None) for row in both[:, None]]
    scheduler = diffusers.DDIMScheduler(**SCHEDULER)
    control, picture = _control(network) if model.control else (None, None)
    ours = _ours(network, texts, options.steps, control, picture)
    network.to(memory_format=memory_format)
    more = {} if control is None else {"controlnet": control.to(memory_format=memory_format)}
    theirs = model.pipeline(network, scheduler, **more)
    theirs.set_progress_bar_config(disable=True)
    noise = torch.randn(1, *ours.denoiser.image_shape)
    pairs: list[tuple[float, float]] = []
    for _ in range(options.rounds):
        taken, ends = _walk(ours, theirs, texts, noise, options.steps, clock, picture)
        pairs += taken
    ratios = [our / their for our, their in pairs]
    quarters = statistics.quantiles(ratios, n=4)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "ours": statistics.median(our for our, _ in pairs),
        "theirs": statistics.median(their for _, their in pairs),
        "ratio": statistics.median(ratios),
        "middle_half": (quarters[0], quarters[2]),
        "difference": ((ends[0] - ends[1]).abs().max() / ends[1].std()).item(),
    }


def _control(network: Any) -> tuple[Any, Tensor]:
    """A ControlNet of a UNet, with a say, and a picture [1, 3, H, W] in [0, 1] for it."""
    control = diffusers.ControlNetModel.from_unet(network).eval().requires_grad_(False)
    for parameter in control.parameters():
        if not parameter.any():  # what joins the UNet is zero before training
            torch.nn.init.normal_(parameter, std=0.01)
    return control, torch.rand(1, 3, *(8 * side for side in [network.config.sample_size] * 2))


def _ours(
    network: Any,
    texts: Sequence[TextEmbedding],
    steps: int,
    control: Any = None,
    picture: Tensor | None = None,
) -> Pipeline:
    """The pipeline that a spec of the network makes, with its weights, and with conditions that are given."""
    with TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        controls: list[Mapping[str, Any]] = []
        if control is not None:
            beside = f"{folder}/control"
            control.save_pretrained(beside)
            controls = [{"use": "controlnet", "config": f"{beside}/config.json", "weights": beside}]
        vae = f"{folder}/vae"
        diffusers.AutoencoderKL(block_out_channels=[32]).save_pretrained(vae)
        spec = {
            "schedule": {"use": "quadratic", "beta_start": 0.00085, "beta_end": 0.012, "num_steps": 1000},
            "denoiser": {
                "use": "diffusers-network",
                "config": f"{folder}/config.json",
                "weights": f"{folder}/diffusion_pytorch_model.safetensors",
                "controls": controls,
            },
            "sampler": {"use": "ddim", "steps": f"trailing{steps}"},
            "codec": {"use": "autoencoder", "config": f"{vae}/config.json", "weights": vae},
            "text_encoder": {"use": "zero-text", "width": texts[0].tokens.shape[-1]},
            "guidance": [{"use": "classifier-free", "scale": SCALE}],
            "conditioners": [{"use": "control-picture"}] if controls else [],
            "runtime": {"device": "cpu", "dtype": "float32"},
        }
        built = assemble(spec)
    return Pipeline(
        schedule=built.schedule,
        denoiser=built.denoiser,
        sampler=built.sampler,
        conditioners=[
            Given("text", Condition(*texts)),
            *([] if picture is None else [Given("control", Condition(picture))]),
        ],
        guidance=built.guidance,
        codec=built.codec,
    )


def _mask(tokens: Tensor) -> Tensor:
    """All but the last 20 tokens."""
    return torch.arange(tokens.shape[1])[None] < tokens.shape[1] - 20


def _walk(
    ours: Pipeline,
    theirs: Any,
    texts: Sequence[TextEmbedding],
    noise: Tensor,
    steps: int,
    clock: Clock,
    picture: Tensor | None,
) -> tuple[list[tuple[float, float]], tuple[Tensor, Tensor]]:
    """Seconds of our and of their step, without the first, and where both end."""
    states = ours.states([""], noise=GivenNoise(noise))
    pairs: list[tuple[float, float]] = []
    x, began = noise, 0.0
    plain = theirs.scheduler.step

    def step(*args: Any, **kwargs: Any) -> Any:
        """The scheduler's step ends one of theirs; one of ours follows."""
        nonlocal x, began
        result = plain(*args, **kwargs)
        theirs_ended = clock()
        x = next(states).x
        ended = clock()
        pairs.append((ended - theirs_ended, theirs_ended - began))
        began = clock()
        return result

    given: dict[str, Any] = {"prompt_embeds": texts[0].tokens, "negative_prompt_embeds": texts[1].tokens}
    if picture is not None:
        given["image"] = picture
    if texts[0].mask is not None:
        given |= {
            "prompt": None,
            "negative_prompt": None,
            "prompt_attention_mask": texts[0].mask,
            "negative_prompt_attention_mask": texts[1].mask,
            "use_resolution_binning": False,
        }
    with replaced(theirs.scheduler, "step", step):
        end = theirs(
            num_inference_steps=steps, guidance_scale=SCALE, latents=noise, output_type="latent", **given
        ).images
    return pairs[1:], (x, end)


if __name__ == "__main__":
    sys.exit(main())
