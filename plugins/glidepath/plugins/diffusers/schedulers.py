"""The schedulers of diffusers in the words of glidepath: schedule, sampler, prediction. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from glidepath.core import GlidepathError

_TRAINING = {"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
_PREDICTIONS = {
    "epsilon": "epsilon",
    "sample": "sample",
    "original_sample": "sample",
    "v_prediction": "velocity",
    "flow_prediction": "flow",
}
_SPACED = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
}
_UNKNOWN = (
    "use_beta_sigmas",
    "use_lu_lambdas",
    "thresholding",
    "invert_sigmas",
    "trained_betas",
    "euler_at_final",
    "disable_corrector",
)
"""What glidepath has not, or has elsewhere: it is told where a scheduler asks for it."""


@attrs.frozen
class Walk:
    """How a folder's pipeline walks from noise to image.

    schedule, sampler: parts of a spec. predicts: of the denoiser. notes: what is not as in the folder.
    clips: whether it clips what is predicted.
    """

    schedule: Mapping[str, Any]
    sampler: Mapping[str, Any]
    predicts: str
    notes: tuple[str, ...]
    clips: bool = False


def read_scheduler(
    config: Mapping[str, Any], steps: int, *, corrected: bool = False, grid: str = "flow-match-euler"
) -> Walk:
    """The walk of a scheduler_config.json, of so many steps.

    corrected: of the first Stable Diffusion pipelines, which put right what old files say of the offset of
        the timesteps and of clipping.
    grid: of a flow: where its steps begin, as the schedule `flow` has it.

    Raises:
        GlidepathError: it has betas of its own, or of an unknown form.
    """
    name = str(config.get("_class_name", "")).removesuffix("Scheduler")
    if name.startswith("FlowMatch"):
        return _flow(name, config, steps, grid)
    read, defaults = _SCHEDULERS.get(name, (_euler, {}))
    given = {**_TRAINING, **defaults, **config}
    if corrected:
        given |= {"steps_offset": 1, "clip_sample": False}
    notes = [f"{name} sets {key}, which is left out" for key in _UNKNOWN if given.get(key)]
    if name not in _SCHEDULERS:
        notes.append(f"the scheduler {name or 'without a name'} is not known: euler stands in its place")
    sampler = {key: value for key, value in read(given, steps).items() if value is not None}
    if given.get("use_flow_sigmas"):
        grids = {"DPMSolverMultistep": "dpm-solver", "UniPCMultistep": "unipc"}
        flow = {"use": "flow", "shift": given.get("flow_shift", 1.0), "grid": grids.get(name, grid)}
        return Walk(flow, {**sampler, "steps": steps, "start": "noise"}, "flow", tuple(notes))
    for key, spaced in _SPACED.items():
        if given.get(key):
            sampler |= _spaced(name, spaced, steps)
    return Walk(
        read_schedule(given), sampler, _prediction(given), tuple(notes), bool(given.get("clip_sample"))
    )


def read_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule of a scheduler_config.json that has betas.

    Raises:
        GlidepathError: it has betas of its own, or of an unknown form.
    """
    given = {**_TRAINING, **config}
    betas = {"beta_start": given["beta_start"], "beta_end": given["beta_end"]}
    forms = {
        "linear": {"use": "linear", **betas},
        "scaled_linear": {"use": "quadratic", **betas},
        "squaredcos_cap_v2": {"use": "cosine"},
    }
    form = forms.get(given["beta_schedule"])
    if form is None or given.get("trained_betas"):
        raise GlidepathError(
            f"the scheduler has betas that no schedule here makes ({given['beta_schedule']}); known are "
            f"{', '.join(forms)}"
        )
    schedule = {**form, "num_steps": given["num_train_timesteps"]}
    if given.get("rescale_betas_zero_snr"):
        schedule["zero_terminal_snr"] = True
    return schedule


def _prediction(given: Mapping[str, Any]) -> str:
    kind = given.get("prediction_type", "epsilon")
    if kind not in _PREDICTIONS:
        raise GlidepathError(f"the scheduler's prediction_type {kind!r} is none of {', '.join(_PREDICTIONS)}")
    return _PREDICTIONS[kind]


def _flow(name: str, config: Mapping[str, Any], steps: int, grid: str) -> Walk:
    spacing = next((spaced for key, spaced in _SPACED.items() if config.get(key)), None)
    left = (*_UNKNOWN, "stochastic_sampling")
    notes = [f"{name} sets {key}, which is left out" for key in left if config.get(key)]
    sampler = {"use": "euler", "steps": steps, "start": "noise"}
    if name == "FlowMatchHeunDiscrete":
        sampler |= {"use": "heun", "slope": "flow"}
    elif name != "FlowMatchEulerDiscrete":
        notes.append(f"the scheduler {name} is not known: euler stands in its place")
    schedule: dict[str, Any] = {
        "use": "flow",
        "grid": grid,
        "time_scale": config.get("num_train_timesteps", 1000),
    }
    if config.get("use_dynamic_shifting"):
        schedule |= {
            "dynamic": config.get("time_shift_type", "exponential"),
            "base_shift": config.get("base_shift", 0.5),
            "max_shift": config.get("max_shift", 1.15),
            "base_tokens": config.get("base_image_seq_len", 256),
            "max_tokens": config.get("max_image_seq_len", 4096),
        }
    else:
        schedule["shift"] = config.get("shift", 1.0)
    if spacing:
        schedule["spacing"] = spacing
    if config.get("shift_terminal"):
        schedule["shift_terminal"] = config["shift_terminal"]
    return Walk(schedule, sampler, "flow", tuple(notes))


def _spacing(given: Mapping[str, Any], steps: int) -> Any:
    """Of schedulers that visit as many timesteps as there are steps."""
    if given.get("timestep_spacing") == "trailing":
        return f"trailing{steps}"
    if given.get("timestep_spacing") == "linspace":
        return steps
    return _leading(steps, given.get("steps_offset", 0))


def _leading(steps: int, offset: int) -> str:
    return f"leading{steps}+{offset}" if offset else f"leading{steps}"


def _solver_spacing(given: Mapping[str, Any], steps: int) -> Any:
    """Of DPM-Solver and UniPC, whose last point is the end of sampling."""
    if given.get("timestep_spacing") == "trailing":
        return f"trailing{steps}"
    if given.get("timestep_spacing") == "leading":
        stride, offset = given["num_train_timesteps"] // (steps + 1), given.get("steps_offset", 0)
        return [index * stride + offset for index in range(1, steps + 1)]
    return f"uniform{steps}"


def _ddim(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    end = None if given["set_alpha_to_one"] else "first"
    # the noise that is kept where x_0 is clipped is the predicted one there
    epsilon = "predicted" if given.get("clip_sample") else None
    return {"use": "ddim", "steps": _spacing(given, steps), "epsilon": epsilon, "end": end}


def _ddpm(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    variance = {"fixed_small": "fixed-small", "fixed_large": "fixed-large", "learned_range": "learned-range"}
    chosen = variance.get(given.get("variance_type", "fixed_small"))
    return {"use": "ddpm", "steps": _spacing(given, steps), "variance": chosen}


def _pndm(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    return {
        "use": "pndm",
        "steps": _spacing(given, steps),
        "warm_up": "heun" if given["skip_prk_steps"] else None,
        "end": None if given["set_alpha_to_one"] else "first",
    }


def _euler(given: Mapping[str, Any], steps: int, use: str = "euler") -> dict[str, Any]:
    linspace = given.get("timestep_spacing") == "linspace"
    leading = given.get("timestep_spacing") == "leading"
    return {
        "use": use,
        "steps": _spacing(given, steps),
        "sigmas": "time" if linspace else None,
        "end": "first" if given.get("final_sigmas_type") == "sigma_min" else None,
        "start": None if leading else "sigma_max",
    }


def _euler_ancestral(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    return _euler(given, steps, "euler-ancestral")


def _heun(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    return _euler(given, steps, "heun")


def _dpmpp(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    kind = str(given.get("algorithm_type", "dpmsolver++"))
    order = given.get("solver_order", 2)
    use = "dpmpp-2m-sde" if kind.startswith("sde-") else "dpmpp-3m" if order == 3 else "dpmpp-2m"
    return {
        "use": use,
        "steps": _solver_spacing(given, steps),
        "solver": given.get("solver_type"),
        "lower_order_final": None if given.get("lower_order_final", True) else False,
        "end": "first" if given.get("final_sigmas_type") == "sigma_min" else None,
    }


def _unipc(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    return {
        "use": "unipc",
        "steps": _solver_spacing(given, steps),
        "order": given.get("solver_order", 2),
        "solver": given.get("solver_type"),
        "predict_x0": None if given.get("predict_x0", True) else False,
        "end": "first" if given.get("final_sigmas_type") == "sigma_min" else None,
    }


def _spaced(name: str, spaced: str, steps: int) -> dict[str, Any]:
    """Solvers space the levels between the ends of the whole table, and round the times."""
    if name in ("DPMSolverMultistep", "UniPCMultistep"):
        return {"sigmas": spaced, "steps": steps, "timesteps": "rounded"}
    return {"sigmas": spaced}


_Read = Callable[[Mapping[str, Any], int], Mapping[str, Any]]
_SCHEDULERS: Mapping[str, tuple[_Read, Mapping[str, Any]]] = {
    "DDIM": (_ddim, {"timestep_spacing": "leading", "set_alpha_to_one": True, "clip_sample": True}),
    "DDPM": (_ddpm, {"timestep_spacing": "leading", "clip_sample": True}),
    "PNDM": (_pndm, {"timestep_spacing": "leading", "set_alpha_to_one": False, "skip_prk_steps": False}),
    "EulerDiscrete": (_euler, {"timestep_spacing": "linspace"}),
    "EulerAncestralDiscrete": (_euler_ancestral, {"timestep_spacing": "linspace"}),
    "HeunDiscrete": (_heun, {"timestep_spacing": "linspace"}),
    "DPMSolverMultistep": (_dpmpp, {"timestep_spacing": "linspace"}),
    "UniPCMultistep": (_unipc, {"timestep_spacing": "linspace"}),
}
"""How each is read, and what it has where its file is silent."""
