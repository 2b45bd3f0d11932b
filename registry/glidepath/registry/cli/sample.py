"""`glidepath sample`: images from prompts."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core.errors import GlidepathError
from glidepath.registry.cli.common import add_spec_options, note_failures, open_spec

if TYPE_CHECKING:
    from torch import Tensor

    from glidepath.core.pipeline import Pipeline
    from glidepath.registry.provenance import Manifest, Shot

DEFAULT_SPEC = "shapes"
_FILM_FRAMES = 10

EPILOG = """\
The default spec is the preset `shapes`: a small model that comes with glidepath and knows
circles, squares, triangles, stars, rings and crosses.

examples:
  glidepath sample "a large red circle above a small blue square"
  glidepath sample "a green star" "a blue ring on pink" --count 4 --seed 7
  glidepath sample "a green star" --set sampler.steps=27 --set sampler.eta=1
  glidepath sample "a green star" --set sampler=ddpm --film
  glidepath sample --noise-film photo.png
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    parser = commands.add_parser(
        "sample",
        description="Make images from prompts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prompts", metavar="PROMPT", nargs="*", help="what the image shows; one or several")
    parser.add_argument("--spec", default=DEFAULT_SPEC, help="a YAML file or a preset (default: %(default)s)")
    add_spec_options(parser)
    parser.add_argument("--seed", type=_natural, default=0, help="decides the noise (default: %(default)s)")
    parser.add_argument("--count", type=_positive, default=1, metavar="N", help="images of each prompt")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the PNG goes (default: images/PROMPT-seedN.png)"
    )
    parser.add_argument(
        "--separate", action="store_true", help="also write each image of a grid to a file of its own"
    )
    parser.add_argument(
        "--scale", type=_positive, metavar="N", help="enlarge N times (default: to about 256 pixels)"
    )
    parser.add_argument(
        "--batch", type=_positive, default=8, metavar="N", help="images made at once (default: %(default)s)"
    )
    add_device_options(parser)
    parser.add_argument(
        "--film", action="store_true", help="also write a strip of states, from noise to image"
    )
    parser.add_argument(
        "--noise-film",
        type=Path,
        metavar="IMAGE",
        help="write a strip of the forward chain: IMAGE, ever noisier",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """`--weights`, `--device`, `--dtype`: short forms of overrides."""
    parser.add_argument("--weights", metavar="FILE", help="weights in place of the spec's own")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (default: as the spec says)")
    parser.add_argument("--dtype", help="auto, float32, bfloat16, float16 (default: as the spec says)")


def device_overrides(arguments: argparse.Namespace) -> list[str]:
    """What `add_device_options` read, as overrides."""
    given = {
        "runtime.device": arguments.device,
        "runtime.dtype": arguments.dtype,
        "weights": arguments.weights,
    }
    return [
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items() if value is not None
    ]


def run(arguments: argparse.Namespace) -> int:
    """Make the images, write them, say where they are.

    Raises:
        SpecError: the spec has faults.
        GlidepathError: the parts cannot be built, or the prompts do not suit them.
    """
    if not arguments.prompts and arguments.noise_film is None:
        raise GlidepathError(
            'there is nothing to draw; give a prompt, such as: glidepath sample "a green star"'
        )
    from glidepath.registry.plan import make_plan

    arguments.overrides = [*arguments.overrides, *device_overrides(arguments)]
    catalogue, spec = open_spec(arguments)
    plan = make_plan(spec, catalogue)
    note_failures(catalogue)

    from glidepath.registry.assembly import build_pipeline
    from glidepath.registry.images import default_scale
    from glidepath.registry.provenance import Shot, describe

    if plan.weights is None and not any(part.weights for part in plan.all_parts()):
        print("glidepath: warning: the spec names no weights; its networks know nothing yet", file=sys.stderr)
    pipeline = build_pipeline(plan, catalogue)
    _warn_of_lost_words(pipeline, arguments.prompts)
    size = pipeline.denoiser.image_shape[-1]
    scale = arguments.scale or default_scale(size)
    shots = [
        Shot(prompt, arguments.seed, sample)
        for prompt in arguments.prompts
        for sample in range(arguments.count)
    ]
    manifest = describe(
        plan, pipeline, catalogue, shots, _columns(len(arguments.prompts), arguments.count), scale
    )
    out = arguments.out or Path("images") / f"{_slug(arguments)}-seed{arguments.seed}.png"
    if out.suffix.lower() != ".png":
        raise GlidepathError(f"--out {out}: images are written as PNG; name a file that ends in .png")
    if arguments.noise_film is not None:
        _write_noise_film(
            pipeline, arguments, out.with_name(f"{arguments.noise_film.stem}-noise-film.png"), scale
        )
    if not shots:
        return 0
    return _make(pipeline, manifest, arguments, out)


def _warn_of_lost_words(pipeline: Pipeline, prompts: Sequence[str]) -> None:
    for prompt in dict.fromkeys(prompts):
        lost = pipeline.text_encoder.truncated(prompt) if pipeline.text_encoder else ""
        if lost:
            print(f"glidepath: warning: {prompt!r} is too long; not read: {lost!r}", file=sys.stderr)


def _make(pipeline: Pipeline, manifest: Manifest, arguments: argparse.Namespace, out: Path) -> int:
    film: list[list[Tensor]] | None = [] if arguments.film else None
    made: list[Tensor] = []
    interrupted = False
    try:
        for images in draw(pipeline, manifest.shots, arguments.batch, film):
            made.extend(images)
    except KeyboardInterrupt:
        interrupted = True
    if made:
        _write(manifest, made, out, arguments.separate)
    if film:
        _write_film(film, manifest, out.with_name(f"{out.stem}-film.png"))
    if interrupted:
        print(f"interrupted; {len(made)} of {len(manifest.shots)} images were finished", file=sys.stderr)
        return 130
    return 0


def draw(
    pipeline: Pipeline, shots: Sequence[Shot], batch: int, film: list[list[Tensor]] | None = None
) -> Iterator[list[Tensor]]:
    """Make images in batches, each [3, H, W] uint8 on the CPU, under a progress bar.

    film: receives, for each image, its frames from noise to image.
    """
    from tqdm import tqdm

    steps = len(pipeline.levels())
    wanted = {round(index * (steps - 1) / (_FILM_FRAMES - 2)) + 1 for index in range(_FILM_FRAMES - 1)}
    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left"
    with tqdm(total=len(shots) * steps, bar_format=layout, file=sys.stderr, leave=False) as bar:
        for first in range(0, len(shots), batch):
            some = shots[first : first + batch]
            bar.set_description_str(f"{first} of {len(shots)} images")
            walk = pipeline.states(
                [shot.prompt for shot in some], seed=some[0].seed, samples=[shot.sample for shot in some]
            )
            frames: list[Tensor] = []
            for state in walk:
                if film is not None and state.index in wanted:
                    frames.append(pipeline.decode(state.x).cpu())
                bar.update(len(some))
            if film is not None:
                film.extend([frame[row] for frame in frames] for row in range(len(some)))
            bar.set_description_str(f"{first + len(some)} of {len(shots)} images")
            yield list(pipeline.decode(state.x).cpu())


def _write(manifest: Manifest, made: Sequence[Tensor], out: Path, separate: bool) -> None:
    import attrs

    from glidepath.registry.images import grid, save_png, to_pil

    finished = attrs.evolve(manifest, shots=list(manifest.shots[: len(made)]))
    save_png(grid(made, manifest.columns, manifest.scale), out, finished.to_json())
    print(out)
    if not separate:
        return
    digits = len(str(len(made) - 1))
    for index, image in enumerate(made):
        path = out.with_name(f"{out.stem}-{index:0{digits}d}.png")
        single = attrs.evolve(manifest, shots=[manifest.shots[index]], columns=1)
        save_png(to_pil(image, manifest.scale), path, single.to_json())
        print(path)


def _write_film(film: Sequence[Sequence[Tensor]], manifest: Manifest, path: Path) -> None:
    from glidepath.registry.images import grid, save_png

    frames = [frame for row in film for frame in row]
    save_png(grid(frames, len(film[0]), max(1, manifest.scale // 2)), path, {"film": manifest.to_json()})
    print(path)


def _write_noise_film(pipeline: Pipeline, arguments: argparse.Namespace, path: Path, scale: int) -> None:
    import torch

    from glidepath.core.noise import PerSampleNoise
    from glidepath.registry.images import grid, load_image, save_png

    image = load_image(arguments.noise_film, pipeline.denoiser.image_shape[-1])
    x_0 = pipeline.codec.encode(image.to(pipeline.device))
    noise = PerSampleNoise([(arguments.seed, 0)]).initial(tuple(x_0.shape), pipeline.device)
    times = torch.linspace(0, pipeline.schedule.num_steps - 1, _FILM_FRAMES - 1).round().long()
    frames = [image[0]]
    frames += [pipeline.decode(pipeline.schedule.add_noise(x_0, noise, t[None]))[0].cpu() for t in times]
    save_png(grid(frames, len(frames), max(1, scale // 2)), path, {"timesteps": times.tolist()})
    print(path)


def _columns(prompts: int, count: int) -> int:
    """A row for each prompt where each has several images; else a grid about as wide as high."""
    if prompts > 1 and count > 1:
        return count
    return max(1, round(math.sqrt(prompts * count) + 0.25))


def _slug(arguments: argparse.Namespace) -> str:
    text = arguments.prompts[0] if arguments.prompts else "image"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-") or "image"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value
