"""Which images a `sample` command asks for, and whether its model can make them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from glidepath.core.errors import GlidepathError
from glidepath.registry.records.filenames import picture_option
from glidepath.registry.text.problems import UsageError

if TYPE_CHECKING:
    from glidepath.core.cascade import Cascade
    from glidepath.core.image_pipeline import ImagePipeline
    from glidepath.registry.plan.plan import Plan


Value = TypeVar("Value")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is read.

    Raises:
        GlidepathError: an option lacks the one that it belongs to, prompts and labels do not pair, or a
            picture is not there.
    """
    files = picture_files(arguments)
    for name, file in files.items():
        if not file.exists():
            raise GlidepathError(f"{picture_option(name)}: there is no file {file}")
    for option, is_given in (("mask", "mask" in files), ("strength", arguments.strength is not None)):
        if is_given and "image" not in files:
            raise UsageError(f"--{option} says what becomes of an image: give the image too, with --image")
    if "image" in files and "mask" not in files and arguments.strength is None:
        raise UsageError(
            "--image needs --mask, a picture whose white pixels are painted anew, or --strength, how much of "
            "the image is changed (such as 0.6), or both"
        )
    if arguments.noise_film is not None and not arguments.noise_film.exists():
        raise GlidepathError(f"--noise-film: there is no file {arguments.noise_film}")
    prompts = len(arguments.prompts)
    counts = {"labels": len(arguments.labels), "negative prompts": len(arguments.negatives)}
    counts |= {f"texts {name}": len(texts) for name, texts in _texts(arguments).items()}
    for what, count in counts.items():
        if prompts and count not in (0, 1, prompts):
            raise UsageError(
                f"{count} {what} were given for {prompts} prompts; give one for all, or one for each"
            )


def picture_files(arguments: argparse.Namespace) -> dict[str, Path]:
    """The files of pictures that are given, by what each is for.

    Raises:
        GlidepathError: two are for the same.
    """
    own = [(name, getattr(arguments, name)) for name in ("image", "mask", "low_res")]
    given = [(name, file) for name, file in own if file is not None]
    files: dict[str, Path] = {}
    for name, file in [*given, *arguments.inputs]:
        if name in files:
            raise UsageError(f"{picture_option(name)} was given twice: {files[name]} and {file}")
        files[name] = file
    return files


Wish = tuple[str, int | None, str | None, tuple[tuple[str, str], ...]]
"""The prompt, the class, the negative prompt and the other texts of an image."""


def _texts(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The texts that are given beside prompts, by name."""
    texts: dict[str, list[str]] = {}
    for name, text in arguments.texts:
        texts.setdefault(name, []).append(text)
    return texts


def requested(arguments: argparse.Namespace, plan: Plan) -> list[Wish]:
    """What is asked of each image, before they are counted.

    Raises:
        GlidepathError: there is no prompt, and the model takes one.
    """
    prompts, labels, negatives = list(arguments.prompts), list(arguments.labels), list(arguments.negatives)
    if not prompts and not labels:
        if arguments.noise_film is not None:
            return []
        if any("text_encoder" in pipeline.parts for pipeline in plan.pipelines().values()):
            raise UsageError(
                'there is nothing to draw; give a prompt, such as: glidepath sample "a red apple, 3d"'
            )
    count = len(prompts) or len(labels) or 1
    texts = {name: _for_each(given, count) for name, given in _texts(arguments).items()}
    return list(
        zip(
            prompts or [""] * count,
            _for_each(labels, count) if labels else [None] * count,
            _for_each(negatives, count) if negatives else [None] * count,
            [tuple((name, given[index]) for name, given in texts.items()) for index in range(count)],
            strict=True,
        )
    )


def _for_each(values: list[Value], count: int) -> list[Value]:
    return values * count if len(values) == 1 else values


def check_model(pipeline: ImagePipeline | Cascade, arguments: argparse.Namespace) -> None:
    """Refuse what the model cannot do, before it begins.

    Raises:
        GlidepathError: it takes no such picture, no class or no text, or lacks one.
    """
    from glidepath.core.cascade import stages_of

    stages = stages_of(pipeline)
    given, taken = picture_files(arguments), pipeline.inputs
    for name in given:
        if name == "low_res" and name not in taken:
            what = (
                "this cascade makes the images that it enlarges" if len(stages) > 1 else "this model is none"
            )
            raise UsageError(f"--low-res is for an upsampler by itself, and {what}")
        if name not in taken:
            raise UsageError(f"{picture_option(name)}: this model takes {', '.join(taken)}")
    counts = [count for stage in stages.values() if (count := stage.num_classes) is not None]
    if arguments.labels and not counts:
        raise UsageError("--label is for a model of classes, and this one knows none")
    if arguments.negatives and all(stage.text_encoder is None for stage in stages.values()):
        raise UsageError("--negative is for a model that reads prompts, and this one reads none")
    for name in _texts(arguments):
        if name not in pipeline.texts:
            known = f"reads {', '.join(pipeline.texts)}" if pipeline.texts else "reads prompts alone"
            raise UsageError(f"--text {name}: this model {known}")
    if not arguments.prompts and not arguments.labels and arguments.noise_film is not None:
        return
    for name, input in taken.items():
        if input.required and name not in given:
            if name == "low_res":
                raise UsageError(
                    "this model is an upsampler: give the picture that it enlarges, with --low-res"
                )
            raise UsageError(f"this model needs a picture, {input.summary}: --input {name}=FILE")
    if counts and not arguments.labels:
        raise UsageError(f"this model is one of classes: choose from 0 to {min(counts) - 1} with --label")
    for label in arguments.labels:
        if label >= min(counts):
            raise UsageError(f"--label {label}: the classes of this model are 0 to {min(counts) - 1}")
