"""posecli view"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.cli.window import Window
    from posecli.draw.skeleton import Drawing
    from posecli.output.send import Senders


@o.takes(o.drawing)
def view(
    what: Annotated[
        str, typer.Argument(metavar="RESULT|SOURCE", help="A result (.json), a video, a camera or a stream.")
    ],
    source: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="VIDEO", help="With RESULT: its source video."),
    ] = None,
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    model: o.Model = None,
    detector: o.DetectorName = None,
    smooth: Annotated[
        bool, typer.Option("--smooth", help="With SOURCE: smooth the joints live (One-Euro filter).")
    ] = False,
    send: o.Send = None,
    *,
    drawing: Drawing,
) -> None:
    """Show a result, or the joints of a camera or video, in a window. Writes no file.

    Press space to pause a result and q to quit. On a machine without a screen, use `posecli report`.

    [bold]Examples[/bold]

      posecli view clip.pose.json clip.mp4
      posecli view 0
      posecli view clip.pose.json clip.mp4 --send osc://127.0.0.1:9000
    """
    from posecli.cli import console
    from posecli.cli.window import Window
    from posecli.errors import PoseError
    from posecli.output.send import Senders

    is_result = Path(what).suffix in (".json", ".jsonl")
    if is_result and source is None:
        raise PoseError(f"Give the video that {what} was made from, too: posecli view {what} clip.mp4")
    if not is_result and source is not None:
        raise typer.BadParameter("only a RESULT takes a second argument.")
    window = Window()
    try:
        with Senders(send or ()) as senders:
            if is_result and source is not None:
                _show_result(Path(what), source, drawing, window, senders)
            else:
                _show_live(what, device, backend, model, detector, drawing, smooth, window, senders)
            for told in senders.close():
                console.tell(told)
    finally:
        window.close()


def _show_result(result: Path, source: str, drawing: Drawing, window: Window, senders: Senders) -> None:
    from posecli.draw.renderer import Renderer
    from posecli.results.recording import read_result
    from posecli.results.render import matched, reopened

    recording = read_result(result)
    renderer = Renderer(recording.skeleton, replace(drawing, names=recording.names))
    opened = reopened(recording, source)
    began = time.monotonic() - float(recording.times[0])
    held = False
    try:
        for poses in window.until_stopped(matched(recording, opened)):
            # Wait for the time of the frame. A slow machine is late, but shows every frame.
            early = float(poses.frame.time) - (time.monotonic() - began)
            key = window.wait(round(1000 * early)) if early > 0.002 else -1
            senders.send(poses, recording.skeleton)
            window.show(renderer.draw(poses))
            held = key == ord(" ")
            while held and not window.stopped:
                held = window.wait(50) != ord(" ")
                began = time.monotonic() - float(poses.frame.time)
    finally:
        opened.close()


def _show_live(
    source: str, device: str, backend: str, model: str | None, detector: str | None, drawing: Drawing, smooth: bool,
    window: Window, senders: Senders,
) -> None:  # fmt: skip
    from posecli.draw.renderer import Renderer
    from posecli.engines.load import load_detector, load_estimator
    from posecli.pipeline.choices import Choices
    from posecli.pipeline.loop import poses as found
    from posecli.results.smooth import LiveSmoother, Smoothing
    from posecli.sources.open import open_source

    opened = open_source(source)
    try:
        estimator = load_estimator(model, device, backend=backend)
        finder = load_detector(detector, device, backend=backend)
        renderer = Renderer(estimator.spec.bones, drawing)
        frames = found(opened, finder, estimator, Choices())
        for poses in window.until_stopped(
            LiveSmoother(Smoothing("one-euro")).through(frames) if smooth else frames
        ):
            senders.send(poses, estimator.spec.bones)
            window.show(renderer.draw(poses))
    finally:
        opened.close()
