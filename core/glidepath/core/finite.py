"""Numbers that are none, NaN or infinite: weights that do not fit a precision, and what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from glidepath.core.denoiser import Predict
from glidepath.core.errors import Diverged, PartError
from glidepath.core.levels import Step
from glidepath.core.prediction import Prediction

_WIDER = {torch.float16: "bfloat16 or float32", torch.bfloat16: "float32"}
_MOST_NAMES = 5


def require_finite(tensors: Mapping[str, Tensor], of: str) -> None:
    """Refuse tensors that became infinite when they were cast to a narrower precision.

    of: whose they are, for the message.

    Raises:
        PartError: some hold NaN or infinite values; it says how many, and which precision would hold them.
    """
    told = {
        name: value
        for name, value in tensors.items()
        if value.is_floating_point() and value.numel() and not value.is_meta
    }
    broken = [name for name, finite in zip(told, _all_finite(list(told.values())), strict=True) if not finite]
    if not broken:
        return
    counts = {name: told[name].numel() - int(told[name].isfinite().sum()) for name in broken}
    listed = [f"{name} ({counts[name]} of {told[name].numel()})" for name in broken[:_MOST_NAMES]]
    more = f", and {len(broken) - _MOST_NAMES} more" if len(broken) > _MOST_NAMES else ""
    dtype, total = told[broken[0]].dtype, sum(counts.values())
    wider = f"; {_WIDER[dtype]} holds larger ones" if dtype in _WIDER else ""
    raise PartError(
        f"{of}: {total} {'value does' if total == 1 else 'values do'} not fit {_name(dtype)}, which ends at "
        f"{torch.finfo(dtype).max:.3g}: {', '.join(listed)}{more}{wider}"
    )


def all_finite(value: Tensor) -> bool:
    """Whether no value of a tensor is NaN or infinite. Of one without memory nobody knows, and none is."""
    from torch._subclasses.fake_tensor import FakeTensor

    return value.is_meta or isinstance(value, FakeTensor) or _all_finite([value])[0]


class FiniteWatch:
    """Whether all that is predicted along a walk is finite. The device is asked once, at the end.

    Predictions are looked at, and not x alone: clipping makes an image of an infinite one.
    """

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._extremes: list[Tensor] = []

    def __call__(self, predict: Predict) -> Predict:
        """The same predictor, whose predictions are watched."""

        def watched(x: Tensor, step: Step) -> Prediction:
            prediction = predict(x, step)
            self._add(step.index + 1, prediction.value)
            return prediction

        return watched

    def require_finite(self, x: Tensor, total: int, dtype: torch.dtype) -> None:
        """Look at all predictions, and at x, the last of `total` states.

        Raises:
            Diverged: one is not finite; it names the step, the precision and another one to try.
        """
        self._add(total, x)
        finite = torch.stack(self._extremes).isfinite().view(-1, 2).all(1).tolist()
        wrong = [step for step, fine in zip(self._steps, finite, strict=True) if not fine]
        if wrong:
            wider = (
                f"try {_WIDER[dtype]}" if dtype in _WIDER else "look at the weights and at guidance scales"
            )
            raise Diverged(
                f"what was predicted at step {wrong[0]} of {total} is not finite (NaN or infinite) in "
                f"{_name(dtype)}, and there is no image; {wider}"
            )

    def _add(self, step: int, value: Tensor) -> None:
        self._steps.append(step)
        self._extremes += value.aminmax()


def _all_finite(tensors: Sequence[Tensor]) -> list[bool]:
    """Whether all of each tensor is finite; the device is asked once."""
    if not tensors:
        return []
    extremes = [torch.stack(_in_order(value.detach()).aminmax()).to(torch.float32) for value in tensors]
    found: list[bool] = torch.stack(extremes).isfinite().all(1).tolist()
    return found


def _in_order(value: Tensor) -> Tensor:
    """A tensor with its dimensions as they lie in memory: of any other, torch makes a copy to reduce it."""
    return value.permute(sorted(range(value.ndim), key=value.stride, reverse=True))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
