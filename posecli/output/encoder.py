"""Chooses the ffmpeg encoder of the video, and its quality options."""

from __future__ import annotations

import functools
import subprocess

import imageio_ffmpeg

from posecli.errors import PoseError

SOFTWARE = {"h264": "libx264", "h265": "libx265", "av1": "libsvtav1"}
# On cards and chips; which of them works shows only when it is tried.
HARDWARE = (
    "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "av1_qsv",
    "h264_videotoolbox", "hevc_videotoolbox", "h264_amf", "hevc_amf", "av1_amf",
)  # fmt: skip
X264_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip


def encoder_options(codec: str, crf: int, preset: str) -> list[str]:
    """ffmpeg's options for `codec` (h264, h265, av1, hardware, or an encoder's own name).

    crf: quality, lower is better, on x264's scale; preset: one of x264's, or a neighbour where the encoder
    has others. No B-frames anywhere: decoding order is then showing order, and segments follow each other
    cleanly. Raises PoseError for what this ffmpeg does not have or this machine can't do.
    """
    encoder = find_encoder(codec)
    if preset not in X264_PRESETS:
        raise PoseError(f"--preset {preset} is not known; it is one of {', '.join(X264_PRESETS)}.")
    if encoder == "libsvtav1":
        number = 12 - X264_PRESETS.index(preset)  # 12 is SVT-AV1's fastest
        return ["-c:v", encoder, "-crf", str(min(63, crf + 10)), "-preset", str(number), "-svtav1-params", "pred-struct=1"]  # fmt: skip
    if encoder == "libx265":
        quiet = "bframes=0:log-level=error"
        return ["-c:v", encoder, "-crf", str(crf), "-preset", preset, "-x265-params", quiet]
    if encoder == "libx264":
        return ["-c:v", encoder, "-crf", str(crf), "-preset", preset, "-bf", "0"]
    quality = {
        "nvenc": ["-rc", "vbr", "-cq", str(crf)],
        "qsv": ["-global_quality", str(max(1, crf))],
        "videotoolbox": ["-q:v", str(max(1, 100 - 2 * crf))],
        "amf": ["-rc", "cqp", "-qp_i", str(crf), "-qp_p", str(crf)],
    }[encoder.rsplit("_", 1)[1]]
    return ["-c:v", encoder, *quality, "-bf", "0"]


def find_encoder(codec: str) -> str:
    """ffmpeg's name of an encoder that works here; raises PoseError where none does."""
    if codec in SOFTWARE:
        return SOFTWARE[codec]
    if codec in SOFTWARE.values():
        return codec
    if codec == "hardware":
        for encoder in HARDWARE:
            if encoder.startswith("h264") and not _refusal(encoder):
                return encoder
        raise PoseError("No hardware encoder for H.264 works on this machine; leave out --codec.")
    if codec not in HARDWARE:
        known = ", ".join((*SOFTWARE, "hardware", *HARDWARE))
        raise PoseError(f"--codec {codec} is not known; choose one of {known}.")
    if why := _refusal(codec):
        raise PoseError(f"{codec} does not work on this machine ({why}); leave out --codec.")
    return codec


@functools.cache
def _refusal(encoder: str) -> str:
    """Why an encoder does not work here, in ffmpeg's words; "" if it does. Tried on one small picture."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin"]
    command += ["-f", "lavfi", "-i", "color=s=320x256", "-frames:v", "1", "-c:v", encoder, "-f", "null", "-"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "it hangs"
    if done.returncode == 0:
        return ""
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return words[0].split("] ", 1)[-1] if words else "it failed without an error message"
