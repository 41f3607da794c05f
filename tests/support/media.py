"""Clips, made by ffmpeg."""

import subprocess

import imageio_ffmpeg


def ffmpeg(*arguments: object) -> None:
    """Run ffmpeg; a failure shows what it said."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
