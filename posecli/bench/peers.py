"""Times other pose tools on the same clip, with the same decoder, drawing and writer, for `posecli bench --peer`.

Each tool runs in its own Python interpreter, because their dependencies conflict. That interpreter needs the package of
the tool, av, opencv and imageio-ffmpeg. As a program:
`python -m posecli.bench.peers NAME CLIP THREADS` prints one line of JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posecli.errors import PoseError
from posecli.output.record import Outputs, Style, record
from posecli.prefetch import MOST, ahead, room
from posecli.skeletons import SKELETONS, Skeleton
from posecli.sources.video import VideoSource
from posecli.types import FramePoses, Person

OURS = "posecli"
PEERS = (OURS, "ultralytics", "mediapipe")
# Google's 33 points -> ours of the same place: names of coco17.
MEDIAPIPE = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11,
    "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16,
    "left_hip": 23, "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip

Frames = Callable[[VideoSource], Iterator[FramePoses]]


@dataclass(frozen=True)
class PeerSpeed:
    """One tool's figures over all rounds."""

    name: str
    about: str  # network, input size, threads
    frames_per_second: float  # the median of the rounds
    rounds: tuple[float, ...]
    joints: int  # drawn in the last round; 0 where random weights find nobody


def parse_peer(text: str) -> tuple[str, str]:
    """NAME or NAME=/path/to/python -> (name, interpreter)."""
    name, _, python = text.partition("=")
    if name not in PEERS[1:]:
        raise PoseError(f"--peer {name} is not known; it is one of {', '.join(PEERS[1:])}.")
    if python and not Path(python).is_file():
        raise PoseError(f"--peer {text}: there is no interpreter {python}.")
    return name, python or sys.executable


def race(
    clip: Path, peers: Mapping[str, str], threads: int, rounds: int = 3,
    progress: Callable[[str], None] = lambda _: None,
) -> list[PeerSpeed]:  # fmt: skip
    """Run ourselves and {peer: its interpreter} in turn, `rounds` times, each with `threads` threads."""
    lanes = {OURS: sys.executable, **peers}
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in lanes}
    for number in range(rounds):
        for name, python in lanes.items():
            progress(f"{name}, round {number + 1}")
            told[name].append(_in_its_own_process(name, python, clip, threads))
    return [
        PeerSpeed(
            name, rows[-1]["about"], statistics.median(r["fps"] for r in rows), tuple(r["fps"] for r in rows),
            rows[-1]["joints"],
        )
        for name, rows in told.items()
    ]  # fmt: skip


def _in_its_own_process(name: str, python: str, clip: Path, threads: int) -> dict[str, Any]:
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH")) if p)
    done = subprocess.run(
        [python, "-m", "posecli.bench.peers", name, str(clip.resolve()), str(threads)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise PoseError(f"{name} did not run in {python}: {words[-1] if words else 'it said nothing'}")
    row: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def main(name: str, clip: str, threads: str) -> None:
    """In the peer's interpreter: the whole clip once, networks loaded and warm."""
    makers = {OURS: _posecli, "ultralytics": _ultralytics, "mediapipe": _mediapipe}
    frames, skeleton, about = makers[name](clip, int(threads))
    joints = 0

    def count(poses: FramePoses) -> None:
        nonlocal joints
        joints += sum(len(p.keypoints) for p in poses.people)

    # The peer works in the main thread, where it was warmed: torch is slower in a second one. Drawing and writing
    # go on beside it.
    waiting: queue.Queue[FramePoses | None] = queue.Queue(MOST)
    with (
        tempfile.TemporaryDirectory(prefix="posecli-") as folder,
        closing(VideoSource.open(clip)) as source,
        ThreadPoolExecutor(1) as pool,
    ):
        base = Path(folder) / "peer.mp4"
        outputs = Outputs(base, base.with_suffix(".csv"), base.with_suffix(".json"))
        done = pool.submit(
            record, source, lambda _: iter(waiting.get, None), skeleton, outputs, Style(), {}, progress=count
        )
        for poses in itertools.chain(frames(source), [None]):
            while not done.done():  # where writing has failed, nobody makes room
                with suppress(queue.Full):
                    waiting.put(poses, timeout=0.5)
                    break
        summary = done.result()
    print(json.dumps({"fps": summary.frames / summary.seconds, "joints": joints, "about": about}))


def _posecli(clip: str, threads: int) -> tuple[Frames, Skeleton, str]:
    import torch

    from posecli.engines.backends import engine, leave_cores_to_openvino
    from posecli.engines.load import load_detector, load_estimator
    from posecli.pipeline.choices import Choices
    from posecli.pipeline.loop import poses

    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    estimator, detector = load_estimator(device="cpu"), load_detector(device="cpu")
    leave_cores_to_openvino(estimator.network, detector.network)
    image = _first(clip)
    for _ in range(5):
        estimator.estimate([image], [detector.find(image).xyxy])
    side = estimator.spec.input_size[0]
    about = f"small {side} px ({engine(estimator.network, estimator.precision)}), person {detector.size} px, {threads} threads"
    return lambda s: poses(s, detector, estimator, Choices()), estimator.spec.bones, about


def _ultralytics(clip: str, threads: int) -> tuple[Frames, Skeleton, str]:
    import numpy as np
    import torch

    from posecli.silence import import_ultralytics

    ultralytics = import_ultralytics()
    weights = Path("yolo11n-pose.pt")
    known = weights.is_file()
    model: Any = ultralytics.YOLO(str(weights if known else weights.with_suffix(".yaml")))
    image = _first(clip)
    for _ in range(5):
        model.predict(image, device="cpu", verbose=False)

    def frames(source: VideoSource) -> Iterator[FramePoses]:
        torch.set_num_threads(threads)  # ultralytics sets one less than there are cores
        for frame in ahead(source.frames(0), room(source.width, source.height)):
            [found] = model.predict(frame.image, device="cpu", verbose=False)
            boxes, points = found.boxes.xyxy.numpy(), found.keypoints.data.numpy()
            scores = found.boxes.conf.numpy()
            people = tuple(
                Person(n + 1, float(s), b, p.astype(np.float32))
                for n, (b, s, p) in enumerate(zip(boxes, scores, points, strict=True))
            )
            yield FramePoses(frame, people)

    about = f"yolo11n-pose 640 px (torch), {'' if known else 'random weights, '}{threads} threads"
    return frames, SKELETONS["coco17"], about


def _mediapipe(clip: str, threads: int) -> tuple[Frames, Skeleton, str]:
    import cv2
    import mediapipe
    import numpy as np

    pose = mediapipe.solutions.pose.Pose(model_complexity=1)
    skeleton = SKELETONS["coco17"]
    rows = [MEDIAPIPE[joint] for joint in skeleton.joints]
    image = _first(clip)
    for _ in range(5):
        pose.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def frames(source: VideoSource) -> Iterator[FramePoses]:
        for frame in ahead(source.frames(0), room(source.width, source.height)):
            height, width = frame.image.shape[:2]
            found = pose.process(cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB)).pose_landmarks
            people: tuple[Person, ...] = ()
            if found is not None:
                marks = [found.landmark[row] for row in rows]
                points = np.array([[m.x * width, m.y * height, m.visibility] for m in marks], np.float32)
                box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
                people = (Person(1, 1.0, box, points),)
            yield FramePoses(frame, people)

    return frames, skeleton, "solutions.pose, full model 256 px, one person, its own choice of threads"


def _first(clip: str) -> Any:
    """The first picture of a clip."""
    with closing(VideoSource.open(clip)) as source:
        return next(iter(source.frames(0))).image


if __name__ == "__main__":
    main(*sys.argv[1:])
