"""Whether a run may go on from a checkpoint: what it trains, and how, has to be what it was."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from glidepath.plugins.train.run.checkpoint import CheckpointError

FREE = frozenset(
    {
        "alerts",
        "adapters",
        "extends",
        "guidance",
        "plugins",
        "runtime",
        "sampler",
        "trackers",
        "weights",
        "train.checkpoint_every",
        "train.export_dtype",
        "train.keep",
        "train.keep_best",
        "train.keep_hours",
        "train.on_spike",
        "train.patience",
        "train.samples",
        "train.spike",
        "train.log_every",
        "train.probe_every",
        "train.processes",
        "train.shard",
        "train.validation",
        "train.worker_timeout",
        "train.workers",
    }
)
"""What may be changed between a checkpoint and the resumption: no step of training depends on it."""


def check_spec(
    then: Mapping[str, Any], now: Mapping[str, Any], path: Path, located: Collection[str] = ()
) -> None:
    """Compare the spec in the checkpoint `path` with that of the run.

    located: keys that say where the dataset lies, which is known by its contents.

    Raises:
        CheckpointError: they train differently; every difference is named.
    """
    found = list(differences(then, json.loads(json.dumps(dict(now))), free=FREE.union(located)))
    if found:
        lines = [
            f"{path} belongs to a run of another spec:",
            *found,
            "set these back to resume, or choose another folder, or delete the checkpoints to start anew",
        ]
        raise CheckpointError("\n    ".join(lines))


def differences(then: object, now: object, key: str = "", free: Collection[str] = FREE) -> Iterator[str]:
    """One line for each value that differs and is not free, with its dotted key."""
    if key in free or then == now:
        return
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in sorted({*then, *now}):
            yield from differences(then.get(name), now.get(name), f"{key}.{name}" if key else name, free)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, f"{key}[{index}]", free)
    else:
        yield f"{key} was {json.dumps(then)}, and is {json.dumps(now)}"
