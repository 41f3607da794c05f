"""Writes video, CSV and JSON. A file gets its final name only when it is complete."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from posecli import defaults
from posecli.draw.renderer import Renderer
from posecli.draw.skeleton import Drawing
from posecli.errors import Interrupted, PoseError
from posecli.output.document import LinesWriter, assemble, assemble_lines
from posecli.output.resume import Partial, SeenWriter, read_seen
from posecli.output.table import Layout, TableWriter
from posecli.output.video import VideoWriter, check_output
from posecli.prefetch import ahead, room
from posecli.skeletons import Skeleton
from posecli.sources.open import OpenedSource
from posecli.sources.photos import fitted
from posecli.stages import Timer, untimed
from posecli.types import FramePoses, Seen

STDOUT = Path("-")


@dataclass(frozen=True)
class Outputs:
    """Where results go; None turns one off. JSON to `-` goes to stdout."""

    video: Path | None
    csv: Path | None
    json: Path | None
    csv_layout: Layout = "wide"

    def files(self) -> list[Path]:
        return [p for p in (self.video, self.csv, self.json) if p is not None and p != STDOUT]

    @property
    def partial(self) -> Path:
        """The folder that the run writes into until it is done."""
        files = self.files()
        base = files[0] if files else Path(tempfile.gettempdir()) / f"posecli-{os.getpid()}"
        return base.with_name(base.name + ".partial")


@dataclass
class Summary:
    """What came of a run."""

    frames: int = 0
    people: int = 0  # people summed over frames
    tracks: set[int] = field(default_factory=set)
    damaged: int = 0
    seconds: float = 0.0  # of work
    messages: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)  # what was written

    def record(self) -> dict[str, Any]:
        """What the JSON says of it: nothing that depends on the clock."""
        return {
            "frames": self.frames,
            "people": self.people,
            "tracks": len(self.tracks),
            "damaged": self.damaged,
            "messages": self.messages,
        }


@dataclass(frozen=True)
class Style:
    """How the video is drawn and encoded."""

    drawing: Drawing = Drawing()
    codec: str = "h264"
    crf: int = 20
    preset: str = "veryfast"


def check_outputs(outputs: Outputs, overwrite: bool, resume: bool = False) -> None:
    """Raise PoseError before any work for outputs that exist or can't be written."""
    if outputs.video is not None:
        check_output(outputs.video)
    left = Partial(outputs.partial)
    if left.empty:
        left.remove()
    if resume and not left.folder.is_dir():
        raise PoseError(f"There is no {left.folder} to resume; leave out --resume.")
    for path in outputs.files():
        # A run that was killed while it moved its results has some of them in place already.
        if path.exists() and not overwrite and not (resume and left.ready.exists()):
            raise PoseError(f"{path} exists already; choose another name or add --overwrite.")
        if path.is_dir():
            raise PoseError(f"{path} is a folder; give a file's name.")
        if not path.parent.is_dir():
            raise PoseError(f"There is no folder {path.parent} to write {path.name} into; make it first.")
    if left.folder.exists() and not overwrite and not resume:
        raise PoseError(
            f"{left.folder} is an interrupted run; add --resume to continue it, or --overwrite to discard it."
        )


def record(
    source: OpenedSource,
    frames: Callable[[Iterable[Seen]], Iterable[FramePoses]],
    skeleton: Skeleton,
    outputs: Outputs,
    style: Style,
    header: Mapping[str, object],
    *,
    span: tuple[float | None, float | None] = (None, None),
    progress: Callable[[FramePoses], None] = lambda _: None,
    resume: bool = False,
    timer: Timer = untimed,
) -> Summary:
    """Write everything; files appear under their final names when all is done.

    frames: gives the poses of the frames that come after those that a broken run has seen. Interrupted
    by Ctrl-C or an error, what was written so far is closed properly and stays in `outputs.partial`;
    killed at any moment, `resume` goes on after the last closed segment.
    """
    partial, summary = Partial(outputs.partial), Summary()
    started = time.monotonic()
    if not _begin(
        partial,
        {**header, "style": asdict(style), "layout": outputs.csv_layout, "bytes": _size(source)},
        resume,
    ):
        return _publish(partial, outputs)
    renderer = Renderer(skeleton, style.drawing)
    if resume:
        _count_stored(summary, partial, renderer)
    going_on = summary.frames > 0
    try:
        with ExitStack() as stack:
            writers = stack.enter_context(
                _Writers(source, skeleton, outputs, style, renderer, partial, span, going_on, timer)
            )
            # The networks work on the next frames while this one is drawn and written. Closing ends their
            # threads before anybody closes the source that they read.
            seen = read_seen(partial.seen) if going_on else ()
            coming = stack.enter_context(closing(ahead(frames(seen), room(source.width, source.height))))
            marked = summary.frames
            for poses in coming:
                drawn = writers.write(poses)
                _count(summary, poses)
                progress(drawn)
                if summary.frames - marked >= defaults.SEGMENT_FRAMES:
                    writers.mark(summary.frames)
                    marked = summary.frames
            if summary.frames:
                writers.mark(summary.frames)
        if summary.frames == 0:
            shutil.rmtree(partial.folder)
            raise PoseError(
                f"{source.name} has no frame between --start and --end: it begins at {float(source.origin):g} s. "
                f"Nothing was written."
            )
        summary.seconds = time.monotonic() - started
        summary.messages = source.trouble.sentences() + writers.messages
        _assemble(partial, outputs, _as_read(header, source), summary)
    except BaseException as error:
        told = _told(error, summary, source, partial)
        if told is None:
            raise
        raise told from (None if isinstance(error, KeyboardInterrupt) else error)
    return _publish(partial, outputs, summary)


def _begin(partial: Partial, asked: dict[str, Any], resume: bool) -> bool:
    """Make the folder of a run, or take up a broken one's. False: all is written, and only to be moved."""
    if not resume:
        try:
            partial.begin(asked)
        except OSError as error:
            raise PoseError(
                f"{partial.folder.parent} can't be written to ({error.strerror}); choose another --out."
            ) from error
        return True
    if partial.ready.exists() and not partial.header.exists():
        return False
    partial.check_same(asked)
    if partial.ready.exists():
        return False
    partial.take_up()
    return True


class _Writers(AbstractContextManager["_Writers"]):
    """The files that grow with each frame, closed together."""

    def __init__(
        self, source: OpenedSource, skeleton: Skeleton, outputs: Outputs, style: Style, renderer: Renderer, partial: Partial,
        span: tuple[float | None, float | None], going_on: bool, timer: Timer,
    ) -> None:  # fmt: skip
        self._style, self._partial, self._timer = style, partial, timer
        self._renderer = renderer
        self._video: VideoWriter | None = None
        self._suffix = None if outputs.video is None else outputs.video.suffix
        self._source, self._span = source, span
        with ExitStack() as stack:
            self._table = stack.enter_context(
                _closing(
                    TableWriter(partial.rows, skeleton, outputs.csv_layout, going_on, photos=source.still)
                )
            )
            self._lines = stack.enter_context(_closing(LinesWriter(partial.lines, skeleton, append=going_on)))
            self._memory = stack.enter_context(_closing(SeenWriter(partial.seen, append=going_on)))
            self._open = stack.pop_all()
        if going_on:
            self._open_video()

    def write(self, poses: FramePoses) -> FramePoses:
        """Write a frame; returns it with the picture that was written, if any was."""
        with self._timer("write"):
            self._table.write(poses)
            self._lines.write(poses)
            if poses.seen is not None:
                self._memory.write(poses.seen)
        if self._video is None:
            self._open_video()
        if self._video is not None:
            with self._timer("draw"):
                image = self._renderer.draw(poses)
            with self._timer("encode"):
                self._video.write(fitted(image, self._video.size), poses.frame.time)
            return replace(poses, frame=replace(poses.frame, image=image))
        return poses

    def mark(self, frames: int) -> None:
        """End a segment: what is written up to here survives a kill."""
        if self._video is not None:
            self._video.cut()
        for writer in (self._table, self._lines, self._memory):
            writer.flush()
        self._partial.mark(frames)

    def __exit__(self, *error: Any) -> bool | None:
        if self._video is not None and self._source.trouble.restarted:
            self._video.sound = None
        return self._open.__exit__(*error)

    @property
    def messages(self) -> list[str]:
        """What the user must know of the files, once they are closed."""
        return [] if self._video is None or not self._video.lost else [self._video.lost]

    def _open_video(self) -> None:
        """With the first frame: only then a source surely knows what it is."""
        if self._suffix is None:
            return
        source, style = self._source, self._style
        self._video = VideoWriter(
            self._partial.folder / f"video{self._suffix}", (source.width, source.height), source.rate,
            source.time_base, sound=source.sound, span=self._span,
            origin=source.origin, codec=style.codec, crf=style.crf, preset=style.preset, segments=self._partial.segments,
        )  # fmt: skip
        self._open.enter_context(_closing(self._video))


def _told(error: BaseException, summary: Summary, source: OpenedSource, partial: Partial) -> PoseError | None:
    """What ended a run, and what is kept of it, in a sentence; None where the error says all. Removes the folder where
    nothing was written."""
    kept = f"{summary.frames} frames are kept in {partial.folder}; the same command with --resume goes on."
    if source.live:
        kept = f"{summary.frames} frames are kept in {partial.folder}."
    if summary.frames == 0:
        shutil.rmtree(partial.folder, ignore_errors=True)
        kept = "Nothing was written."
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(f"Interrupted. {kept}")
    if isinstance(error, OSError):
        return PoseError(f"{partial.folder} can't be written ({error.strerror}). {kept}")
    if isinstance(error, PoseError) and summary.frames:
        return PoseError(f"{error} {kept}")
    return None


class _closing:  # noqa: N801 - reads as contextlib.closing, which hides close()'s error behind the first
    """Close a writer at the end; if there was an error already, its own failure does not hide it."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def __enter__(self) -> Any:
        return self.writer

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.writer.close()
        except PoseError:
            if kind is None:
                raise


def _size(source: OpenedSource) -> int | None:
    """Bytes of the source, where it is a file: a run is not resumed on another file of the same name."""
    return None if source.path is None or source.live else Path(source.path).stat().st_size


def _count(summary: Summary, poses: FramePoses) -> None:
    summary.frames += 1
    summary.people += len(poses.people)
    summary.tracks.update(p.track for p in poses.people if p.track is not None)
    summary.damaged += "damaged" in poses.frame.flags


def _count_stored(summary: Summary, partial: Partial, renderer: Renderer) -> None:
    """Count what a broken run had written, and remember the paths that it had drawn."""
    with partial.lines.open(encoding="utf-8") as lines:
        for line in lines:
            frame = json.loads(line)
            summary.frames += 1
            summary.people += len(frame["people"])
            summary.tracks.update(p["track"] for p in frame["people"] if p["track"] is not None)
            summary.damaged += "damaged" in frame["flags"]
            people = [(p["track"], np.array(p["keypoints"], np.float64)) for p in frame["people"]]
            renderer.note(frame["time"], people)


def _as_read(header: Mapping[str, Any], source: OpenedSource) -> Mapping[str, Any]:
    """Of joined recordings the file's own duration is that of one of them."""
    if not source.trouble.restarted:
        return header
    return {**header, "source": {**header["source"], "duration": None}}


def _assemble(partial: Partial, outputs: Outputs, header: Mapping[str, object], summary: Summary) -> None:
    """Make the document, and note that all is ready. (The video was joined when its writer closed.)"""
    if outputs.json is not None and outputs.json != STDOUT:
        with (partial.folder / "document.json").open("w", encoding="utf-8", newline="\n") as file:
            _document(outputs.json)(partial.lines, file, header, summary.record())
    elif outputs.json == STDOUT:
        assemble(partial.lines, sys.stdout, header, summary.record())
    told = {**summary.record(), "tracks": sorted(summary.tracks), "seconds": summary.seconds}
    part = partial.ready.with_suffix(".part")
    part.write_text(json.dumps(told), encoding="utf-8")
    part.replace(partial.ready)


def _document(path: Path) -> Callable[..., None]:
    return assemble_lines if path.suffix == ".jsonl" else assemble


def _publish(partial: Partial, outputs: Outputs, summary: Summary | None = None) -> Summary:
    """Move what is ready to its final names; what a killed run has moved already is passed over."""
    if summary is None:
        told = json.loads(partial.ready.read_text(encoding="utf-8"))
        summary = Summary(**{**told, "tracks": set(told["tracks"])})
    for made, target in (
        (partial.folder / "document.json", outputs.json if outputs.json != STDOUT else None),
        (partial.rows, outputs.csv),
        (partial.folder / f"video{outputs.video.suffix}" if outputs.video else None, outputs.video),
    ):
        if target is not None and made is not None and made.exists():
            made.replace(target)
    partial.remove()
    summary.files = outputs.files()
    return summary
