"""Functions for commands that write a changed result: the output files, and the check for existing files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from posecli.cli import console
from posecli.errors import PoseError
from posecli.files import check_free, check_not_source, check_target

if TYPE_CHECKING:
    from posecli.draw.skeleton import Drawing
    from posecli.results.recording import Recording


@dataclass(frozen=True)
class Files:
    """The files of the new result."""

    json: Path
    csv: Path
    video: Path | None

    def all(self) -> list[Path]:
        return [p for p in (self.json, self.csv, self.video) if p is not None]


def new_result(json: Path, source: Path | None, overwrite: bool, result: Path | None = None) -> Files:
    """The output files next to `json`. Raises PoseError if one exists already, before any work.

    result: the original result, which is never overwritten.
    """
    if json.suffix not in (".json", ".jsonl"):
        raise PoseError(f"{json} is no JSON file; give a name that ends in .json or .jsonl.")
    files = Files(json, json.with_suffix(".csv"), json.with_suffix(".mp4") if source else None)
    if result is not None:
        for file in files.all():
            check_target(file, (), result, result.with_suffix(".csv"))
    if source is not None and not source.exists():
        raise PoseError(f"There is no {source} to draw into.")
    check_free(files.all(), overwrite)
    if source is not None:
        check_not_source(files.all(), str(source))
    return files


def write_changed(recording: Recording, files: Files, source: Path | None, quiet: bool) -> None:
    """Write the new result, and a video if the source is given."""
    from posecli.draw.skeleton import Drawing
    from posecli.results.recording import write_result

    if source is not None and files.video is not None:
        draw(recording, str(source), files.video, Drawing(), quiet)
    write_result(recording, files.json, files.csv)


def draw(recording: Recording, source: str, out: Path, drawing: Drawing, quiet: bool) -> int:
    """Draw the video with a progress bar. Returns the number of frames."""
    from posecli.results.render import redraw, reopened

    opened = reopened(recording, source)
    try:
        with console.progress(opened.name, len(recording.frames), "frames", quiet) as bar:
            return redraw(
                recording, opened, out, drawing, lambda _: bar.advance(bar.task_ids[0]) if bar else None
            )
    finally:
        opened.close()


def tell_written(files: Files, quiet: bool) -> None:
    for path in files.all():
        console.tell(str(path), quiet)
