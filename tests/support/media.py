"""Makes clips with ffmpeg."""

import subprocess

import imageio_ffmpeg


def ffmpeg(*arguments: object) -> None:
    """Run ffmpeg. A failure shows its output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
