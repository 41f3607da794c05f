"""Several sources in one command, processed one after the other or in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from posecli.output.record import Outputs


def several_sources(sources: list[str]) -> list[str] | None:
    """The list of sources, with folders of videos replaced by their videos. None for a single source."""
    from posecli.sources.open import videos_in

    opened = [videos_in(Path(s)) if Path(s).is_dir() else [] for s in sources]
    if len(sources) == 1 and not opened[0]:
        return None
    found = [[str(p) for p in videos] or [s] for s, videos in zip(sources, opened, strict=True)]
    return [source for group in found for source in group]


def work_through(
    sources: list[str],
    out: Path | None,
    outputs_at: Callable[[Path], Outputs],
    work: Callable[[str, Outputs], None],
    overwrite: bool,
    quiet: bool,
) -> None:
    """Process one source after the other. Finished sources are skipped. A failed source does not stop the others.

    Raises PoseError at the end if any source failed.
    """
    from posecli.cli import console
    from posecli.errors import Interrupted, PoseError

    failed: dict[str, str] = {}
    for source, _, outputs in _to_do(sources, out, outputs_at, overwrite, quiet):
        console.tell(source, quiet)
        try:
            work(source, outputs)
        except Interrupted:
            raise
        except Exception as error:  # one broken clip must not stop the others
            failed[source] = error_message(error)
            console.fail(f"{source}: {error_message(error)}")
    if failed:
        names = ", ".join(failed)
        raise PoseError(f"{len(failed)} of {len(sources)} sources failed: {names}. The others are done.")


def error_message(error: Exception) -> str:
    """An error as one sentence. For an unexpected error, it includes the type."""
    from posecli.errors import PoseError

    return str(error) if isinstance(error, PoseError) else f"{type(error).__name__}: {error}"


def forwarded(context: typer.Context) -> list[str]:
    """The given command line options, to pass on to the runs of single sources."""
    own = ("sources", "out", "workers", "engine", "overwrite", "resume", "quiet")
    found = []
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name)
        if name in own or given is None or given.name != "COMMANDLINE":
            continue
        value = context.params[name]
        if isinstance(value, bool):
            found.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            text = str(Path(value).resolve()) if Path(str(value)).is_file() else str(value)
            found += [parameter.opts[0], text]
    return found


def work_at_once(
    sources: list[str],
    out: Path | None,
    outputs_at: Callable[[Path], Outputs],
    arguments: list[str],
    workers: int,
    engine: str,
    overwrite: bool,
    resume: bool,
    quiet: bool,
) -> None:
    """Process several sources in parallel, otherwise like `work_through`."""
    from posecli.cli import console
    from posecli.cli.workers import Job, run_jobs
    from posecli.errors import PoseError

    jobs = []
    for source, target, outputs in _to_do(sources, out, outputs_at, overwrite, quiet):
        partial = outputs.partial.resolve()
        more = (["--overwrite"] if overwrite else []) + (["--resume"] if resume and partial.is_dir() else [])
        where = str(Path(source).resolve()) if Path(source).exists() else source
        command = ("run", where, "--out", str(target.resolve()), "--quiet", *arguments, *more)
        jobs.append(Job(source, partial, command))
    with console.progress("clips", len(jobs), "clips", quiet) as bar:
        results = run_jobs(jobs, workers, engine, lambda: bar.advance(bar.task_ids[0]) if bar else None)
    failed = [(job.source, told) for job, told in zip(jobs, results, strict=True) if told is not None]
    for source, told in failed:
        console.fail(f"{source}: {told}")
    console.tell(f"{len(jobs) - len(failed)} of {len(sources)} sources were processed.", quiet)
    if failed:
        names = ", ".join(source for source, _ in failed)
        raise PoseError(f"{len(failed)} of {len(sources)} sources failed: {names}. The others are done.")


def _to_do(
    sources: list[str], out: Path | None, outputs_at: Callable[[Path], Outputs], overwrite: bool, quiet: bool
) -> Iterator[tuple[str, Path, Outputs]]:
    """Yield (source, output video, all outputs) for unfinished sources. Reports finished ones."""
    from posecli.cli import console
    from posecli.errors import PoseError
    from posecli.output.names import result_names

    if out is not None:
        if out.exists() and not out.is_dir():
            raise PoseError(f"{out} is a file; for several sources, --out must be a folder.")
        out.mkdir(parents=True, exist_ok=True)
    for source, target in zip(sources, result_names(sources, out), strict=True):
        outputs = outputs_at(target)
        if not overwrite and outputs.files() and all(p.exists() for p in outputs.files()):
            console.tell(f"{source}: already done ({target}).", quiet)
        else:
            yield source, target, outputs
