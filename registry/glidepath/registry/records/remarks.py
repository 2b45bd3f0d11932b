"""What a model makes of a request, where that is other than who asks may think."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from glidepath.core.size import sides
from glidepath.registry.text.problems import quoted

if TYPE_CHECKING:
    from glidepath.core.cascade import Cascade
    from glidepath.core.image_pipeline import ImagePipeline
    from glidepath.core.text_encoder import TextEncoder
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan


def require_readable(plan: Plan, texts: Sequence[str], catalogue: Catalogue) -> None:
    """Refuse texts that the tokenizers of a plan cannot read. They are built, and nothing else is.

    Raises:
        SpecError: a tokenizer is to be given, or its words; it names all of them.
        UnreadablePrompt: there are words that a tokenizer does not know; every text is named.
    """
    from glidepath.core.text_encoder import encode_all
    from glidepath.registry.assembly.build import build_part
    from glidepath.registry.assembly.warnings import require_vocabularies

    require_vocabularies(plan)
    for pipeline in plan.pipelines().values():
        for part in pipeline.all_parts():
            if part.registered.component.kind == "tokenizer":
                encode_all(build_part(part, catalogue), list(dict.fromkeys(texts)))


def remarks(
    pipeline: ImagePipeline | Cascade, texts: Sequence[str], size: Sequence[int], *, negative: bool = False
) -> list[str]:
    """Sentences: which words are not read, for want of room, of which texts nothing is, a size far off.

    size: (H, W) in pixels. negative: there are negative prompts, which guidance alone reads.

    Raises:
        UnreadablePrompt: a text cannot be read at all.
    """
    from glidepath.core.cascade import stages_of

    found = [it for text in dict.fromkeys(texts) for it in _of_text(stages_of(pipeline), text)]
    if negative and not any(getattr(stage, "guidance", True) for stage in stages_of(pipeline).values()):
        found.append("negative prompts change nothing: the spec has no guidance, which would read them")
    made = pipeline.image_size
    if not prod(made) / 2 <= prod(size) <= prod(made) * 2:
        found.append(
            f"the model was made for images of {sides(made)} pixels: of {sides(size)} they may repeat "
            "what they show, or lack it"
        )
    return found


def _of_text(stages: Mapping[str, ImagePipeline], text: str) -> Iterator[str]:
    unread: dict[str, list[str]] = {}
    encoders = {name: it for name, stage in stages.items() if (it := stage.text_encoder) is not None}
    for name, encoder in encoders.items():
        if words := encoder.truncated(text):
            unread.setdefault(words, []).append(name)
    if encoders and not any(_reads_some(encoder, text) for encoder in encoders.values()):
        what = f"nothing of the prompt {quoted(text)} is read" if text.strip() else "the prompt is empty"
        yield f"{what}: the image shows nothing that was asked for"
    for words, names in unread.items():
        where = f" in stage {' and '.join(names)}" if len(names) < len(stages) else ""
        yield f"{quoted(text)} is too long; not read{where}: {words!r}"


def _reads_some(encoder: TextEncoder, text: str) -> bool:
    """Whether an encoder finds words in a text; one that shows no tokenizer finds some in all but space."""
    from glidepath.core.text_encoder import Tokenizer

    tokenizer = getattr(encoder, "tokenizer", None)
    return bool(tokenizer.encode(text) if isinstance(tokenizer, Tokenizer) else text.strip())
