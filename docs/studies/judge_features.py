"""Features of the judge of emoji, for metrics that compare sets of images."""

from glidepath.plugins.emoji.judge import features

__all__ = ["features"]
