"""The parameters of the metric. Imports no torch; imported where it is used, not where it is listed."""

from __future__ import annotations

from pathlib import Path

import attrs

from glidepath.registry import doc


@attrs.frozen(kw_only=True)
class JudgedConfig:
    """A judgement whose answers are the scores."""

    folder: Path = attrs.field(
        metadata=doc("of a judgement of these pictures; what is in it is part of the key, its log too")
    )
    by: str = attrs.field(
        default="people", metadata=doc("whose answers: people, simulated, or the name of a model that judged")
    )

    @folder.validator
    def _there(self, _attribute: object, value: Path) -> None:
        if not (value / "plan.json").is_file():
            raise ValueError(f"{value} is no judgement: `glidepath judge new` makes one")
