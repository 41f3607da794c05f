"""Poses -> files: video, CSV and JSON, whole under their final names or not there at all."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posecli.draw.heatmap import draw_heatmaps
from posecli.draw.skeleton import draw_people
from posecli.errors import Interrupted, PoseError
from posecli.sinks.document import LinesWriter, assemble, assemble_lines
from posecli.sinks.table import Layout, TableWriter
from posecli.sinks.video import VideoWriter, check_output
from posecli.skeletons import Skeleton
from posecli.sources.open import Source
from posecli.types import FramePoses

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

    confidence: float = 0.3  # joints below it are hollow
    heatmap_joints: tuple[int, ...] | None = None  # None: no heatmaps
    codec: str = "libx264"
    crf: int = 20
    preset: str = "veryfast"


def check_outputs(outputs: Outputs, overwrite: bool) -> None:
    """Raise PoseError before any work for outputs that exist or can't be written."""
    if outputs.video is not None:
        check_output(outputs.video)
    for path in outputs.files():
        if path.exists() and not overwrite:
            raise PoseError(f"{path} exists already; choose another name or add --overwrite.")
        if path.is_dir():
            raise PoseError(f"{path} is a folder; give a file's name.")
        if not path.parent.is_dir():
            raise PoseError(f"There is no folder {path.parent} to write {path.name} into; make it first.")
    partial = outputs.partial
    if partial.exists() and not overwrite:
        raise PoseError(
            f"{partial} is left of a run that did not end; move it away to keep it, or add --overwrite to discard it."
        )


def record(
    source: Source,
    frames: Iterable[FramePoses],
    skeleton: Skeleton,
    outputs: Outputs,
    style: Style,
    header: dict[str, Any],
    *,
    span: tuple[float | None, float | None] = (None, None),
    progress: Callable[[FramePoses], None] = lambda _: None,
) -> Summary:
    """Write everything; files appear under their final names when all is done.

    Interrupted by Ctrl-C or an error, what was written so far is closed properly and stays in
    `outputs.partial`.
    """
    partial = outputs.partial
    if partial.exists():
        shutil.rmtree(partial)
    try:
        partial.mkdir()
    except OSError as error:
        raise PoseError(
            f"{partial.parent} can't be written to ({error.strerror}); choose another --out."
        ) from error
    summary, started = Summary(), time.monotonic()
    try:
        with ExitStack() as stack:
            table = stack.enter_context(
                _closing(TableWriter(partial / "rows.csv", skeleton, outputs.csv_layout))
            )
            lines = stack.enter_context(_closing(LinesWriter(partial / "frames.jsonl")))
            video: VideoWriter | None = None
            for poses in frames:
                table.write(poses)
                lines.write(poses)
                if outputs.video is not None and video is None:
                    video = _open_video(source, outputs.video.suffix, style, partial, span)
                    stack.enter_context(_closing(video))
                if video is not None:
                    video.write(_drawn(poses, skeleton, style), poses.frame.time)
                _count(summary, poses)
                progress(poses)
    except BaseException as error:
        kept = f"{summary.frames} frames are kept in {partial}."
        if summary.frames == 0:
            shutil.rmtree(partial, ignore_errors=True)
            kept = "Nothing was written."
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"Interrupted. {kept}") from None
        error.add_note(kept)
        raise
    if summary.frames == 0:
        shutil.rmtree(partial)
        raise PoseError(f"{source.name} has no frame between --start and --end; nothing was written.")
    summary.seconds = time.monotonic() - started
    summary.messages = source.trouble.sentences()
    _publish(partial, outputs, header, summary)
    return summary


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


def _open_video(
    source: Source, suffix: str, style: Style, partial: Path, span: tuple[float | None, float | None]
) -> VideoWriter:
    audio = source.path if source.audio_codec and not source.live else None
    return VideoWriter(
        partial / f"video{suffix}", (source.width, source.height), source.rate, source.time_base,
        audio_from=audio, audio_codec=source.audio_codec, span=span,
        codec=style.codec, crf=style.crf, preset=style.preset,
    )  # fmt: skip


def _drawn(poses: FramePoses, skeleton: Skeleton, style: Style) -> Any:
    image = poses.frame.image
    if style.heatmap_joints is not None:
        draw_heatmaps(image, poses.heatmaps, style.heatmap_joints)
    draw_people(image, poses.people, skeleton, style.confidence)
    return image


def _count(summary: Summary, poses: FramePoses) -> None:
    summary.frames += 1
    summary.people += len(poses.people)
    summary.tracks.update(p.track for p in poses.people if p.track is not None)
    summary.damaged += "damaged" in poses.frame.flags


def _publish(partial: Path, outputs: Outputs, header: dict[str, Any], summary: Summary) -> None:
    """Move what is done to its final names."""
    if outputs.json is not None:
        write = assemble_lines if outputs.json.suffix == ".jsonl" else assemble
        if outputs.json == STDOUT:
            write(partial / "frames.jsonl", sys.stdout, header, summary.record())
        else:
            done = partial / "document.json"
            with done.open("w", encoding="utf-8", newline="\n") as file:
                write(partial / "frames.jsonl", file, header, summary.record())
            done.replace(outputs.json)
    if outputs.csv is not None:
        (partial / "rows.csv").replace(outputs.csv)
    if outputs.video is not None:
        (partial / f"video{outputs.video.suffix}").replace(outputs.video)
    shutil.rmtree(partial)
