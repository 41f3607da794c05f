"""The queue of videos. A thread processes one after the other; their folders stay if the server is killed."""

from __future__ import annotations

import json
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from posecli.api import Watch, write_poses
from posecli.draw.skeleton import Drawing
from posecli.engines.load import Networks
from posecli.errors import PoseError
from posecli.files import replacing
from posecli.followup import FollowUp
from posecli.lists import listed
from posecli.models import weights
from posecli.models.checkpoints import read_spec
from posecli.output.record import Outputs, Style
from posecli.pipeline.choices import Choices
from posecli.results.edit import BadEdit, edited
from posecli.results.events import asked_events, marks
from posecli.results.measure import measurable
from posecli.results.page import write_report
from posecli.results.recording import Recording, read_result, write_result
from posecli.results.render import redraw, reopened
from posecli.types import FramePoses

State = Literal["queued", "running", "done", "failed", "cancelled"]
QUEUE = 8  # jobs that wait at most
ANGLES = "knee,hip,elbow,shoulder,ankle,trunk"  # as far as the network has the joints
ORIGINAL = "original.json"  # the result before it was corrected


@dataclass
class Job:
    """One video and what is made of it. `result.mp4`, `.csv`, `.json`, `.html` lie in its folder."""

    id: str
    name: str  # of the file, as its sender called it; shown, never opened
    upload: str  # the file's name in the folder
    options: dict[str, Any] = field(default_factory=dict)
    state: State = "queued"
    what: str = ""  # what it is at
    frames: int = 0
    total: int | None = None
    frames_per_second: float | None = None
    seconds_left: float | None = None
    error: str | None = None
    messages: list[str] = field(default_factory=list)


class Busy(PoseError):
    """The queue is full."""


class Jobs:
    """Every job of a folder; one is worked on at a time."""

    def __init__(self, folder: Path, device: str, yield_to: Callable[[], bool] = lambda: False) -> None:
        """yield_to: asked after each frame; while it says yes, the job waits (live frames go first)."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._device, self._yield_to = device, yield_to
        self._networks: dict[str | None, Networks] = {}
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._lock, self._correcting = threading.Lock(), threading.Lock()
        self._stop = threading.Event()
        self._jobs: dict[str, Job] = {}
        for left in folder.glob("*/clip.json"):  # sent to a server before, and never begun
            if not left.with_name("job.json").exists():
                self.discard(left.parent.name)
        for path in sorted(folder.glob("*/job.json")):
            job = Job(**json.loads(path.read_text(encoding="utf-8")))
            self._jobs[job.id] = job
            if job.state in ("queued", "running"):
                job.state = "queued"
                self._waiting.put(job.id)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def folder_of(self, job: Job) -> Path:
        return self.folder / job.id

    def upload_of(self, job: Job) -> Path:
        return self.folder_of(job) / job.upload

    def all(self) -> list[Job]:
        return list(self._jobs.values())

    def get(self, number: str) -> Job | None:
        return self._jobs.get(number)

    def check_room(self) -> None:
        """Raise Busy where the queue is full."""
        if self._waiting.qsize() >= QUEUE:
            raise Busy(f"{QUEUE} videos are waiting already; try again when one is done.")

    def new_folder(self) -> tuple[str, Path]:
        """An id, and a private folder for what is sent."""
        number = secrets.token_hex(8)
        folder = self.folder / number
        folder.mkdir(mode=0o700)
        return number, folder

    def add(self, job: Job) -> Job:
        self.check_room()
        self._jobs[job.id] = job
        self._save(job)
        self._waiting.put(job.id)
        return job

    def discard(self, number: str) -> None:
        """Take away what was sent and can't be worked on."""
        shutil.rmtree(self.folder / number, ignore_errors=True)

    def correct(self, job: Job, edits: list[tuple[str, str]]) -> Recording:
        """Correct a result; JSON, CSV, page and video are written anew, one correction after the other."""
        base = self.folder_of(job) / "result.json"
        with self._correcting:
            try:
                recording = edited(read_result(base), edits)
            except BadEdit as error:
                raise PoseError(str(error)) from error
            self._draw(job, recording, job.options)
            before = base.with_name(ORIGINAL)
            if not before.exists():  # what the networks found stays
                with replacing(before) as part:
                    shutil.copyfile(base, part)
            write_result(recording, base, base.with_suffix(".csv"))
            self._report(job, recording)
        return recording

    def draw(self, job: Job, drawing: dict[str, Any]) -> None:
        """Draw the video of a result again, with other options. Raises PoseError for those that it can't draw."""
        with self._correcting:
            recording = read_result(self.folder_of(job) / "result.json")
            options = {k: v for k, v in job.options.items() if k not in drawing} | drawing
            self._draw(job, recording, options)
            job.options = options
            self._report(job, recording)
            self._save(job)

    def _draw(self, job: Job, recording: Recording, options: dict[str, Any]) -> None:
        found = asked_events(recording, options.get("events") or "")
        drawing = replace(_drawing(options), marks=marks(found))
        source = reopened(recording, str(self.upload_of(job)))
        try:
            redraw(recording, source, self.folder_of(job) / "result.mp4", drawing)
        finally:
            source.close()

    def _report(self, job: Job, recording: Recording) -> None:
        page = self.folder_of(job) / "result.html"
        write_report(recording, page, page.with_suffix(".mp4"), events=job.options.get("events") or "")

    def delete(self, job: Job) -> None:
        """End it, if it runs, and take everything of it away."""
        job.state = "cancelled"
        with self._lock, self._correcting:  # its run, and its correction, have let go of the files
            shutil.rmtree(self.folder_of(job), ignore_errors=True)
            self._jobs.pop(job.id, None)

    def close(self) -> None:
        self._stop.set()
        self._waiting.put(None)
        self._thread.join(timeout=10)

    # ------------------------------------------------------------ the thread

    def _work(self) -> None:
        while (number := self._waiting.get()) is not None and not self._stop.is_set():
            job = self._jobs.get(number)
            if job is None or job.state == "cancelled":
                continue
            with self._lock:
                try:
                    self._run(job)
                except _Ended:
                    pass
                except Exception as error:  # whatever is wrong with one video, the next is worked on
                    job.state = "failed"
                    job.error = (
                        str(error) if isinstance(error, PoseError) else f"{type(error).__name__}: {error}"
                    )
                if self.folder_of(job).is_dir() and not self._stop.is_set():
                    self._save(job)

    def _run(self, job: Job) -> None:
        job.state = "running"
        self._save(job)
        folder, options = self.folder_of(job), job.options
        base = folder / "result.mp4"
        outputs = Outputs(base, base.with_suffix(".csv"), base.with_suffix(".json"))
        choices = Choices(
            select=options.get("select"), start=options.get("start"), end=options.get("end"),
            max_people=options.get("max_people"),
        )  # fmt: skip
        further = FollowUp(
            options.get("people"),
            bool(options.get("repair_sides")),
            options["angles"] if "angles" in options else _usual_angles(options.get("model")),
            options.get("events"),
            report=True,
        )
        model = options.get("model")
        networks = self._networks.setdefault(model, Networks(self._device, model))
        resume = outputs.partial.is_dir() and any(outputs.partial.iterdir())
        watch = Watch(self._stage(job), job.messages.append, self._frames(job))
        summary = write_poses(
            str(self.upload_of(job)), outputs, choices, networks, Style(_drawing(options)), further, overwrite=not resume,
            resume=resume, name=job.name, watch=watch,
        )  # fmt: skip
        job.messages += summary.messages
        job.frames, job.state, job.what = summary.frames, "done", ""
        job.seconds_left = None

    def _stage(self, job: Job) -> Callable[[str, int | None], Any]:
        @contextmanager
        def stage(what: str, total: int | None) -> Iterator[Callable[[], None]]:
            job.what, job.total, job.frames = what, total, 0
            began = time.monotonic()

            def step() -> None:
                job.frames += 1
                job.frames_per_second = job.frames / max(time.monotonic() - began, 1e-6)
                if job.total:
                    job.seconds_left = max(0.0, (job.total - job.frames) / job.frames_per_second)

            yield step

        return stage

    def _frames(self, job: Job) -> Callable[[Iterable[FramePoses]], Iterator[FramePoses]]:
        def frames(found: Iterable[FramePoses]) -> Iterator[FramePoses]:
            for poses in found:
                if job.state == "cancelled" or self._stop.is_set():
                    raise _Ended
                while self._yield_to() and not self._stop.is_set():
                    time.sleep(0.005)
                yield poses

        return frames

    def _save(self, job: Job) -> None:
        with replacing(self.folder_of(job) / "job.json") as part:
            part.write_text(json.dumps(asdict(job)), encoding="utf-8")


def _usual_angles(model: str | None) -> str:
    """Those of ANGLES that a network has the joints for."""
    joints = read_spec(weights.find_model(model or weights.MODEL)).bones.joints
    return ",".join(measurable(joints, listed(ANGLES)))


def _drawing(options: Mapping[str, Any]) -> Drawing:
    return Drawing(
        angles=tuple(listed(options.get("draw_angles"))),
        trails=tuple(listed(options.get("trails"))),
        horizontal=options.get("horizontal"),
        blur_faces=bool(options.get("blur_faces")),
        black=bool(options.get("black")),
    )


class _Ended(BaseException):
    """The job was deleted, or the server ends: what is written stays, to be gone on with."""
