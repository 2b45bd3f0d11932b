"""What the page's server holds: specs, the queue and who makes what is in it, the folder of images."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import yaml

from glidepath.core import GlidepathError
from glidepath.plugins.page.asked import Asked, decoded, read_asked
from glidepath.plugins.page.comparing import MOST_VARIANTS, read_axes, study, variants
from glidepath.plugins.page.descriptors import catalogue_document
from glidepath.plugins.page.editing import REMOVED
from glidepath.plugins.page.history import History
from glidepath.plugins.page.jobs import Job, Queue
from glidepath.plugins.page.measuring import measured, metric_names, unsuited
from glidepath.plugins.page.news import News
from glidepath.plugins.page.restoring import Restorer
from glidepath.plugins.page.specs import Specs
from glidepath.plugins.page.work import Work
from glidepath.registry import (
    Catalogue,
    Plan,
    canonical_json,
    naming_the_part,
    picture_bytes,
    require_readable,
)

if TYPE_CHECKING:
    from glidepath.plugins.page.making import Maker
    from glidepath.registry import Measurement

Json = Mapping[str, Any]


class Desk:
    """Answers what browsers ask. Every method takes plain values and returns plain values.

    files: specs of the server, which those of browsers may extend. out: the folder of images.
    studies, runs: the folders of what is watched. no_plugins: as the catalogue was loaded; who is asked
    about them loads none either.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        files: Sequence[Path] = (),
        out: Path,
        studies: Path = Path("runs/studies"),
        runs: Path = Path("runs"),
        no_plugins: bool = False,
    ) -> None:
        self.catalogue = catalogue
        self.specs = Specs(catalogue, files)
        self.history = History(out, self.specs.models)
        self.work = Work(studies=studies, runs=runs, no_plugins=no_plugins)
        self.queue = Queue(describe)
        self.news = News(self.queue)
        self._restorer = Restorer(self.specs)
        self._describing = threading.Lock()
        self._described: Json | None = None
        self._measuring = threading.Lock()
        self._measured: dict[str, Mapping[str, Measurement]] = {}
        self._rate = 0.0
        self._wanted = threading.Event()
        self._imported = threading.Event()  # two threads that import torch at once break it

    def start(self) -> None:
        """Begin to work. Torch is imported when the page has been opened, or soon."""
        self.queue.start(self._warm)

    def close(self) -> None:
        """Cancel what is under way."""
        self._wanted.set()
        self.queue.close()
        self.work.close()

    def _warm(self) -> None:
        _ = self.known
        self._wanted.wait(timeout=2)
        time.sleep(0.2)  # what the page asks for first is answered first
        try:
            _ = self._maker
        finally:
            self._imported.set()

    @cached_property
    def _maker(self) -> Maker:
        from glidepath.plugins.page.making import Maker, Pipelines

        return Maker(self.catalogue, Pipelines(self.catalogue), self.history.new)

    @property
    def known(self) -> Json:
        """Kinds, parts, parameters, presets."""
        with self._describing:
            if self._described is None:
                metrics = metric_names(self.catalogue)
                self._described = {**catalogue_document(self.catalogue), "metrics": metrics}
        return self._described

    def begin(self) -> Json:
        """What a page needs to begin."""
        text = self.specs.first()
        bases = [{"name": name, "summary": "a spec of this server"} for name in self.specs.files]
        out = self.history.folder.absolute().name
        answer = {"text": text, "check": self.specs.check(text), "files": bases, "out": out, **self.known}
        self._wanted.set()
        return answer

    def check(self, data: Json) -> Json:
        """What is wrong with the text of a spec."""
        return self.specs.check(_text(data))

    def edit(self, data: Json) -> Json:
        """The text with another value at a path, and what is wrong with it then."""
        path, value = data.get("path"), REMOVED if data.get("remove") else data.get("value")
        if not isinstance(path, str):
            raise GlidepathError("which value is to be changed is missing: path")
        if isinstance(written := data.get("yaml"), str):
            value = _yaml(written)
        text = self.specs.edit(_text(data), path, value)
        return {"text": text, "check": self.specs.check(text)}

    def fits(self, data: Json) -> Json:
        """Which parts of a kind do not fit at a path, and why."""
        path, kind = data.get("path"), data.get("kind")
        if not isinstance(path, str) or not isinstance(kind, str):
            raise GlidepathError("path and kind are texts")
        return self.specs.fits(_text(data), path, kind)

    def plan(self, data: Json) -> Json:
        """What an image costs: parameters, memory, FLOPs, and the time of it at the speed of the last.

        takes, texts, classes: what may be given beside prompts, as a `Measurement` has it.
        """
        asked = read_asked({"text": data.get("text"), "size": data.get("size")})
        plan = self.specs.plan(asked.text)
        try:
            costs = self._costs(plan, asked)
        except GlidepathError as error:
            return {"unknown": str(error)}
        flops = sum(cost.total_flops for cost in costs.values())
        first, *others = (dict(cost.inputs) for cost in costs.values())
        for stage in others:  # it enlarges what the one before made
            stage.pop("low_res", None)
            first.update(stage)
        classes = [cost.classes for cost in costs.values() if cost.classes is not None]
        return {
            "takes": {name: told for name, told in first.items() if name not in ("image", "mask")},
            "texts": list(dict.fromkeys(name for cost in costs.values() for name in cost.texts)),
            "classes": min(classes, default=None),
            "parameters": sum(sum(cost.parameters.values()) for cost in costs.values()),
            "memory": max(cost.memory_bytes for cost in costs.values()),
            "flops": flops,
            "steps": sum(cost.steps for cost in costs.values()),
            "evaluations": sum(cost.evaluations for cost in costs.values()),
            "device": next(iter(costs.values())).device,
            "seconds": flops / self._rate if self._rate else None,
        }

    def _costs(self, plan: Plan, asked: Asked) -> Mapping[str, Measurement]:
        from glidepath.registry import measure

        key = _cost_key(plan, asked)
        self._imported.wait(timeout=60)
        with self._measuring:
            if key not in self._measured:
                if len(self._measured) > 200:
                    self._measured.clear()
                self._measured[key] = measure(plan, self.catalogue, asked.size)
        return self._measured[key]

    def make(self, data: Json) -> Json:
        """Have images made; returns the job."""
        asked = read_asked(data)
        plan = self.specs.plan(asked.text, need_weights=True)
        self._require_readable(asked, plan)
        job = self.job(asked, plan)
        self.queue.add(job)
        return job.document()

    def _require_readable(self, asked: Asked, plan: Plan) -> None:
        """Refuse texts that cannot be read before they wait for their turn."""
        if any(asked.prompts):
            self._imported.wait(timeout=60)
            with naming_the_part(plan):
                require_readable(plan, asked.read, self.catalogue)

    def job(self, asked: Asked, plan: Plan) -> Job:
        """The job that makes what is asked for."""

        def do(job: Job) -> Json:
            began = time.perf_counter()
            result = self._maker.make(job, plan, asked)
            if costs := self._measured.get(_cost_key(plan, asked)):
                flops = sum(cost.total_flops for cost in costs.values()) * len(result["files"])
                self._rate = flops / (time.perf_counter() - began)
            return result

        return Job("make", asked.title, do)

    def compare(self, data: Json) -> Json:
        """Have the variants of a spec made on the same prompts and noise; returns a job for each.

        unsuited: why a metric cannot judge them, by its name.
        """
        asked, axes = read_asked(data), read_axes(str(data.get("axes", "")))
        group, jobs = secrets.token_hex(8), []
        made = variants(self.specs, asked.text, axes, need_weights=True)
        for variant in made:
            self._require_readable(asked, variant.plan)
            job = self.job(asked, variant.plan)
            jobs.append(attrs.evolve(job, group=group, label=variant.label, about=variant.about))
        self._imported.wait(timeout=60)
        reasons = unsuited([variant.plan for variant in made], asked.count, self.catalogue)
        self.queue.add(*jobs)
        return {"group": group, "jobs": [job.document() for job in jobs], "unsuited": reasons}

    def measure(self, data: Json) -> Json:
        """Have a metric asked about the images of some jobs; returns the job."""
        name, ids = data.get("metric"), data.get("jobs")
        if not isinstance(name, str) or not isinstance(ids, list) or not 0 < len(ids) <= MOST_VARIANTS:
            raise GlidepathError(f"a metric is asked about 1 to {MOST_VARIANTS} jobs: metric, jobs")
        jobs = [self.queue.job(str(id)) for id in ids]

        def do(job: Job) -> Json:
            job.step(0, 1)
            _ = self._maker  # torch is imported by this thread alone
            return measured(name, jobs, self.history, self.catalogue)

        job = Job("measure", name, do)
        self.queue.add(job)
        return job.document()

    def study(self, data: Json) -> Json:
        """The file of a study that makes the same comparison."""
        asked, axes = read_asked(data), read_axes(str(data.get("axes", "")))
        return {"text": study(self.specs, asked, axes), "name": "comparison.yaml"}

    def noise(self, data: Json) -> Json:
        """Have the forward chain of a picture made; returns the job."""
        asked = read_asked(data)
        if "image" not in asked.pictures:
            raise GlidepathError("the forward chain is one of a picture: give it as pictures.image")
        plan = self.specs.plan(asked.text)
        job = Job("noise", "the forward chain", lambda job: self._maker.noised(job, plan, asked))
        self.queue.add(job)
        return job.document()

    def cancel(self, id: str) -> Json:
        """Have a job stop."""
        self.queue.cancel(id)
        return self.queue.job(id).document()

    def restore(self, data: Json) -> Json:
        """What an image says was asked for: one of the folder by its file's name, or the bytes of any."""
        if isinstance(name := data.get("file"), str):
            return self._restorer.restore(picture_bytes(self.history.file(name)), name)
        return self._restorer.restore(decoded(data.get("png"), "that was dropped"), "the picture")

    def replay(self, data: Json) -> Json:
        """Have an image of the folder made again and held against its file; returns the job."""
        file = self.history.file(str(data.get("file")))

        def do(job: Job) -> Json:
            from glidepath.registry import replay

            job.step(0, 1)
            return {"difference": replay(file, self.catalogue).difference}

        job = Job("replay", file.name, do)
        self.queue.add(job)
        return job.document()

    def frame(self, id: str, index: int, what: str) -> bytes:
        """A picture of the walk of a job.

        Raises:
            GlidepathError: it is not kept.
        """
        frame = self.queue.job(id).frames.get(index, {})
        if what not in frame:
            raise GlidepathError("that state is not kept")
        return frame[what]


def describe(error: BaseException) -> str:
    """What an exception says to a person."""
    notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
    said = str(error) if isinstance(error, GlidepathError) else f"{type(error).__name__}: {error}"
    return "\n".join([said, *notes])[:4_000]


def _text(data: Json) -> str:
    text = data.get("text")
    if not isinstance(text, str):
        raise GlidepathError("the text of the spec is missing: text")
    return text


def _yaml(written: str) -> Any:
    """A value as a person writes it in a field of the form."""
    try:
        if len(written) > 10_000 or ("*" in written and "&" in written):
            raise ValueError("it is too long, or has aliases")
        return yaml.safe_load(written)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise GlidepathError(f"{written[:60]!r} is no value of YAML; quotes make a text of it") from error


def _cost_key(plan: Plan, asked: Asked) -> str:
    return f"{asked.size} {canonical_json(plan.tree)}"
