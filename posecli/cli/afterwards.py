"""What `run` does with a result once it is written: who is who, angles, a page, other formats."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from posecli.cli import console
from posecli.cli.convert import target_of
from posecli.draw.skeleton import Drawing
from posecli.errors import PoseError
from posecli.files import check_free

if TYPE_CHECKING:
    from posecli.output.record import Outputs
    from posecli.results.recording import Recording

UNSCALED = ("trc", "c3d")  # they hold metres, which `convert` is told of


@dataclass(frozen=True)
class Afterwards:
    """What was asked for."""

    also: tuple[str, ...] = ()
    lossy: bool = False
    angles: str | None = None
    report: bool = False
    people: int | None = None
    repair_sides: bool = False
    drawing: Drawing = Drawing()

    @property
    def anything(self) -> bool:
        return bool(self.also or self.angles or self.report or self.people is not None or self.repair_sides)

    def files(self, outputs: Outputs) -> list[Path]:
        """What will be written beside the run's own files."""
        assert outputs.json is not None
        files = [target_of(outputs.json, name) for name in self.also]
        files += [_angles_file(outputs.json)] if self.angles else []
        files += [outputs.json.with_suffix(".html")] if self.report else []
        return files

    def check(self, outputs: Outputs, overwrite: bool) -> None:
        """Raise PoseError, before any work, for what can't be done."""
        if not self.anything:
            return
        if outputs.json is None or str(outputs.json) == "-":
            raise PoseError(
                "--also, --angles, --report, --people and --repair-sides need the JSON file: leave it on."
            )
        for name in self.also:
            if name in UNSCALED:
                raise PoseError(
                    f"{name} holds metres: run first, then `posecli convert … --to {name} --scale-from-height 1.80`."
                )
        check_free(self.files(outputs), overwrite)

    def work(self, outputs: Outputs, source: str, quiet: bool) -> None:
        """Do it; raises PoseError. The run's own files are there whatever happens."""
        if not self.anything:
            return
        from posecli.formats.convert import convert
        from posecli.results.page import write_report
        from posecli.results.recording import read_result

        assert outputs.json is not None
        recording = read_result(outputs.json)
        if self.people is not None or self.repair_sides:
            recording = self._retracked(recording, outputs, source, quiet)
        if self.angles:
            _write_angles(recording, self.angles, _angles_file(outputs.json))
        if self.report:
            write_report(recording, outputs.json.with_suffix(".html"), outputs.video)
        for name in self.also:
            convert(recording, name, target_of(outputs.json, name), lossy=self.lossy)
        for path in self.files(outputs):
            console.tell(f"  {path}", quiet)

    def _retracked(self, recording: Recording, outputs: Outputs, source: str, quiet: bool) -> Recording:
        from posecli.cli.changed import draw
        from posecli.results.recording import write_result
        from posecli.results.render import reopened
        from posecli.results.retrack import retrack
        from posecli.results.sides import repair_sides

        if self.people is not None:
            opened = reopened(recording, source)
            if opened.live:
                raise PoseError(
                    f"{opened.name} is live and can't be looked at again: posecli retrack RESULT --people N."
                )
            try:
                with console.progress("looking", len(recording.frames), "frames", quiet) as bar:
                    recording, joins, left = retrack(
                        recording, self.people, opened,
                        progress=lambda: bar.advance(bar.task_ids[0]) if bar else None,
                    )  # fmt: skip
            finally:
                opened.close()
            told = {"people": self.people, "joins": [asdict(j) for j in joins]}
            recording = recording.with_options(retrack=told)
            console.tell(
                f"{len(recording.tracks)} people: {len(joins)} joins, {len(left)} pieces left out.", quiet
            )
        if self.repair_sides:
            recording, changed = repair_sides(recording)
            recording = recording.with_options(repair_sides=True)
            console.tell(f"Sides were exchanged in {changed} places.", quiet)
        assert outputs.json is not None
        write_result(recording, outputs.json, outputs.csv, outputs.csv_layout)
        if outputs.video is not None:
            draw(recording, source, outputs.video, self.drawing, quiet)
        return recording


def _angles_file(result: Path) -> Path:
    return result.with_name(f"{result.stem}.measure.csv")


def _write_angles(recording: Recording, angles: str, out: Path) -> None:
    from posecli.cli.measure import table_of, write_table
    from posecli.results.measure import Scale

    names = [n.strip() for n in angles.split(",") if n.strip()]
    write_table(table_of(recording, names, [], [], Scale("px", 1.0), None), out)
