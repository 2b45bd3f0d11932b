"""Metrics of what images cost; they look at no image."""

from __future__ import annotations

from glidepath.plugins.studies.interface import Direction, Drawn


class SecondsPerImage:
    """Wall-clock seconds for each image; networks are built before the clock starts."""

    name = "seconds per image"
    direction: Direction = "lower"
    unit = "s"

    def whole_set(self, drawn: Drawn) -> float:
        """seconds / N."""
        return drawn.seconds / len(drawn.prompts)


class NetworkEvaluations:
    """Evaluations of the denoiser for one image."""

    name = "network evaluations"
    direction: Direction = "lower"
    unit = "evaluations per image"

    def whole_set(self, drawn: Drawn) -> float:
        """Rows that the denoiser saw, for each image."""
        return drawn.evaluations


class PeakMemory:
    """The most memory in use at a time, in MiB."""

    name = "peak memory"
    direction: Direction = "lower"
    unit = "MiB"

    def whole_set(self, drawn: Drawn) -> float:
        """Bytes / 2^20."""
        return drawn.peak_bytes / 2**20
