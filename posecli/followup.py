"""The last steps of a run, after its result is written: track IDs, angles, a report, other formats.

Most runs have no such steps. So their modules are imported late, and the first frame comes sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from posecli.draw.skeleton import Drawing
from posecli.errors import PoseError
from posecli.files import check_free
from posecli.lists import listed
from posecli.output.record import Outputs, Summary

if TYPE_CHECKING:
    from posecli.results.recording import Recording

UNSCALED = ("trc", "c3d", "opensim")  # formats in metres; only `convert` has options for the scale
Stage = Callable[[str, int | None], AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True)
class FollowUp:
    """The requested steps."""

    people: int | None = None  # number of people; track IDs are assigned again
    repair_sides: bool = False  # undo left/right swaps
    angles: str | None = None  # names separated by commas, to write as CSV
    events: str | None = None  # kinds separated by commas, to write as CSV and draw
    report: bool = False  # write an HTML page
    also: tuple[str, ...] = ()  # additional output formats
    lossy: bool = False  # allow formats that can't hold everything

    @property
    def anything(self) -> bool:
        return bool(self.also or self.angles or self.report or self.redraws)

    @property
    def redraws(self) -> bool:
        return self.people is not None or self.repair_sides or self.events is not None

    def files(self, outputs: Outputs) -> list[Path]:
        """The files that are written in addition to the run's own files."""
        if not self.anything:
            return []
        from posecli.formats.convert import target_of
        from posecli.results.events import kinds_of

        assert outputs.json is not None
        files = [target_of(outputs.json, name) for name in self.also]
        files += [_angles_file(outputs.json)] if self.angles else []
        files += [_events_file(outputs.json, kind) for kind in kinds_of(self.events or "")]
        files += [outputs.json.with_suffix(".html")] if self.report else []
        return files

    def check(self, outputs: Outputs, heatmaps: bool, overwrite: bool) -> None:
        """Raise PoseError for steps that are not possible, before any work.

        heatmaps: whether the video shows heatmaps.
        """
        if not self.anything:
            return
        if outputs.json is None or str(outputs.json) == "-":
            raise PoseError(
                "--also, --angles, --events, --report, --people and --repair-sides need the JSON file: leave out --no-json."
            )
        if self.redraws and heatmaps:
            raise PoseError(
                "--people, --repair-sides and --events draw the video again, and heatmaps are not kept."
            )
        for name in self.also:
            if name in UNSCALED:
                raise PoseError(
                    f"{name} holds metres: run first, then `posecli convert … --to {name} --scale-from-height 1.80`."
                )
        check_free(self.files(outputs), overwrite)

    def check_joints(self, joints: Sequence[str]) -> None:
        """Raise PoseError if these joints are not enough for one of the angles."""
        if self.angles:
            from posecli.results.measure import check_angles

            check_angles(joints, listed(self.angles))

    def work(
        self,
        summary: Summary,
        outputs: Outputs,
        source: str,
        drawing: Drawing,
        stage: Stage,
        tell: Callable[[str], None],
    ) -> None:
        """Run the steps, and add their files and the remaining track IDs to the summary.

        Raises PoseError. The run's own files are already complete then.
        """
        if not self.anything:
            return
        from posecli.formats.convert import convert, target_of
        from posecli.results.events import asked_events, marks, rows_of
        from posecli.results.events import summary as events_summary
        from posecli.results.measure_table import table_of, write_table
        from posecli.results.page import write_report
        from posecli.results.recording import read_result, write_result

        assert outputs.json is not None
        recording = read_result(outputs.json)
        if self.redraws:
            if self.people is not None or self.repair_sides:
                recording = self._retracked(recording, outputs, source, stage, tell)
                write_result(recording, outputs.json, outputs.csv, outputs.csv_layout)
            found = asked_events(recording, self.events or "")
            for kind, of_kind in found.items():
                write_table(rows_of(of_kind), _events_file(outputs.json, kind))
                for sentence in events_summary(recording, of_kind):
                    tell(sentence)
            if outputs.video is not None:
                _draw_again(recording, source, outputs.video, replace(drawing, marks=marks(found)), stage)
        summary.people = sum(len(t) for t in recording.tracks)
        summary.tracks = {t.number for t in recording.tracks if t.number is not None}
        if self.angles:
            rows = table_of(recording, listed(self.angles), [], [])
            write_table(rows, _angles_file(outputs.json))
        if self.report:
            write_report(
                recording, outputs.json.with_suffix(".html"), outputs.video, events=self.events or ""
            )
        for name in self.also:
            convert(recording, name, target_of(outputs.json, name), lossy=self.lossy)
        summary.files += self.files(outputs)

    def _retracked(
        self, recording: Recording, outputs: Outputs, source: str, stage: Stage, tell: Callable[[str], None]
    ) -> Recording:
        from posecli.results.render import reopened
        from posecli.results.retrack import described, retrack
        from posecli.results.sides import repair_sides

        if self.people is not None:
            opened = reopened(recording, source)
            if opened.live:
                raise PoseError(
                    f"{opened.name} is live and can't be read again. Afterwards, use posecli retrack RESULT --people N."
                )
            try:
                with stage("looking", len(recording.frames)) as step:
                    recording, joins, left = retrack(recording, self.people, opened, progress=step)
            finally:
                opened.close()
            told = {"people": self.people, "joins": [asdict(j) for j in joins]}
            recording = recording.with_options(retrack=told)
            joined = sum(j.earlier != j.later for j in joins)
            tell(
                f"{len(recording.tracks)} of {self.people} people found. Tracks joined: {joined}, left out: {len(left)}."
            )
            for sentence in described(recording):
                tell(sentence)
        if self.repair_sides:
            recording, changed = repair_sides(recording)
            recording = recording.with_options(repair_sides=True)
            tell(f"Left and right were swapped back in {changed} places.")
        return recording


def _draw_again(recording: Recording, source: str, video: Path, drawing: Drawing, stage: Stage) -> None:
    from posecli.results.render import redraw, reopened

    opened = reopened(recording, source)
    try:
        with stage(opened.name, len(recording.frames)) as step:
            redraw(recording, opened, video, drawing, lambda _: step())
    finally:
        opened.close()


def _events_file(result: Path, kind: str) -> Path:
    return result.with_name(f"{result.stem}.{kind}.csv")


def _angles_file(result: Path) -> Path:
    return result.with_name(f"{result.stem}.measure.csv")
