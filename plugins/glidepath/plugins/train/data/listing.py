"""Which files of a folder are images with captions, and which captions: read before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from glidepath.core import PartError
from glidepath.plugins.train.data.examples import Example, Examples, composed, finished, normal, raise_all
from glidepath.plugins.train.data.rows import examples_of, json_rows
from glidepath.registry import PICTURE_SUFFIXES, list_names, read_text

if TYPE_CHECKING:
    from glidepath.plugins.train.data.configs import CaptionedFolderConfig

METADATA = "metadata.jsonl"
CAPTION = ".txt"
_NO_DATA = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"}
_LONGEST = 2**20  # bytes of a text file that may be a caption


def list_folder(config: CaptionedFolderConfig) -> tuple[Examples, list[str]]:
    """The images of a folder and of those inside it, with their captions; and what is passed over.

    Captions are the lines of its metadata.jsonl, or without that file stand in a text file beside each image.
    Names that begin with a dot, and what systems leave in folders (__MACOSX, Thumbs.db), are no data. Names
    that differ only in how Unicode composes their letters are one name.

    Raises:
        PartError: there are no images, or images and captions do not find each other; the first are named.
    """
    folder = config.folder
    if not folder.is_dir():
        raise PartError(f"captioned-folder: {folder} is not a folder")
    names, notes = _names(folder)
    images = sorted((name for name in names if _is_image(folder, name)), key=_order)
    listed = _from_metadata if METADATA in names else _from_texts
    examples, problems = listed(config, names, images)
    raise_all(problems)
    if not examples:
        suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
        raise PartError(f"captioned-folder: {folder} holds no images ({suffixes})")
    examples = finished(examples, config, str(folder))
    return examples, [*_left(folder, names, set(images), examples), *notes]


def _names(folder: Path) -> tuple[list[str], list[str]]:
    """The names of all files in a folder that may be data, and a note of linked folders."""
    names: list[str] = []
    links: list[str] = []

    def fail(error: OSError) -> None:
        raise PartError(f"captioned-folder: cannot read {error.filename}: {error.strerror}") from error

    for at, folders, files in os.walk(folder, onerror=fail):
        inside = Path(at).relative_to(folder).as_posix()
        here = "" if inside == "." else f"{inside}/"
        folders[:] = [name for name in folders if _may_be_data(name)]
        links += [here + name for name in folders if os.path.islink(os.path.join(at, name))]
        names += [here + name for name in files if _may_be_data(name)]
    return names, [_note(folder, links, "link", "to another folder, which is not followed")] if links else []


def _may_be_data(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in _NO_DATA


def _is_image(folder: Path, name: str) -> bool:
    return _ending(name) in PICTURE_SUFFIXES and os.path.isfile(os.path.join(folder, name))


def _order(name: str) -> list[str]:
    """What names are sorted by: the same on every system."""
    return composed(name).split("/")


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _from_texts(
    config: CaptionedFolderConfig, names: list[str], images: list[str]
) -> tuple[Examples, list[str]]:
    """The examples of text files beside images, and what is wrong with them."""
    folder = config.folder
    columns = [*filter(None, (config.weight, config.label, config.held_out)), *config.facts]
    if columns and images:
        raise PartError(
            f"captioned-folder: {list_names(columns)} are columns of {folder / METADATA}, and there is none"
        )
    texts = {_stem(name): name for name in names if _ending(name) == CAPTION}
    same = {composed(stem): name for stem, name in texts.items()}
    pairs = [(image, texts.get(_stem(image)) or same.get(composed(_stem(image)))) for image in images]
    examples, problems = Examples(), list[str]()
    for image, text in pairs:
        if text is None:
            continue
        try:
            examples.append(Example(image, (read_text(folder / text, _LONGEST).strip(),), text))
        except OSError as error:
            problems.append(f"cannot read captions from {folder / text}: {error}")
        except UnicodeDecodeError as error:
            problems.append(f"{folder / text} is not UTF-8, which captions are written in: {error}")
    alone = [str(folder / image) for image, text in pairs if text is None]
    if alone:
        problems.append(
            f"captioned-folder: {len(alone)} of {len(images)} images have no caption (such as "
            f"{list_names(alone, 3)}): write it into a .txt file of the same name, or all captions into "
            f"{folder / METADATA}"
        )
    lonely = sorted({*texts.values()}.difference(text for _, text in pairs if text), key=_order)
    if lonely and images:
        beside = [name for name in names if _stem(name) == _stem(lonely[0]) and name != lonely[0]]
        what = f"{folder / lonely[0]}, beside {beside[0]}" if beside else str(folder / lonely[0])
        problems.append(
            f"captioned-folder: {len(lonely)} of {len(texts)} captions have no image of a format that is "
            f"read (such as {what}): move away what is no caption"
        )
    return examples, problems


def _from_metadata(
    config: CaptionedFolderConfig, names: list[str], images: list[str]
) -> tuple[Examples, list[str]]:
    """The examples of metadata.jsonl, and what is wrong with its lines."""
    folder, known = config.folder, {*names}
    sound = {image for image in images if not os.path.islink(os.path.join(folder, image))}
    same = {composed(name): name for name in names}
    return examples_of(
        json_rows(folder / METADATA),
        config,
        folder,
        "file_name",
        lambda name: name if name in known else same.get(normal(name), name),
        lambda name: "" if name in sound else outside_or_absent(folder, name),
        images,
    )


def faults_in(folder: Path) -> Callable[[str], str]:
    """What keeps a name from being a file inside a folder, of names of which many lie in one folder."""
    inside: dict[str, bool] = {}

    def fault(name: str) -> str:
        parent = os.path.dirname(name)
        if parent not in inside:
            inside[parent] = not outside_or_absent(folder, parent, os.path.isdir)
        path = os.path.join(folder, name)
        if inside[parent] and os.path.isfile(path) and not os.path.islink(path):
            return ""
        return outside_or_absent(folder, name)

    return fault


def outside_or_absent(folder: Path, name: str, is_there: Callable[[Path], bool] = os.path.isfile) -> str:
    """What keeps a name from being a file inside a folder."""
    path = folder / name
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            return f"{name} is outside of {folder}"
        return "" if is_there(path) else f"there is no image {path}"
    except (OSError, RuntimeError) as error:  # too long a name; links in a circle
        return f"there is no image {path} ({error})"


def _left(folder: Path, names: list[str], images: set[str], examples: Examples) -> Iterator[str]:
    """Notes of what is not trained on, and of what is trained on twice."""
    rest = dict.fromkeys(names)
    rest.pop(METADATA, None)
    several = set()
    for example in examples:
        if rest.pop(example.name, example) is example:
            several.add(example.name)
        rest.pop(example.place, None)
    left = [*rest]
    unnamed = [name for name in left if name in images]
    others = [name for name in left if name not in images]
    if unnamed:
        yield _note(folder, unnamed, "image", f"passed over, which {METADATA} does not name")
    if others:
        yield _note(folder, others, "file", "passed over, of no format that is read")
    seen: set[tuple[str, tuple[str, ...]]] = set()
    twice = []
    for example in (it for it in examples if it.name in several) if several else ():
        if (example.name, example.captions) in seen:
            twice.append(example.place)
        seen.add((example.name, example.captions))
    if twice:
        yield _note(folder, twice, "line", "with the image and the text of another, trained on as often")


def _note(folder: Path, names: list[str], what: str, why: str) -> str:
    return f"{folder}: {len(names)} {what}{'s' if len(names) > 1 else ''} {why}: {list_names(names, 3)}"
