"""posecli edit"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o


def edit(
    result: o.Result,
    select: Annotated[
        str | None,
        typer.Option(
            help="Keep only these people: largest, longest (on screen), centre, track IDs such as 1,4, or whoever is at x,y@seconds, such as 320,240@1.5."
        ),
    ] = None,
    swap_ids: Annotated[
        list[str] | None, typer.Option(help="Swap two track IDs: 1,2@30-. Can be repeated.")
    ] = None,
    swap_sides: Annotated[
        list[str] | None, typer.Option(help="Swap left and right of a person: 2@12.3-12.9. Can be repeated.")
    ] = None,
    move: Annotated[
        list[str] | None,
        typer.Option(help="Move a joint in one frame: 2:left_knee@4.000=312.5,208. Can be repeated."),
    ] = None,
    blank: Annotated[
        list[str] | None,
        typer.Option(help="Set a joint's confidence to 0: 2:left_wrist@5-6. Can be repeated."),
    ] = None,
    delete: Annotated[
        list[str] | None, typer.Option(help="Remove a person: 5, or 5@3-4.5. Can be repeated.")
    ] = None,
    merge: Annotated[
        list[str] | None, typer.Option(help="Merge track IDs of one person: 3,7. Can be repeated.")
    ] = None,
    rename: Annotated[list[str] | None, typer.Option(help="Name a person: 2=Anna. Can be repeated.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The new JSON file. Default: RESULT.edited.json.", rich_help_panel=o.OUTPUT
        ),
    ] = None,
    source: o.SourceVideo = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Correct track IDs, sides and joints of a result by hand.

    Writes a new JSON and CSV, and with --source a new video. RESULT does not change.

    Times are in seconds: @12.3-12.9, @30- (to the end) or @-5 (from the start). @#120-#130 counts frames. Without a
    time, the edit holds for the whole clip. If you move a joint twice within a second, the frames between are
    interpolated.

    [bold]Examples[/bold]

      posecli edit clip.pose.json --merge 3,7 --delete 5 --rename 2=Anna
      posecli edit clip.pose.json --swap-ids 1,2@30- --source clip.mp4
      posecli edit clip.pose.json --swap-sides 2@12.3-12.9
      posecli edit clip.pose.json --move 2:left_knee@4.00=312,208
      posecli edit clip.pose.json --blank 2:left_wrist@5-6 --out clean.json
    """
    from posecli.cli.changed import new_result, tell_written, write_changed
    from posecli.results.edit import BadEdit, edited
    from posecli.results.recording import read_result

    asked = [
        *((("select", select),) if select else ()),
        *(("swap-ids", text) for text in swap_ids or ()),
        *(("swap-sides", text) for text in swap_sides or ()),
        *(("move", text) for text in move or ()),
        *(("blank", text) for text in blank or ()),
        *(("delete", text) for text in delete or ()),
        *(("merge", text) for text in merge or ()),
        *(("rename", text) for text in rename or ()),
    ]
    if not asked:
        raise typer.BadParameter("give at least one edit, such as --rename 2=Anna (see --help).")
    target = out or result.with_name(f"{result.stem}.edited.json")
    files = new_result(target, source, overwrite, result)
    recording = read_result(result)
    try:
        recording = edited(recording, asked)
    except BadEdit as error:
        raise typer.BadParameter(str(error)) from None
    write_changed(recording, files, source, quiet)
    tell_written(files, quiet)
