"""Which images a `sample` command asks for, and whether its model can make them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError, UnreadablePrompt
from glidepath.registry.cli.printing import warn_once

if TYPE_CHECKING:
    from glidepath.core.pipeline import Pipeline
    from glidepath.core.text_encoder import TextEncoder
    from glidepath.registry.plan.plan import Plan


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        GlidepathError: an option lacks the one that it belongs to, prompts and labels do not pair, or a
            picture is not there.
    """
    for option in ("mask", "strength"):
        if getattr(arguments, option) is not None and arguments.image is None:
            raise GlidepathError(
                f"--{option} says what becomes of an image: give the image too, with --image"
            )
    if arguments.image is not None and arguments.mask is None and arguments.strength is None:
        raise GlidepathError(
            "--image needs --mask, a picture whose white pixels are painted anew, or --strength, how much of "
            "the image is changed (such as 0.6), or both"
        )
    for option in ("image", "mask", "low_res", "noise_film"):
        file = getattr(arguments, option)
        if file is not None and not file.exists():
            raise GlidepathError(f"--{option.replace('_', '-')}: there is no file {file}")
    prompts, labels = len(arguments.prompts), len(arguments.labels)
    if prompts and labels not in (0, 1, prompts):
        raise GlidepathError(
            f"{labels} labels were given for {prompts} prompts; give one for all, or one for each"
        )


def requested(arguments: argparse.Namespace, plan: Plan) -> list[tuple[str, int | None]]:
    """The prompt and the class of each image that is asked for, before they are counted.

    Raises:
        GlidepathError: there is no prompt, and the model takes one.
    """
    prompts, labels = list(arguments.prompts), list(arguments.labels)
    if not prompts and not labels:
        if arguments.noise_film is not None:
            return []
        if any("text_encoder" in pipeline.parts for pipeline in plan.pipelines().values()):
            raise GlidepathError(
                'there is nothing to draw; give a prompt, such as: glidepath sample "a green star"'
            )
        return [("", None)]
    if not labels:
        return [(prompt, None) for prompt in prompts]
    if not prompts:
        return [("", label) for label in labels]
    return list(zip(prompts, labels * len(prompts) if len(labels) == 1 else labels, strict=True))


def check_model(stages: Mapping[str, Pipeline], arguments: argparse.Namespace) -> None:
    """Refuse what the model cannot do, before it begins.

    Raises:
        GlidepathError: it takes no smaller picture or no class, or lacks one.
    """
    first = next(iter(stages.values()))
    if arguments.low_res is not None and not first.denoiser.needs_low_res:
        what = "this cascade makes the images that it enlarges" if len(stages) > 1 else "this model is none"
        raise GlidepathError(f"--low-res is for an upsampler by itself, and {what}")
    counts = [count for stage in stages.values() if (count := stage.num_classes) is not None]
    if arguments.labels and not counts:
        raise GlidepathError("--label is for a model of classes, and this one knows none")
    if not arguments.prompts and not arguments.labels and arguments.noise_film is not None:
        return
    if first.denoiser.needs_low_res and arguments.low_res is None:
        raise GlidepathError("this model is an upsampler: give the picture that it enlarges, with --low-res")
    if counts and not arguments.labels:
        raise GlidepathError(f"this model is one of classes: choose from 0 to {min(counts) - 1} with --label")
    for label in arguments.labels:
        if label >= min(counts):
            raise GlidepathError(f"--label {label}: the classes of this model are 0 to {min(counts) - 1}")


def warn_of_unread_words(stages: Mapping[str, Pipeline], prompts: Sequence[str]) -> None:
    """Say which words are not read, for want of room, and of which prompts nothing is.

    Raises:
        UnreadablePrompt: some prompts cannot be read at all; every one of them is named.
    """
    unreadable = []
    for prompt in dict.fromkeys(prompts):
        unread: dict[str, list[str]] = {}
        reads = []
        for name, stage in stages.items():
            try:
                words = stage.text_encoder.truncated(prompt) if stage.text_encoder is not None else ""
            except UnreadablePrompt as error:
                unreadable.append(error)
                continue
            if words:
                unread.setdefault(words, []).append(name)
            if stage.text_encoder is not None:
                reads.append(_reads_some(stage.text_encoder, prompt))
        if reads and not any(reads):
            what = f"nothing of the prompt {prompt!r} is read" if prompt.strip() else "the prompt is empty"
            warn_once(f"{what}: the image shows nothing that was asked for")
        for words, names in unread.items():
            where = f" in stage {' and '.join(names)}" if len(names) < len(stages) else ""
            warn_once(f"{prompt!r} is too long; not read{where}: {words!r}")
    if unreadable:
        raise UnreadablePrompt.joined(unreadable)


def _reads_some(text_encoder: TextEncoder, prompt: str) -> bool:
    """Whether an encoder finds words in a prompt; one that shows no tokenizer finds some in all but space."""
    from glidepath.core.text_encoder import Tokenizer

    tokenizer = getattr(text_encoder, "tokenizer", None)
    return bool(tokenizer.encode(prompt) if isinstance(tokenizer, Tokenizer) else prompt.strip())
