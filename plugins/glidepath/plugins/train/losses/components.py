"""The descriptors of weightings and timestep densities. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from glidepath.registry import Component, Kind

if TYPE_CHECKING:
    from glidepath.plugins.train.losses.configs import ShiftedConfig

_HERE = "glidepath.plugins.train.losses"

KINDS = (
    Kind(
        name="weighting",
        interface=f"{_HERE}.weighting:Weighting",
        summary="how much the error of each noise level counts in training",
        sampling=False,
    ),
    Kind(
        name="timestep_density",
        interface=f"{_HERE}.density:TimestepDensity",
        summary="how often each timestep is trained",
        sampling=False,
    ),
)


def _shifted_faults(config: ShiftedConfig) -> Sequence[tuple[str, str]]:
    from glidepath.plugins.train.losses.configs import shifted_faults

    return shifted_faults(config)


def objectives() -> Iterable[Component]:
    """What a loss is made of."""
    return (
        Component(
            kind="weighting",
            name="simple",
            target=f"{_HERE}.weighting:SimpleWeighting",
            summary="none: the error of what is predicted",
            references=('Ho et al. 2020, "Denoising Diffusion Probabilistic Models", equation 14',),
        ),
        Component(
            kind="weighting",
            name="min-snr",
            target=f"{_HERE}.weighting:MinSnrWeighting",
            config=f"{_HERE}.configs:MinSnrConfig",
            summary="the error of x_0 by its signal-to-noise ratio, up to a bound",
            references=(
                'Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting", arXiv:2303.09556',
            ),
        ),
        Component(
            kind="weighting",
            name="p2",
            target=f"{_HERE}.weighting:P2Weighting",
            config=f"{_HERE}.configs:P2Config",
            summary="less where only details are left to learn",
            references=(
                'Choi et al. 2022, "Perception Prioritized Training of Diffusion Models", arXiv:2204.00227',
            ),
        ),
        Component(
            kind="weighting",
            name="edm",
            target=f"{_HERE}.weighting:EdmWeighting",
            config=f"{_HERE}.configs:EdmWeightingConfig",
            summary="the error of EDM's network counts alike at every noise level",
            references=(
                'Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", '
                "arXiv:2206.00364, table 1",
            ),
        ),
        Component(
            kind="weighting",
            name="edm2",
            target=f"{_HERE}.weighting:Edm2Weighting",
            config=f"{_HERE}.configs:Edm2WeightingConfig",
            summary="EDM's, over how uncertain the network is at each noise level, which is learned",
            references=(
                'Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", '
                "arXiv:2312.02696, equation 21",
            ),
        ),
        Component(
            kind="timestep_density",
            name="uniform",
            target=f"{_HERE}.density:UniformDensity",
            summary="every timestep as often",
            references=('Ho et al. 2020, "Denoising Diffusion Probabilistic Models", algorithm 1',),
        ),
        Component(
            kind="timestep_density",
            name="logit-normal",
            target=f"{_HERE}.density:LogitNormalDensity",
            config=f"{_HERE}.configs:NormalConfig",
            summary="mostly the middle of the times, as Stable Diffusion 3",
            references=(
                'Esser et al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206, equation 19',
            ),
        ),
        Component(
            kind="timestep_density",
            name="log-normal",
            target=f"{_HERE}.density:LogNormalDensity",
            config=f"{_HERE}.configs:LogNormalConfig",
            summary="sigma / alpha is log-normal, as in EDM",
            references=(
                'Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", '
                "arXiv:2206.00364, table 1",
            ),
        ),
        Component(
            kind="timestep_density",
            name="shifted",
            target=f"{_HERE}.density:ShiftedDensity",
            config=f"{_HERE}.configs:ShiftedConfig",
            summary="another one with more noise: by a factor, or as the size of x_0 asks for",
            check=_shifted_faults,
            example={"shift": 3.0},
            references=(
                'Hoogeboom et al. 2023, "simple diffusion", arXiv:2301.11093, equation 4',
                'Esser et al. 2024, "Scaling Rectified Flow Transformers", arXiv:2403.03206, equation 23',
            ),
        ),
        Component(
            kind="timestep_density",
            name="stratified",
            target=f"{_HERE}.density:StratifiedDensity",
            config=f"{_HERE}.configs:AroundConfig",
            summary="another one, spread evenly over each batch",
            references=(
                'Kingma et al. 2021, "Variational Diffusion Models", arXiv:2107.00630, appendix I.1',
            ),
        ),
        Component(
            kind="timestep_density",
            name="importance-sampled",
            target=f"{_HERE}.density:ImportanceDensity",
            config=f"{_HERE}.configs:ImportanceConfig",
            summary="timesteps as often as their loss is large, weighted back",
            references=('Nichol & Dhariwal 2021, "Improved DDPM", arXiv:2102.09672, equation 18',),
        ),
    )
