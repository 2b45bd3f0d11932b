"""Files and folders of repositories on the Hugging Face hub, by its own package huggingface_hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import attrs

from glidepath.registry.files.shards import WEIGHT_EXTENSIONS, choose_weights, is_index, read_index
from glidepath.registry.files.tensor_file import WeightsError

if TYPE_CHECKING:
    from glidepath.registry.plan.address import Address

_LONGEST_WAIT = 10.0


def fetch_weights(address: Address) -> Path:
    """The file of weights of a hub address, or the index of several, which then lie beside it.

    Of a folder, no more is fetched than the files that are meant. The cache of huggingface_hub holds them.

    Raises:
        WeightsError: the hub does not give them.
    """
    with _of(address) as hub:
        name = hub.below
        if not name.endswith(WEIGHT_EXTENSIONS) and not is_index(name):
            beside = [PurePosixPath(it).name for it in hub.names() if PurePosixPath(it).parent == hub.folder]
            name = str(hub.folder / choose_weights(beside, address.variant, str(address)))
        file = hub.fetch(name)
        if is_index(name):
            for shard in read_index(file):
                hub.fetch(str(PurePosixPath(name).parent / shard))
        return file


def fetch_path(address: Address) -> Path:
    """The file of a hub address, or its folder with all that is in it.

    Raises:
        WeightsError: the hub does not give it.
    """
    with _of(address) as hub:
        names = hub.names()
        if hub.below in names:
            return hub.fetch(hub.below)
        below = [name for name in names if PurePosixPath(name).is_relative_to(hub.folder)]
        if not below:
            raise WeightsError(f"{hub.title}: {hub.repository} has no file or folder {hub.below}")
        files = [hub.fetch(name) for name in below]
        first = PurePosixPath(below[0]).relative_to(hub.folder)
        return files[0].parents[len(first.parts) - 1]


@attrs.frozen
class _Repository:
    """One repository at a revision. below: what an address names in it; folder: the same, as a folder.

    is_reached: whether the hub answers; where it does not, files are those in the cache.
    """

    module: Any
    repository: str
    below: str
    revision: str | None
    title: str
    is_reached: bool

    @property
    def folder(self) -> PurePosixPath:
        return PurePosixPath(self.below)

    def fetch(self, name: str) -> Path:
        only_here = not self.is_reached
        return Path(
            self.module.hf_hub_download(
                self.repository, name, revision=self.revision, local_files_only=only_here
            )
        )

    def names(self) -> list[str]:
        """Of all files in it."""
        if self.is_reached:
            return list(self.module.HfApi().list_repo_files(self.repository, revision=self.revision))
        home = Path(
            self.module.snapshot_download(self.repository, revision=self.revision, local_files_only=True)
        )
        return [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]


def _is_reached(module: Any, repository: str, revision: str | None) -> bool:
    """Whether the hub answers. It is asked once: what fetches and lists asks six times, in 23 s."""
    try:
        module.HfApi().model_info(repository, revision=revision, timeout=_LONGEST_WAIT)
    except module.utils.HfHubHTTPError:  # an answer too, which what fetches tells
        return True
    except Exception:  # whatever its client of HTTP raises where there is no connection
        return False
    return True


@contextmanager
def _of(address: Address) -> Iterator[_Repository]:
    """The repository of an address; what goes wrong with it is said in one line."""
    title = f"hub:{address.value}" + (f" at revision {address.revision!r}" if address.revision else "")
    try:
        import huggingface_hub
        from huggingface_hub import utils
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"hub:{address.value} needs huggingface_hub: pip install 'glidepath-diffusion[hub]'"
        ) from error
    owner, name, *below = address.value.split("/")
    repository, revision = f"{owner}/{name}", address.revision
    is_reached = _is_reached(huggingface_hub, repository, revision)
    hub = _Repository(huggingface_hub, repository, "/".join(below), revision, title, is_reached)
    try:
        yield hub
    except utils.GatedRepoError as error:
        why = f"{hub.repository} is given to those only who agreed to its terms; log in with: hf auth login"
        raise WeightsError(f"{title}: {why}") from error
    except utils.RepositoryNotFoundError as error:
        none = f"the hub has no repository {hub.repository}, or none that you may read"
        why = f"{none}; log in with: hf auth login"
        raise WeightsError(f"{title}: {why}") from error
    except utils.RevisionNotFoundError as error:
        why = f"{hub.repository} has no such branch, tag or commit"
        raise WeightsError(f"{title}: {why}") from error
    except (utils.LocalEntryNotFoundError, utils.OfflineModeIsEnabled, ConnectionError) as error:
        why = "the hub cannot be reached, and the file is not in the cache of huggingface_hub here"
        raise WeightsError(f"{title}: {why}") from error
    except utils.EntryNotFoundError as error:
        raise WeightsError(f"{title}: {hub.repository} has no file {hub.below}") from error
    except (OSError, ValueError) as error:
        said = str(error).strip().splitlines()
        what = said[0] if said else type(error).__name__
        raise WeightsError(f"{title} cannot be fetched: {what}") from error
