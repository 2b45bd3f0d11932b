"""The interfaces of the kinds `metric` and `engine`, and what passes through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from torch import Tensor

Direction = Literal["higher", "lower"]
"""What is better."""


@attrs.frozen(eq=False, kw_only=True)
class Drawn:
    """The images that one arm drew with one pair of seeds, and what it took.

    images: [N, 3, H, W] uint8, on the host; none for a metric whose descriptor provides `metric.reads`, the
        slots of the spec that it asks instead. prompts: N texts; the images of a prompt follow one another.
    per_prompt: how many images each prompt has.
    seconds: of drawing all N, without building the networks. peak_bytes: the most memory that was used at a
        time: of the GPU, or of the process where there is none.
    evaluations: of the denoiser for one image; two a step under classifier-free guidance.
    dataset: builds what the spec trains on, for metrics that look at real images; None where there is none.
    pipeline: builds the arm's pipeline, with its weights, for metrics that ask the networks themselves.
    seed: that they were drawn with. A metric that draws at random derives it from this one, which all arms
        share.
    """

    images: Tensor
    prompts: Sequence[str]
    per_prompt: int
    seconds: float
    peak_bytes: int
    evaluations: float
    dataset: Callable[[], Any] | None = None
    pipeline: Callable[[], Any] | None = None
    seed: int = 0


@runtime_checkable
class Metric(Protocol):
    """Judges images. It has one of two methods besides, and a study calls the first that is there:

        per_prompt(images, prompts): images [N, 3, H, W] uint8 and their N texts to N numbers, NaN where an
            image has no answer (a caption that says nothing of size). The mean over the images of a prompt is
            the prompt's score, and pairs are compared prompt by prompt.
        whole_set(drawn): one number for a `Drawn`, such as a distance between sets of images.

    name: in tables. direction: "higher" or "lower", whichever is better. unit: "share", "s", "" for none.
    """

    @property
    def name(self) -> str:
        """What it measures."""

    @property
    def direction(self) -> Direction:
        """Which way is better."""

    @property
    def unit(self) -> str:
        """Of the score."""


@attrs.frozen
class Task:
    """Work for one process.

    id: unique within a run. order: a file that says what is to be done; its folder receives the results.
    slots: how many of the engine's slots it takes; gpus: the share of a GPU.
    """

    id: str
    order: Path
    slots: int = 1
    gpus: float = 0.0
    environment: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Ended:
    """A task's process is gone.

    status: what it exited with; a signal as a negative number. why: what an engine knows of its death.
    """

    id: str
    status: int
    why: str = ""


@runtime_checkable
class Engine(Protocol):
    """Runs tasks, each in a process of its own, and says how they ended. The study keeps the ledger.

    An engine retries nothing, and gives no task another's result.
    """

    def room(self, task: Task) -> bool:
        """Whether the task could start now."""

    def submit(self, task: Task) -> None:
        """Start a task."""

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Those that ended since the last call, waiting up to so many seconds for the first."""

    def cancel(self, task_id: str) -> None:
        """Kill a task; `wait` still tells its end."""

    def close(self) -> None:
        """Kill what is running, and let go of everything; a task that is submitted later begins anew."""
