"""Reads hostile specs, one after the other, and prints what became of each: a program of `test_hostile`.

Argument: an empty folder. Output: one JSON object, by the name of the case.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.registry.made_up import BASE, make_catalogue

from glidepath.registry.discovery.catalogue import Catalogue
from glidepath.registry.plan.planner import make_plan
from glidepath.registry.spec.spec import parse_spec, read_spec
from glidepath.registry.text.problems import SpecError
from glidepath.registry.text.yaml_tree import MAX_BYTES

GOOD = "schedule: cosine\ndenoiser: tiny-unet\nsampler: ddpm\n"
MEGABYTE = 1 << 20
LONGEST = MAX_BYTES


def fill(piece: str, size: int = LONGEST) -> str:
    """A text of many pieces, as long as a spec may be."""
    return (piece * (size // len(piece.encode())))[:size]


def lines(piece: Callable[[int], str], count: int) -> str:
    return "".join(piece(index) for index in range(count))


def laughs(opening: str, separator: str, closing: str, before: str = "") -> str:
    """An alias bomb: each line holds ten of the line before."""
    text = f"{before}a0: &a0 {opening}{closing}\n"
    for level in range(1, 12):
        pieces = separator.join(
            f"*a{level - 1}" if separator == ", " else f"k{n}: *a{level - 1}" for n in range(10)
        )
        text += f"a{level}: &a{level} {opening}{pieces}{closing}\n"
    return text


def texts() -> Iterator[tuple[str, str]]:
    """Hostile texts by name."""
    yield "deep lists", "a: " + "[" * 10_000
    yield "deep lists, closed", "a: " + "[" * 10_000 + "]" * 10_000
    yield "deep mappings", "a: " + "{a: " * 10_000
    yield "deep block lists", "a:\n  " + "- " * 10_000
    yield "deep block mappings", lines(lambda level: " " * level + "a:\n", 900)
    yield "deep complex keys", "? " * 10_000
    yield "levels beyond count", "[" * LONGEST
    yield "laughs in lists", laughs("[", ", ", "]")
    yield "laughs in mappings", laughs("{", ",, ", "}").replace(",, ", ", ")
    yield (
        "laughs in merge keys",
        "a0: &a0 {x: 1}\n"
        + lines(
            lambda level: (
                f"a{level + 1}: &a{level + 1} {{<<: [{', '.join([f'*a{level}'] * 300)}], k{level}: 1}}\n"
            ),
            30,
        ),
    )
    yield "an anchor in itself", "a: &a {b: *a}"
    yield "many anchors", lines(lambda index: f"- &a{index} {index}\n", 60_000)
    yield "many unknown anchors", "a: [" + lines(lambda index: f"&b{index} 1, *a{index}, ", 4_000) + "]"
    yield "python object", f"{GOOD}a: !!python/object/apply:os.system ['touch pwned']\n"
    yield "python new", "a: !!python/object/new:subprocess.Popen [[touch, pwned]]\n"
    yield "python name", "sampler: !!python/name:os.system x\n"
    yield "python module", "sampler: !!python/module:antigravity x\n"
    yield "python path", "weights: !!python/object/apply:pathlib.PosixPath [/etc/passwd]\n"
    yield "python tuple", "a: !!python/tuple [1, 2]\n"
    yield "own tag", "%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system x\n"
    yield "verbatim tag", "a: !<tag:yaml.org,2002:python/name:os.system> x\n"
    yield (
        "binary, set, omap, timestamp",
        "a: !!binary aGk=\nb: !!set {x}\nc: !!omap [a: 1]\nd: !!timestamp 2001-01-01\n",
    )
    yield "target", GOOD.replace("ddpm", "{_target_: os.system, command: touch pwned}")
    yield "dotted use", GOOD.replace("ddpm", "{use: os.system}")
    yield "colon use", GOOD.replace("ddpm", "{use: 'antigravity:fly'}")
    yield "path as use", GOOD.replace("ddpm", "{use: ../../../etc/passwd}")
    for name in (
        "env:HOME",
        "decode:'1'",
        "select:sampler",
        "create:{}",
        "dict.keys:sampler",
        "deprecated:a",
        "coerce:a,b",
    ):
        yield f"oc.{name}", f"{GOOD}guidance: [{{use: odd, extra: '${{oc.{name}}}'}}]\n"
    yield "nested resolver", f"{GOOD}weights: '${{oc.${{sampler}}:HOME}}'\n"
    yield "environment in a path", f"{GOOD}weights: $HOME/x.onnx\n"
    yield "home in a path", "extends: ~/x.yaml\n"
    yield "doubling texts", "a0: xxxxxxxx\n" + lines(lambda n: f"a{n + 1}: '${{a{n}}}${{a{n}}}'\n", 4_000)
    yield "doubling lists", "a0: [1]\n" + lines(lambda n: f"a{n + 1}: ['${{a{n}}}', '${{a{n}}}']\n", 2_000)
    yield "long chain", "a0: 1\n" + lines(lambda n: f"a{n + 1}: '${{a{n}}}'\n", 4_900)
    yield "long chain, backwards", lines(lambda n: f"a{n}: '${{a{n + 1}}}'\n", 4_900)
    yield "deep chain", lines(lambda n: f"a{n}: {'[' * 40}'${{a{n + 1}}}'{']' * 40}\n", 200)
    yield "long circle", lines(lambda n: f"a{n}: '${{a{(n + 1) % 60}}}'\n", 60)
    yield "long path", "a: '${" + "a." * 500_000 + "a}'\n"
    yield "many references in a text", "a: 1\nb: '" + "${a}" * 200_000 + "'\n"
    yield "many references", "a: {b: {c: 1}}\n" + lines(lambda n: f"x{n}: '{'${a.b.c}' * 30}'\n", 3_000)
    yield "many dangling references", lines(lambda n: f"x{n}: '${{y{n}}}'\n", 4_900)
    yield "open references", "a: '" + "${" * 200_000 + "'\n"
    yield "many unknown keys", lines(lambda n: f"key{n}: 1\n", 4_900)
    yield (
        "many unknown parameters",
        f"{GOOD}guidance: {{use: odd, {lines(lambda n: f'low{n}: 1, ', 4_900)}}}\n",
    )
    yield "many parts", f"{GOOD}guidance: [{'classifier-free, ' * 9_900}]\n"
    yield "many unknown parts", f"{GOOD}guidance: [{'classifier-fre, ' * 9_900}]\n"
    yield "many wrong numbers", GOOD.replace("ddpm", f"{{use: ddim, steps: [{'a, ' * 9_900}]}}")
    yield (
        "many numbers",
        GOOD.replace("ddpm", f"{{use: ddim, stepz: 1, steps: [{lines(lambda n: f'{n}, ', 9_900)}]}}"),
    )
    yield "many values", "a: [" + "a, " * 150_000 + "]"
    yield "one long line", "a: [" + fill("aaaaaaaaaaaa" * 8 + ", ", LONGEST - 10) + "]"
    yield "one line of quotes", "a: [" + fill('"' + "b" * 100 + '", ', LONGEST - 10) + "]"
    yield "extends many", "extends: [" + lines(lambda n: f"p{n}, ", 9_000) + "]\n"
    yield "extends itself deep", "extends: [" + "[" * 30 + "base" + "]" * 30 + "]\n"
    yield "a long name", GOOD.replace("ddpm", "x" * 450_000)
    yield "a long key", "x" * 900 + ": 1\n" + "'" + "y" * 450_000 + "': 1\n"
    yield "a long number", GOOD.replace("ddpm", "{use: ddim, eta: " + "9" * 450_000 + "}")
    yield "a long hexadecimal number", GOOD.replace("ddpm", "{use: ddim, steps: 0x" + "9" * 390 + ", eta: 9}")
    yield "a long number in base 60", GOOD.replace("ddpm", "{use: ddim, steps: 1" + ":59" * 130 + "}")
    yield "a long text", GOOD.replace("ddpm", "{use: ddim, eta: '" + "x" * 450_000 + "'}")
    yield "a long version", f"{GOOD}plugins: {{require: {{acme: '{'1.' * 200_000}'}}}}\n"
    yield "many versions", f"{GOOD}plugins: {{require: {{acme: '{'>1,' * 200_000}'}}}}\n"
    yield "a long device", f"{GOOD}runtime: {{device: '{'cuda:' * 100_000}'}}\n"
    yield "a long hub", f"{GOOD}weights: 'hub:{'a/' * 200_000}x.pt!'\n"
    yield "a long package", f"{GOOD}weights: 'package:{'a.' * 2_000}/x.pt'\n"
    yield "directives", fill("%TAG !a! tag:b\n")
    yield "many documents", fill("--- a\n")
    for name, piece in (
        *(
            ("breaks", "\n"),
            ("spaces", " "),
            ("comments", "#\n"),
            ("carriage returns", "\r"),
            ("colons", ":"),
        ),
        *(
            ("keys", "a: b\n"),
            ("open quotes", "a: '"),
            ("double quotes", '"'),
            ("escapes", '"\\u0041'),
            ("blocks", "|\n"),
        ),
        *(
            ("folds", "a: >\n b\n"),
            ("questions", "?\n"),
            ("dashes", "-\n"),
            ("anchors", "&a "),
            ("aliases", "*a "),
            ("tags", "! "),
        ),
        *(
            ("braces", "{}"),
            ("brackets", "[],"),
            ("commas", ","),
            ("tabs", "\t"),
            ("controls", "\x07"),
            ("plain lines", "a\n"),
        ),
        *(
            ("wide", "\u65e5"),
            ("separators", "\u2028"),
            ("marks", "\ufeff"),
            ("percents", "a%\n"),
            ("dots", "...\n"),
            ("empty keys", ": "),
        ),
        *(
            ("tagged", "!!str a\n"),
            ("many flows", "[a]\n"),
            ("keys of lists", "[a]: b\n"),
            ("keys in a line", "a: b, "),
            ("pairs", "[a: b, "),
        ),
    ):
        yield f"nothing but {name}", fill(piece)


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Hostile files by name."""
    huge = folder / "huge.yaml"
    with huge.open("wb") as stream:
        stream.truncate(100 * MEGABYTE)
    yield "100 megabytes", huge
    for level in range(40):
        (folder / f"d{level}.yaml").write_text(f"extends: [d{level + 1}.yaml, d{level + 1}.yaml]\n")
    (folder / "d40.yaml").write_text(GOOD)
    yield "doubling extends", folder / "d0.yaml"
    for level in range(200):
        (folder / f"c{level}.yaml").write_text(f"extends: c{level + 1}.yaml\n")
    yield "long extends", folder / "c0.yaml"
    for name in ("/dev/zero", "/dev/stdin", "/proc/self/mem", "/", "huge.yaml"):
        file = folder / f"x{name.replace('/', '_')}.yaml"
        file.write_text(
            f"extends: '{name}'\n"
            if name.endswith("yaml")
            else f"extends: '{name}{'/.' if name == '/' else ''}'\n"
        )
        yield f"extends {name}", file
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.yaml")
        (folder / "p.yaml").write_text("extends: pipe.yaml\n")
        yield "extends a pipe", folder / "p.yaml"


class SpiedEnvironment(dict[str, str]):
    """Remembers what was asked for."""

    def __init__(self, real: dict[str, str]) -> None:
        super().__init__(real)
        self.asked: list[str] = []

    def __getitem__(self, key: str) -> str:
        self.asked.append(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.append(key)
        return super().get(key, default)


def outcome(read: Callable[[], object]) -> dict[str, Any]:
    """What became of one spec, and in what time of this process."""
    modules = set(sys.modules)
    spy = SpiedEnvironment(dict(os.environ))
    real = os.environ
    vars(os)["environ"] = spy
    start = time.process_time()
    problems: list[str] = []
    try:
        read()
        result = "read"
    except SpecError as error:
        result = "spec error"
        problems = [str(problem.place) + ": " + problem.what for problem in error.problems]
        length = len(str(error))
        assert length < 500_000, length
    except BaseException as error:
        result = f"{type(error).__name__}: {error}"[:300]
    seconds = time.process_time() - start
    vars(os)["environ"] = real
    return {
        "result": result,
        "seconds": seconds,
        "problems": problems[:100],
        "count": len(problems),
        "modules": sorted(set(sys.modules) - modules),
        "environment": spy.asked,
    }


def main(folder: Path) -> None:
    catalogue = make_catalogue()

    def parse(text: str) -> object:
        return make_plan(parse_spec(text, "s.yaml", catalogue=catalogue, folder=folder), catalogue)

    warm_up(catalogue)
    found = {name: outcome(lambda text=text: parse(text)) for name, text in texts()}  # type: ignore[misc]
    for name, file in files(folder):
        found[name] = outcome(lambda file=file: make_plan(read_spec(file, catalogue=catalogue), catalogue))  # type: ignore[misc]
    print(json.dumps(found))


def warm_up(catalogue: Catalogue) -> None:
    """Import what is imported on first use."""
    make_plan(
        parse_spec(
            BASE + "plugins: {require: {acme: '>=1'}}\n",
            "s",
            ["guidance=[{use: odd, colour: RED}]"],
            catalogue=catalogue,
        ),
        catalogue,
    )
    for text in ("plugins: {require: {no-such-thing: '>=1'}}", "a: [", GOOD.replace("ddpm", "needy")):
        try:
            make_plan(parse_spec(text, "s", ["a.b=1"], catalogue=catalogue), catalogue)
        except SpecError:
            continue


if __name__ == "__main__":
    main(Path(sys.argv[1]))
