"""`glidepath sample`: images from prompts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.registry.cli.arguments import (
    CommandParser,
    fraction,
    named_file,
    named_text,
    natural_int,
    pixel_size,
    positive_int,
)
from glidepath.registry.cli.opening import (
    add_device_options,
    add_locked_option,
    add_spec_options,
    open_plan,
)
from glidepath.registry.cli.printing import note_failures, warn_once
from glidepath.registry.cli.requests import (
    Wish,
    check_arguments,
    check_model,
    picture_files,
    requested,
)
from glidepath.registry.files.interrupts import exit_status
from glidepath.registry.files.writing import free_place, require_writable
from glidepath.registry.records.drawing import draw, film_strips, noise_film
from glidepath.registry.records.filenames import (
    IMAGES,
    film_name,
    free_names,
    numbered,
    picture_option,
    separate_names,
    written,
)
from glidepath.registry.text.problems import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from glidepath.core.cascade import Cascade
    from glidepath.core.image_pipeline import ImagePipeline
    from glidepath.registry.discovery.catalogue import Catalogue
    from glidepath.registry.plan.plan import Plan
    from glidepath.registry.records.manifest import Images, Manifest
    from glidepath.registry.records.pictures import Inputs, Opened

EPILOG = """\
A mask is a picture of the size of --image. WHITE IS PAINTED ANEW, BLACK IS KEPT (grey counts as the nearer
of the two). What is transparent is white in a picture, and not painted in a mask. Of pictures the middle is
taken, in the proportions of the image, and resized to its size; of the mask alike.

examples:
  glidepath sample "a red apple, 3d"
  glidepath sample "a bicycle, noto" "a purple heart, noto" --count 4 --seed 7
  glidepath sample "a red apple, 3d" --set sampler.steps=27 --set sampler.eta=1
  glidepath sample "a house, flat" --set sampler=ddpm --film
  glidepath sample "a red apple, 3d" --negative "a green apple, 3d"
  glidepath sample "a green apple, 3d" --image sketch.png --strength 0.6
  glidepath sample "a large red circle above a small blue square" --spec shapes
  glidepath sample "a corgi in a field" --image photo.png --mask hole.png --spec glide-inpaint
  glidepath sample --label 207 --label 360 --count 4 --spec adm-64
  glidepath sample "a corgi in a field" --low-res small.png --spec glide-upsample
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
    parser.add_argument(
        "--spec", help="a YAML file or a preset (default: the preset that `glidepath list preset` marks)"
    )
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
        "--size",
        type=pixel_size,
        metavar="WxH",
        help="width and height of the image in pixels (default: what the model was made for)",
    )
    parser.add_argument(
        "--scale",
        type=positive_int,
        metavar="N",
        help="enlarge N times (default: to about 256 pixels, not at all with --size); "
        "the guidance scale is --set guidance[0].scale=3",
    )
    parser.add_argument(
        "--batch",
        type=positive_int,
        default=8,
        metavar="N",
        help="images made at once (default: %(default)s)",
    )
    parser.add_argument(
        "--negative",
        dest="negatives",
        action="append",
        default=[],
        metavar="TEXT",
        help="what the image is not to show, for guidance to move away from; may be repeated: one for all "
        "prompts, or one for each",
    )
    parser.add_argument(
        "--text",
        dest="texts",
        type=named_text,
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="what another text encoder of the model reads in place of the prompt, such as prompt_2=TEXT, or "
        "negative_prompt_2=TEXT; may be repeated: for one NAME, one for all prompts, or one for each",
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
        "--input",
        dest="inputs",
        type=named_file,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a picture that a conditioner of the spec takes, such as control=edges.png; may be repeated",
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


def run(arguments: argparse.Namespace) -> int:
    """Make the images, write them, say where they are.

    Raises:
        SpecError: the spec has problems.
        LockError: under `--locked`, something is not as the lock has it.
        GlidepathError: the parts cannot be built, or the prompts or the pictures do not suit them.
    """
    check_arguments(arguments)
    from glidepath.registry.records.pictures import open_pictures

    catalogue, plan = open_plan(arguments, need_weights=True)
    prompts = requested(arguments, plan)
    pictures = open_pictures(picture_files(arguments))
    note_failures(catalogue)

    from glidepath.registry.assembly.build import build_pipeline
    from glidepath.registry.assembly.error_notes import naming_the_part
    from glidepath.registry.records.remarks import require_readable

    if any(arguments.prompts):
        with naming_the_part(plan):
            require_readable(plan, _texts(arguments), catalogue)
    _warn_of_doubts(plan, catalogue)
    with naming_the_part(plan):
        pipeline = build_pipeline(plan, catalogue)
        return _sample(plan, pipeline, catalogue, prompts, pictures, arguments)


def _texts(arguments: argparse.Namespace) -> list[str]:
    """Every text that a model is to read."""
    return [*arguments.prompts, *arguments.negatives, *(text for _, text in arguments.texts)]


def _warn_of_doubts(plan: Plan, catalogue: Catalogue) -> None:
    from glidepath.registry.assembly.warnings import doubts

    problems = doubts(plan, catalogue)
    if not plan.all_weights():
        parts = [part for pipeline in plan.pipelines().values() for part in pipeline.all_parts()]
        makers = catalogue.weight_makers([part.registered.component.name for part in parts])
        warn_once(
            f"the spec names no weights; its networks know nothing yet{f'; {makers}' if makers else ''}"
        )
        problems = [problem for problem in problems if not problem.path.endswith(".weights")]
    for problem in problems:
        warn_once(problem.render())


def _sample(
    plan: Plan,
    pipeline: ImagePipeline | Cascade,
    catalogue: Catalogue,
    prompts: Sequence[Wish],
    pictures: Opened,
    arguments: argparse.Namespace,
) -> int:
    from glidepath.core.cascade import stages_of
    from glidepath.registry.records.images import default_scale, grid_columns
    from glidepath.registry.records.manifest import ImageKey, Images
    from glidepath.registry.records.pictures import Inputs
    from glidepath.registry.records.recording import describe_images
    from glidepath.registry.records.remarks import remarks

    check_model(pipeline, arguments)
    pixels = arguments.size or pipeline.image_size
    for remark in remarks(pipeline, _texts(arguments), pixels, negative=any(arguments.negatives)):
        warn_once(remark)
    fitted = pictures.fitted(pixels, pipeline.inputs)
    inputs = Inputs(pictures=fitted, strength=arguments.strength, size=arguments.size)
    scale = arguments.scale or (
        1 if arguments.size else default_scale(max(pixels), len(prompts) * arguments.count)
    )
    images = Images(
        keys=[
            ImageKey(prompt, arguments.seed, sample, label, negative, texts)
            for prompt, label, negative, texts in prompts
            for sample in range(arguments.count)
        ],
        columns=grid_columns(len(prompts), arguments.count),
        scale=scale,
        pictures=inputs.carried(),
        strength=arguments.strength,
        size=arguments.size,
    )
    manifest = describe_images(plan, pipeline, catalogue, images)
    _warn_of_what_is_not_carried(images)
    _require_writable(arguments, len(images.keys))
    if arguments.noise_film is not None:
        _write_noise_film(next(iter(stages_of(pipeline).values())), arguments, scale)
    return _make(pipeline, manifest, inputs, arguments) if images.keys else 0


def _require_writable(arguments: argparse.Namespace, count: int) -> None:
    """Refuse, before they are made, `count` images for which there is no place."""
    out: Path = arguments.out or IMAGES / "image.png"
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: images are written as PNG; name a file that ends in .png")
    for path in written(out, count, film=arguments.film, separate=arguments.separate):
        require_writable(path)


def _place(arguments: argparse.Namespace, names: Iterable[Path]) -> AbstractContextManager[Path]:
    """Where something goes: to `--out`, or to the first of some names that is free when it is made."""
    return nullcontext(arguments.out) if arguments.out else free_place(names)


def _warn_of_what_is_not_carried(images: Images) -> None:
    for name, carried in images.pictures.items():
        if carried.png is None:
            warn_once(
                f"the picture of {picture_option(name)} is too large for the image to carry; "
                "it cannot be replayed from its own file"
            )


def _make(
    pipeline: ImagePipeline | Cascade, manifest: Manifest, inputs: Inputs, arguments: argparse.Namespace
) -> int:
    assert manifest.images is not None
    keys = manifest.images.keys
    film: list[list[Tensor]] | None = [] if arguments.film else None
    drawn: list[Tensor] = []
    stopped: BaseException | None = None
    try:
        for some in draw(pipeline, keys, arguments.batch, inputs, film):
            drawn.extend(some)
    except BaseException as error:  # what is finished is kept, whatever ended the rest
        stopped = error
    if drawn:
        names = free_names(
            arguments.prompts,
            arguments.labels,
            arguments.seed,
            len(keys),
            film=arguments.film,
            separate=arguments.separate,
        )
        with _place(arguments, names) as out:
            files = _write(manifest, drawn, film, out, arguments.batch if arguments.separate else None)
        print(*files, sep="\n")
    if isinstance(stopped, KeyboardInterrupt):
        print(f"interrupted; {len(drawn)} of {len(keys)} images were finished", file=sys.stderr)
        return exit_status(stopped)
    if stopped is not None:
        if drawn:
            stopped.add_note(f"{len(drawn)} of {len(keys)} images were finished")
        raise stopped
    return 0


def _write(
    manifest: Manifest,
    drawn: Sequence[Tensor],
    film: Sequence[Sequence[Tensor]] | None,
    out: Path,
    batch: int | None,
) -> list[Path]:
    """Write the grid, the film and, where it is said how many were drawn at once, each image. The files."""
    import attrs

    from glidepath.registry.records.images import grid, save_png, to_pil

    assert manifest.images is not None
    images = manifest.images.first(len(drawn))
    manifest = attrs.evolve(manifest, images=images)
    save_png(grid(drawn, images.columns, images.scale), out, manifest.to_json())
    files = [out]
    if batch is not None:
        for index, (image, path) in enumerate(zip(drawn, separate_names(out, len(drawn)), strict=True)):
            alone = attrs.evolve(manifest, images=images.alone(index, batch))
            save_png(to_pil(image, images.scale), path, alone.to_json())
            files.append(path)
    if film:
        save_png(film_strips(film, images.scale), film_name(out), {"film": manifest.to_json()})
        files.append(film_name(out))
    return files


def _write_noise_film(pipeline: ImagePipeline, arguments: argparse.Namespace, scale: int) -> None:
    """Write the strip of the forward chain: to `--out` itself where nothing else is made."""
    from glidepath.registry.records.images import load_image, save_png

    pipeline.latent_shape(arguments.size)  # it refuses a size that it does not take
    image = load_image(arguments.noise_film, arguments.size or pipeline.image_size)
    strip, timesteps = noise_film(pipeline, image, arguments.seed, scale)
    beside = (arguments.out or IMAGES / "image.png").with_name(f"{arguments.noise_film.stem}-noise-film.png")
    if arguments.out and (arguments.prompts or arguments.labels):
        arguments = argparse.Namespace(out=beside)
    with _place(arguments, numbered(beside)) as path:
        save_png(strip, path, {"timesteps": timesteps})
    print(path)
