"""posecli demo"""

from __future__ import annotations

import subprocess
from itertools import count
from pathlib import Path

from posecli.cli import options as o

CLIP_SECONDS, CLIP_RATE, CLIP_SIZE = 4, 25, "720x960"


def demo(device: o.Device = "auto", quiet: o.Quiet = False) -> None:
    """Try posecli: make a short clip from a photo of people and annotate it.

    [bold]Example[/bold]

      posecli demo
    """
    from posecli.api import write_poses
    from posecli.cli import console
    from posecli.cli.following import on_terminal, show_summary
    from posecli.engines.load import Networks
    from posecli.output.record import Outputs, Style
    from posecli.pipeline.choices import Choices

    folder = _fresh_folder(Path.cwd())
    clip = make_clip(folder / "clip.mp4")
    outputs = Outputs(folder / "clip.pose.mp4", folder / "clip.pose.csv", folder / "clip.pose.json")
    summary = write_poses(str(clip), outputs, Choices(), Networks(device), Style(), watch=on_terminal(quiet))
    show_summary(summary, quiet=False)
    console.tell(f"Next: posecli run YOUR_VIDEO.mp4 (the demo's clip is {clip}).", quiet)


def bus_photo() -> Path:
    """The photo of people at a bus that the ultralytics package ships; without it, a drawn picture of people."""
    from importlib.util import find_spec

    from posecli.engines import check

    package = find_spec("ultralytics")  # its import takes seconds
    for folder in package.submodule_search_locations or () if package else ():
        if (photo := Path(folder) / "assets" / "bus.jpg").is_file():
            return photo
    return Path(check.__file__).with_name("figures.jpg")


def make_clip(path: Path, seconds: float = CLIP_SECONDS) -> Path:
    """Make a clip with ffmpeg that zooms into and pans over the photo."""
    import imageio_ffmpeg

    from posecli.errors import PoseError

    frames = round(seconds * CLIP_RATE)
    # zoompan moves by whole pixels of its input. Scale the photo up first for a smooth movement.
    move = (
        f"scale=2430:-2,zoompan=z='1+0.3*on/{frames}':x='(iw-iw/zoom)*(0.5+0.5*sin(2*PI*on/{frames}))'"
        f":y='(ih-ih/zoom)/2':d={frames}:fps={CLIP_RATE}:s={CLIP_SIZE}"
    )
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-nostdin", "-i", str(bus_photo())]
    command += ["-vf", move, "-frames:v", str(frames), "-c:v", "libx264", "-preset", "veryfast"]
    command += ["-pix_fmt", "yuv420p", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise PoseError(f"ffmpeg could not make the demo's clip: {done.stderr.strip()}")
    return path


def _fresh_folder(parent: Path) -> Path:
    for number in count(1):
        folder = parent / f"posecli-demo-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError
