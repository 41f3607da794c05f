"""What posecli's commands take to begin: seconds, the least of some rounds, and whether torch was imported.

    python scripts/time_start.py clip.mp4 --rounds 5

clip.mp4: a short one. The first `run` converts the networks where they are not in the cache; it is not counted. Leave the machine
alone meanwhile.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOLD = "import sys; print('torch' in sys.modules, 'ultralytics' in sys.modules, len(sys.modules))"
AS_COMMAND = "from posecli.cli.app import main\ntry:\n    main({!r})\nexcept SystemExit:\n    pass\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    run = ["run", str(chosen.clip), "--quiet", "--device", "cpu", "--overwrite"]
    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        whole = AS_COMMAND.format([*run, "--out", str(Path(folder) / "out.mp4")])
        _finished(whole)
        rows = [
            ("python alone", lambda: _finished("pass")),
            ("import posecli", lambda: _finished("import posecli")),
            ("posecli --help", lambda: _finished(AS_COMMAND.format(["--help"]))),
            ("posecli info", lambda: _finished(AS_COMMAND.format(["info"]))),
            ("run, to the first frame", lambda: _first_frame(run)),
            ("run, whole", lambda: _finished(whole)),
        ]
        print(f"{'':26}{'seconds':>8}{'CPU s':>8}  torch, ultralytics, modules")
        for name, work in rows:
            measured = [work() for _ in range(chosen.rounds)]
            seconds, cpu = (min(m[i] for m in measured) for i in (0, 1))
            print(f"{name:26}{seconds:8.2f}{cpu:8.2f}  {measured[0][2]}")


def _finished(code: str) -> tuple[float, float, str]:
    """Seconds and CPU seconds of a program, and what it had imported at its end."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + "\n" + TOLD], capture_output=True, text=True, check=True
    )
    seconds, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cpu, done.stdout.splitlines()[-1]


def _first_frame(run: list[str]) -> tuple[float, float, str]:
    """As `_finished`, of a run that is ended as soon as its first frame has reached the encoder."""
    # The encoder of the run that is killed may still be ending when the folder goes.
    with tempfile.TemporaryDirectory(prefix="posecli-", ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "out.mp4"
        first = out.with_name("out.mp4.partial") / "segments" / "000000.nut"
        before, start = os.times(), time.perf_counter()
        program = subprocess.Popen([sys.executable, "-c", AS_COMMAND.format([*run, "--out", str(out)])])
        while not first.exists() and program.poll() is None:
            time.sleep(0.002)
        seconds = time.perf_counter() - start
        program.kill()
        program.wait()
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cpu, ""


if __name__ == "__main__":
    main()
