"""Curves of runs as a PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from glidepath.plugins.trackers.runs import Recorded


def curves(runs: Sequence[Recorded], names: Sequence[str]) -> bytes:
    """A panel for each figure, a line for each run, as a PNG."""
    figure = Figure(figsize=(7, 2.6 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for name, panel in zip(names, panels, strict=True):
        for run in runs:
            steps, values = run.curve(name)
            panel.plot(
                steps, values, label=str(run.folder), linewidth=1.2, marker="." if len(steps) < 3 else ""
            )
        if name == "loss" and all(value > 0 for run in runs for value in run.curve(name)[1]):
            panel.set_yscale("log")
        panel.set_ylabel(name.replace("_", " "))
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("step")
    if len(runs) > 1:
        panels[0].legend(fontsize="small")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
