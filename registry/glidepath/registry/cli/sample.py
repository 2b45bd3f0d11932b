"""`glidepath sample`: images from prompts."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError, UnreadablePrompt
from glidepath.registry.cli.arguments import CommandParser, fraction, natural_int, positive_int
from glidepath.registry.cli.drawing import FILM_FRAMES, draw, film_strips
from glidepath.registry.cli.filenames import film_name, free_name, numbered, separate_names
from glidepath.registry.cli.opening import (
    add_locked_option,
    add_spec_options,
    doubts,
    heed_warnings,
    open_plan,
)
from glidepath.registry.cli.printing import note_failures, warn_once
from glidepath.registry.plan.missing_files import HOW_TO_GET_WEIGHTS
from glidepath.registry.spec.overrides import Override, option_override

if TYPE_CHECKING:
    from torch import Tensor

    from glidepath.core.cascade import Cascade
    from glidepath.core.pipeline import Pipeline
    from glidepath.core.text_encoder import TextEncoder
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.records.pictures import Inputs, Opened
    from glidepath.registry.records.provenance import Manifest

DEFAULT_SPEC = "shapes"

EPILOG = """\
The default spec is the preset `shapes`: a small model that comes with glidepath and knows
circles, squares, triangles, stars, rings and crosses.

A mask is a picture of the size of --image. WHITE IS PAINTED ANEW, BLACK IS KEPT (grey counts as the nearer
of the two). Pictures are cut to their middle square and resized to the model's size, the mask alike.

examples:
  glidepath sample "a large red circle above a small blue square"
  glidepath sample "a green star" "a blue ring on pink" --count 4 --seed 7
  glidepath sample "a green star" --set sampler.steps=27 --set sampler.eta=1
  glidepath sample "a green star" --set sampler=ddpm --film
  glidepath sample "a green star" --image photo.png --mask hole.png --spec glide-inpaint
  glidepath sample "a green star" --image sketch.png --strength 0.6
  glidepath sample --label 207 --label 360 --count 4 --spec adm-64
  glidepath sample "a green star" --low-res small.png --spec glide-upsample
  glidepath sample --noise-film photo.png
"""


def parser() -> CommandParser:
    """Its arguments."""
    parser = CommandParser(
        prog="glidepath sample",
        description="Make images from prompts.",
        epilog=EPILOG,
    )
    parser.add_argument("prompts", metavar="PROMPT", nargs="*", help="what the image shows; one or several")
    parser.add_argument("--spec", default=DEFAULT_SPEC, help="a YAML file or a preset (default: %(default)s)")
    add_spec_options(parser)
    add_locked_option(parser)
    parser.add_argument(
        "--seed", type=natural_int, default=0, help="decides the noise (default: %(default)s)"
    )
    parser.add_argument("--count", type=positive_int, default=1, metavar="N", help="images of each prompt")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where the PNG goes; a file that is there is replaced (default: images/PROMPT-seedN.png, or "
        "PROMPT-seedN-2.png and so on where that is there)",
    )
    parser.add_argument(
        "--separate", action="store_true", help="also write each image of a grid to a file of its own"
    )
    parser.add_argument(
        "--scale",
        type=_enlargement,
        metavar="N",
        help="enlarge N times (default: to about 256 pixels); "
        "the guidance scale is --set guidance[0].scale=3",
    )
    parser.add_argument(
        "--batch",
        type=positive_int,
        default=8,
        metavar="N",
        help="images made at once (default: %(default)s)",
    )
    add_device_options(parser)
    _add_input_options(parser)
    parser.add_argument(
        "--film", action="store_true", help="also write a strip of states, from noise to image"
    )
    parser.add_argument(
        "--noise-film",
        type=Path,
        metavar="IMAGE",
        help="write a strip of the forward chain: IMAGE, ever noisier",
    )
    return parser


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what an image starts from")
    group.add_argument(
        "--image", type=Path, metavar="FILE", help="a picture to change, with --mask or --strength or both"
    )
    group.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="a picture of the size of --image: WHITE IS PAINTED ANEW, BLACK IS KEPT",
    )
    group.add_argument(
        "--strength",
        type=fraction,
        metavar="S",
        help="begin from --image, noised to the last S of the steps: near 0 changes little, 1 nearly all",
    )
    group.add_argument(
        "--low-res",
        type=Path,
        metavar="FILE",
        help="the picture that an upsampler enlarges, where the spec is an upsampler and no cascade",
    )
    group.add_argument(
        "--label",
        dest="labels",
        type=natural_int,
        action="append",
        default=[],
        metavar="N",
        help="the class to show, counted from 0, for a model of classes; may be repeated: one for all "
        "prompts, or one for each, or several without a prompt",
    )


def _enlargement(text: str) -> int:
    try:
        return positive_int(text)
    except argparse.ArgumentTypeError as error:
        hint = "it enlarges the image; a guidance has a scale of its own, --set guidance[0].scale=3"
        raise argparse.ArgumentTypeError(f"{error}: {hint}") from None


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """`--weights`, `--device`, `--dtype`: short forms of overrides."""
    parser.add_argument("--weights", metavar="FILE", help="weights in place of the spec's own")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (default: as the spec says)")
    parser.add_argument("--dtype", help="auto, float32, bfloat16, float16 (default: as the spec says)")


def device_overrides(arguments: argparse.Namespace) -> list[Override]:
    """What `add_device_options` read, as overrides."""
    given = {"runtime.device": "device", "runtime.dtype": "dtype", "weights": "weights"}
    return [
        option_override(key, f"--{option}", value)
        for key, option in given.items()
        if (value := getattr(arguments, option)) is not None
    ]


def run(arguments: argparse.Namespace) -> int:
    """Make the images, write them, say where they are.

    Raises:
        SpecError: the spec has faults.
        LockError: under `--locked`, something is not as the lock has it.
        GlidepathError: the parts cannot be built, or the prompts or the pictures do not suit them.
    """
    _check_arguments(arguments)
    from glidepath.registry.records.pictures import open_pictures

    arguments.overrides = [*arguments.overrides, *device_overrides(arguments)]
    catalogue, plan = open_plan(arguments, need_weights=True)
    heed_warnings(plan, arguments)
    wanted = _wanted(arguments, plan)
    opened = open_pictures(image=arguments.image, mask=arguments.mask, low_res=arguments.low_res)
    note_failures(catalogue)

    from glidepath.registry.assembly.build import build_pipeline
    from glidepath.registry.assembly.error_notes import naming_the_part

    _warn_of_doubts(plan, catalogue)
    with naming_the_part(plan):
        pipeline = build_pipeline(plan, catalogue)
        return _sample(plan, pipeline, catalogue, wanted, opened, arguments)


def _warn_of_doubts(plan: Plan, catalogue: Catalogue) -> None:
    told = doubts(plan, catalogue)
    if not plan.all_weights():
        warn_once(f"the spec names no weights; its networks know nothing yet. {HOW_TO_GET_WEIGHTS}")
        told = [problem for problem in told if not problem.path.endswith(".weights")]
    for problem in told:
        warn_once(problem.render())


def _sample(
    plan: Plan,
    pipeline: Pipeline | Cascade,
    catalogue: Catalogue,
    wanted: Sequence[tuple[str, int | None]],
    opened: Opened,
    arguments: argparse.Namespace,
) -> int:
    from glidepath.core.cascade import stages_of
    from glidepath.registry.records.images import default_scale
    from glidepath.registry.records.provenance import Shot, describe

    stages = stages_of(pipeline)
    _check_model(stages, arguments)
    _warn_of_lost_words(stages, arguments.prompts)
    size = tuple(stages.values())[-1].denoiser.image_shape[-1]
    inputs = opened.fitted(size, arguments.strength)
    scale = arguments.scale or default_scale(size)
    shots = [
        Shot(prompt, arguments.seed, sample, label)
        for prompt, label in wanted
        for sample in range(arguments.count)
    ]
    columns = _columns(len(wanted), arguments.count)
    manifest = describe(plan, pipeline, catalogue, shots, columns, scale, inputs)
    _warn_of_what_is_not_carried(manifest)
    out = arguments.out or free_name(
        arguments.prompts,
        arguments.labels,
        arguments.seed,
        len(shots),
        film=arguments.film,
        separate=arguments.separate,
    )
    if out.suffix.lower() != ".png":
        raise GlidepathError(f"--out {out}: images are written as PNG; name a file that ends in .png")
    if arguments.noise_film is not None:
        film = (
            out
            if arguments.out and not shots
            else out.with_name(f"{arguments.noise_film.stem}-noise-film.png")
        )
        if arguments.out is None:
            film = next(name for name in numbered(film) if not name.exists())
        _write_noise_film(next(iter(stages.values())), arguments, film, scale)
    if not shots:
        return 0
    return _make(pipeline, manifest, inputs, arguments, out)


def _check_arguments(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is read."""
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
    prompts, labels = len(arguments.prompts), len(arguments.labels)
    if prompts and labels not in (0, 1, prompts):
        raise GlidepathError(
            f"{labels} labels were given for {prompts} prompts; give one for all, or one for each"
        )


def _wanted(arguments: argparse.Namespace, plan: Plan) -> list[tuple[str, int | None]]:
    """The prompt and the class of each image that is asked for, before they are counted."""
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


def _check_model(stages: Mapping[str, Pipeline], arguments: argparse.Namespace) -> None:
    """Refuse what the model cannot do, before it begins."""
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


def _warn_of_lost_words(stages: Mapping[str, Pipeline], prompts: Sequence[str]) -> None:
    """Say which words are not read, for want of room, and of which prompts nothing is.

    Raises:
        UnreadablePrompt: some prompts cannot be read at all; every one of them is named.
    """
    unreadable = []
    for prompt in dict.fromkeys(prompts):
        lost: dict[str, list[str]] = {}
        reads = []
        for name, stage in stages.items():
            try:
                words = stage.text_encoder.truncated(prompt) if stage.text_encoder is not None else ""
            except UnreadablePrompt as error:
                unreadable.append(error)
                continue
            if words:
                lost.setdefault(words, []).append(name)
            if stage.text_encoder is not None:
                reads.append(_reads_some(stage.text_encoder, prompt))
        if reads and not any(reads):
            what = f"nothing of the prompt {prompt!r} is read" if prompt.strip() else "the prompt is empty"
            print(f"glidepath: warning: {what}: the image shows nothing that was asked for", file=sys.stderr)
        for words, names in lost.items():
            where = f" in stage {' and '.join(names)}" if len(names) < len(stages) else ""
            print(f"glidepath: warning: {prompt!r} is too long; not read{where}: {words!r}", file=sys.stderr)
    if unreadable:
        raise UnreadablePrompt.joined(unreadable)


def _reads_some(text_encoder: TextEncoder, prompt: str) -> bool:
    """Whether an encoder finds words in a prompt; one that shows no tokenizer finds some in all but space."""
    from glidepath.core.text_encoder import Tokenizer

    tokenizer = getattr(text_encoder, "tokenizer", None)
    return bool(tokenizer.encode(prompt) if isinstance(tokenizer, Tokenizer) else prompt.strip())


def _warn_of_what_is_not_carried(manifest: Manifest) -> None:
    for name, carried in manifest.pictures.items():
        if carried.png is None:
            option = f"--{name.replace('_', '-')}"
            print(
                f"glidepath: warning: the picture of {option} is too large for the image to carry; "
                "it cannot be replayed from its own file",
                file=sys.stderr,
            )


def _make(
    pipeline: Pipeline | Cascade,
    manifest: Manifest,
    inputs: Inputs,
    arguments: argparse.Namespace,
    out: Path,
) -> int:
    import attrs

    film: list[list[Tensor]] | None = [] if arguments.film else None
    made: list[Tensor] = []
    interrupted = False
    try:
        for images in draw(pipeline, manifest.shots, arguments.batch, inputs, film):
            made.extend(images)
    except KeyboardInterrupt:
        interrupted = True
    finished = attrs.evolve(manifest, shots=list(manifest.shots[: len(made)]))
    if made:
        _write(finished, made, out, arguments.batch if arguments.separate else None)
    if film:
        _write_film(film, finished, film_name(out))
    if interrupted:
        print(f"interrupted; {len(made)} of {len(manifest.shots)} images were finished", file=sys.stderr)
        return 130
    return 0


def _write(manifest: Manifest, made: Sequence[Tensor], out: Path, batch: int | None) -> None:
    """The grid and, where it is said how many were drawn at one time, a file for each image."""
    import attrs

    from glidepath.registry.records.images import grid, save_png, to_pil

    save_png(grid(made, manifest.columns, manifest.scale), out, manifest.to_json())
    print(out)
    if batch is None:
        return
    for index, (image, path) in enumerate(zip(made, separate_names(out, len(made)), strict=True)):
        first = index // batch * batch
        drawn = manifest.shots[first : first + batch]
        single = attrs.evolve(
            manifest,
            shots=[manifest.shots[index]],
            columns=1,
            batch=drawn if len(drawn) > 1 else (),
        )
        save_png(to_pil(image, manifest.scale), path, single.to_json())
        print(path)


def _write_film(film: Sequence[Sequence[Tensor]], manifest: Manifest, path: Path) -> None:
    from glidepath.registry.records.images import save_png

    save_png(film_strips(film, manifest.scale), path, {"film": manifest.to_json()})
    print(path)


def _write_noise_film(pipeline: Pipeline, arguments: argparse.Namespace, path: Path, scale: int) -> None:
    import torch

    from glidepath.core.noise import PerSampleNoise
    from glidepath.registry.records.images import grid, load_image, save_png

    image = load_image(arguments.noise_film, pipeline.denoiser.image_shape[-1])
    x_0 = pipeline.codec.encode(image.to(pipeline.device))
    noise = PerSampleNoise([(arguments.seed, 0)]).initial(tuple(x_0.shape), pipeline.device)
    times = torch.linspace(0, pipeline.schedule.num_steps - 1, FILM_FRAMES - 1).round().long()
    frames = [image[0]]
    frames += [pipeline.decode(pipeline.schedule.add_noise(x_0, noise, t[None]))[0].cpu() for t in times]
    save_png(grid(frames, len(frames), max(1, scale // 2)), path, {"timesteps": times.tolist()})
    print(path)


def _columns(prompts: int, count: int) -> int:
    """A row for each prompt where each has several images; else a grid about as wide as high."""
    if prompts > 1 and count > 1:
        return count
    return max(1, round(math.sqrt(prompts * count) + 0.25))
