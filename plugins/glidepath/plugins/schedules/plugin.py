"""What this plugin supplies. Imports no torch, and the parameters of a part only where it is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from glidepath.registry import Component, Need, hookimpl

if TYPE_CHECKING:
    from glidepath.plugins.schedules.configs import (
        ConstantConfig,
        CosineConfig,
        EdmConfig,
        FlowConfig,
        LinearConfig,
        QuadraticConfig,
        WarmUpConfig,
    )

    _ScheduleConfig = LinearConfig | CosineConfig | QuadraticConfig | ConstantConfig | WarmUpConfig


_WITHOUT_SIGNAL = ("velocity", "sample", "flow")
"""What a denoiser can predict where x_t is noise alone."""


def _noise_alone(config: _ScheduleConfig) -> str:
    """The parameter by which the last timestep is noise alone (alpha is 0 there); "" where it is not."""
    if config.zero_terminal_snr:
        return "zero_terminal_snr"
    ends = {name: getattr(config, name, 0) for name in ("beta_end", "max_beta", "beta")}
    if ends["beta_end"] is None:  # of the linear schedule: 20 / N
        return "num_steps" if config.num_steps == 20 else ""
    return next((name for name, beta in ends.items() if beta == 1), "")


def _provides_steps(config: _ScheduleConfig) -> dict[str, object]:
    return {
        "schedule.num_steps": config.num_steps,
        "schedule.rescale_timesteps": config.rescale_timesteps,
        "schedule.time": config.time,
        "schedule.zero_terminal_snr": bool(_noise_alone(config)),
    }


def _needs_signal(config: _ScheduleConfig) -> dict[str, Need]:
    field = _noise_alone(config)
    if not field:
        return {}
    why = "where x_t is noise alone, its epsilon says nothing of the image"
    return {"prediction.kind": Need(value=_WITHOUT_SIGNAL, field=field, why=why, optional=True)}


def _faults(config: _ScheduleConfig) -> list[tuple[str, str]]:
    """A beta of 1 is the last one alone: after it there is nothing left of the image, nor a log-ratio."""
    if config.time != "t" and (config.rescale_timesteps or config.zero_terminal_snr):
        why = "t is not given" if config.rescale_timesteps else "it is infinite where x_t is noise alone"
        return [("time", f"time: {config.time} does not go with the rest: {why}")]
    stays = {"beta": config.num_steps > 1, "beta_end": getattr(config, "share", 1) < 1, "beta_start": True}
    return [
        (name, f"{name} is 1 before the last timestep, after which there is nothing left of the image")
        for name, is_early in stays.items()
        if is_early and getattr(config, name, 0) == 1
    ]


def _provides_flow(_config: FlowConfig) -> dict[str, object]:
    return {"schedule.continuous": True, "schedule.zero_terminal_snr": True}


def _needs_of_flow(_config: FlowConfig) -> dict[str, Need]:
    why = "where the flow begins x_t is noise alone, and epsilon says nothing of the image"
    return {"prediction.kind": Need(value=_WITHOUT_SIGNAL, why=why, optional=True)}


def _faults_of_flow(config: FlowConfig) -> list[tuple[str, str]]:
    if config.dynamic != "none" and config.shift != 1:
        return [("shift", "the shift is decided by the size of the latent, as `dynamic` says")]
    if config.max_tokens <= config.base_tokens:
        return [("max_tokens", f"max_tokens must be above base_tokens, {config.base_tokens}")]
    return []


def _provides_edm(_config: EdmConfig) -> dict[str, object]:
    return {
        "schedule.continuous": True,
        "schedule.time": "log-sigma",
        "schedule.zero_terminal_snr": False,
    }


def _faults_of_edm(config: EdmConfig) -> list[tuple[str, str]]:
    if config.sigma_min < config.sigma_max:
        return []
    return [("sigma_min", f"sigma_min must be below sigma_max, {config.sigma_max:g}")]


_DDPM = 'Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239'
_IMPROVED = 'Nichol & Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models", arXiv:2102.09672'
_LATENT = (
    'Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models", arXiv:2112.10752'
)
_ZERO = (
    'Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", arXiv:2305.08891, '
    "algorithm 1 (zero_terminal_snr)"
)
_HERE = "glidepath.plugins.schedules"


def _schedule(name: str, target: str, summary: str, *references: str) -> Component:
    """The schedule of a class XSchedule, whose parameters are XConfig."""
    return Component(
        kind="schedule",
        name=name,
        target=f"{_HERE}.{target}",
        config=f"{_HERE}.configs:{target.partition(':')[2].removesuffix('Schedule')}Config",
        summary=summary,
        provides=_provides_steps,
        needs=_needs_signal,
        check=_faults,
        references=(*references, _ZERO),
    )


@hookimpl
def components() -> Iterable[Component]:
    """The schedules."""
    return (
        _schedule(
            "linear",
            "betas:LinearSchedule",
            "betas that grow linearly (DDPM, ADM at 128 pixels and more, GLIDE's upsampler)",
            f"{_DDPM}, section 4",
        ),
        _schedule(
            "cosine",
            "cosine:CosineSchedule",
            "alpha_bar that falls as a squared cosine (GLIDE's base model, ADM at 64 pixels)",
            f"{_IMPROVED}, equation 17",
        ),
        _schedule(
            "quadratic",
            "betas:QuadraticSchedule",
            "betas whose root grows linearly (Stable Diffusion, where it is called scaled linear)",
            f"{_DDPM}, the program published with it",
            f"{_LATENT}, the same",
        ),
        _schedule(
            "constant",
            "betas:ConstantSchedule",
            "betas that are all the same",
            f"{_DDPM}, the program published with it",
        ),
        _schedule(
            "warm-up",
            "betas:WarmUpSchedule",
            "betas that grow linearly, and then stay",
            f"{_DDPM}, the program published with it",
        ),
        Component(
            kind="schedule",
            name="flow",
            target=f"{_HERE}.flow:FlowSchedule",
            config=f"{_HERE}.configs:FlowConfig",
            summary="the straight path, in continuous time (Stable Diffusion 3, Flux)",
            provides=_provides_flow,
            needs=_needs_of_flow,
            check=_faults_of_flow,
            references=(
                'Liu et al. 2023, "Flow Straight and Fast", arXiv:2209.03003, equation 1',
                'Esser et al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206, equation 23',
            ),
        ),
        Component(
            kind="schedule",
            name="edm",
            target=f"{_HERE}.edm:EdmSchedule",
            config=f"{_HERE}.configs:EdmConfig",
            summary="noise that grows while the image stays, in continuous time (EDM, EDM2)",
            provides=_provides_edm,
            check=_faults_of_edm,
            references=(
                'Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", '
                "arXiv:2206.00364, equation 5 and table 1",
            ),
        ),
    )
