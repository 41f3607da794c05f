"""posecli edit"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.results.edit import Span
    from posecli.results.recording import Recording


def edit(
    result: Annotated[Path, typer.Argument(help="A .json or .jsonl that `run` wrote.")],
    select: Annotated[
        str | None, typer.Option(help="Keep only: largest, longest, centre, or numbers such as 1,4.")
    ] = None,
    swap_ids: Annotated[
        list[str] | None, typer.Option(help="Exchange two people's numbers: 1,2@30-. May be given again.")
    ] = None,
    swap_sides: Annotated[
        list[str] | None, typer.Option(help="Exchange somebody's left and right: 2@12.3-12.9.")
    ] = None,
    blank: Annotated[
        list[str] | None, typer.Option(help="Trust a joint no more (confidence 0): 2:left_wrist@5-6.")
    ] = None,
    delete: Annotated[list[str] | None, typer.Option(help="Take somebody out: 5, or 5@3-4.5.")] = None,
    merge: Annotated[list[str] | None, typer.Option(help="Several numbers are one person: 3,7.")] = None,
    rename: Annotated[list[str] | None, typer.Option(help="Call somebody something: 2=Anna.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new JSON. Default: like RESULT, .edited.json.")
    ] = None,
    source: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The video that RESULT was made from: it is drawn again, too."),
    ] = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Correct a result by hand: JSON, CSV and, with --source, the video are written anew.

    Times are in seconds: @12.3-12.9, @30- or @-5; without them everything is meant. Changes are made in the
    order of this list of options; for another order, edit what was edited. RESULT itself stays as it is.

    [bold]Examples[/bold]

      posecli edit clip.pose.json --merge 3,7 --delete 5 --rename 2=Anna
      posecli edit clip.pose.json --swap-ids 1,2@30- --swap-sides 2@12.3-12.9 --source clip.mp4
      posecli edit clip.pose.json --blank 2:left_wrist@5-6 --out clean.json
    """
    from posecli.cli.changed import new_result, tell_written, write_changed
    from posecli.results.recording import read_result

    asked = [
        *((("select", select),) if select else ()),
        *(("swap-ids", text) for text in swap_ids or ()),
        *(("swap-sides", text) for text in swap_sides or ()),
        *(("blank", text) for text in blank or ()),
        *(("delete", text) for text in delete or ()),
        *(("merge", text) for text in merge or ()),
        *(("rename", text) for text in rename or ()),
    ]
    if not asked:
        raise typer.BadParameter("nothing to change; --help lists what can be.")
    target = out or result.with_name(f"{result.stem}.edited.json")
    files = new_result(target, source, overwrite)
    recording = read_result(result)
    for what, text in asked:
        recording = _applied(recording, what, text)
    done = recording.header["options"].get("edits", [])
    recording = recording.with_options(edits=[*done, *(f"{what} {text}" for what, text in asked)])
    write_changed(recording, files, source, quiet)
    tell_written(files, quiet)


def _applied(recording: Recording, what: str, text: str) -> Recording:
    from posecli.results import edit

    if what == "select":
        chosen = edit.choose(recording, text)
        for track in recording.tracks:
            if track.number is not None and track.number not in chosen:
                recording = edit.delete(recording, track.number)
        return recording
    if what == "merge":
        return edit.merge(recording, [_number(part, what, text) for part in text.split(",")])
    if what == "rename":
        who, _, name = text.partition("=")
        if not name.strip():
            raise typer.BadParameter(f"--rename {text} names nobody; write 2=Anna.")
        return edit.rename(recording, _number(who, what, text), name.strip())
    who, span = _who_and_span(text)
    if what == "swap-ids":
        one, comma, other = who.partition(",")
        if not comma or one == other:
            raise typer.BadParameter(f"--swap-ids {text} names no two people; write 1,2 or 1,2@30-.")
        return edit.swap_ids(recording, _number(one, what, text), _number(other, what, text), span)
    if what == "blank":
        who, colon, joint = who.partition(":")
        if not colon:
            raise typer.BadParameter(f"--blank {text} names no joint; write 2:left_wrist@5-6.")
        return edit.blank(recording, _number(who, what, text), joint, span)
    if what == "swap-sides":
        return edit.swap_sides(recording, _number(who, what, text), span)
    return edit.delete(recording, _number(who, what, text), span)


def _who_and_span(text: str) -> tuple[str, Span]:
    from posecli.results.edit import Span, parse_span

    who, at, span = text.partition("@")
    return who, parse_span(span) if at else Span()


def _number(text: str, what: str, whole: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"--{what} {whole}: {text!r} is no person's number.") from None
