"""Processes several clips in parallel, on this machine or on a Ray cluster.

Each clip is one run of the command line in its own process. Finished clips are skipped. If a worker dies, its clip
continues from the last complete segment.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posecli.errors import Interrupted, PoseError
from posecli.optional import library

CONNECT_SECONDS = 10.0
TRIES = 3  # maximum number of attempts for a clip whose worker is killed


@dataclass(frozen=True)
class Job:
    """One clip."""

    source: str
    partial: Path  # folder that exists while the run is not complete
    arguments: tuple[str, ...]  # command line arguments of `posecli`


def run_jobs(
    jobs: Sequence[Job], workers: int, engine: str, done: Callable[[], None] = lambda: None
) -> list[str | None]:
    """Run all jobs. Returns None or an error message for each job, in the order of `jobs`.

    engine: "local", "ray" (a cluster on this machine only) or "ray:ADDRESS". done: called after each clip.
    Raises Interrupted on Ctrl-C, after every worker has closed its files, and PoseError if there is no Ray cluster.
    """
    if engine == "local":
        return _locally(jobs, workers, done)
    return _on_ray(jobs, workers, engine.partition(":")[2] or None, done)


def cores_each(workers: int) -> int:
    return max(1, (os.cpu_count() or 1) // workers)


# ---------------------------------------------------------------- here


def _locally(jobs: Sequence[Job], workers: int, done: Callable[[], None]) -> list[str | None]:
    running: set[subprocess.Popen[str]] = set()
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores_each(workers))}
    found: dict[Future[str | None], int] = {}
    results: list[str | None] = [None] * len(jobs)
    with ThreadPoolExecutor(workers) as pool:
        try:
            found = {pool.submit(_one, job, running, environment): n for n, job in enumerate(jobs)}
            for future in as_completed(found):
                results[found[future]] = future.result()
                done()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.send_signal(signal.SIGINT)  # lets each run close its segment
            for process in list(running):
                process.wait()
            raise Interrupted(
                "Interrupted. The same command with --resume goes on with the clips that were begun."
            ) from None
    return results


def _one(job: Job, running: set[subprocess.Popen[str]], environment: dict[str, str]) -> str | None:
    """Run one clip. If its worker is killed, continue where it stopped, up to TRIES times."""
    arguments = list(job.arguments)
    for _ in range(TRIES):
        process = subprocess.Popen(
            [sys.executable, "-m", "posecli", *arguments], env=environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        running.add(process)
        _, told = process.communicate()
        running.discard(process)
        if process.returncode >= 0 and process.returncode != 137:
            return None if process.returncode == 0 else _sentence(told)
        if job.partial.is_dir() and "--resume" not in arguments:
            arguments.append("--resume")
    return f"Its worker was killed {TRIES} times; --resume goes on from where it was."


def _sentence(told: str) -> str:
    """The last message of a run."""
    lines = [line for line in told.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "It failed without an error message."


# ---------------------------------------------------------------- on a cluster


def _on_ray(
    jobs: Sequence[Job], workers: int, address: str | None, done: Callable[[], None]
) -> list[str | None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no telemetry
    ray = library("ray", "cluster")
    try:
        if address is not None and ":" in address and "://" not in address:
            # Check the address first, because Ray tries to connect for minutes.
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        ray.init(
            address=address, num_cpus=None if address else workers * cores_each(workers),
            include_dashboard=None if address else False, log_to_driver=False, logging_level="error",
            configure_logging=True,
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise PoseError(
            f"There is no Ray cluster at {address or 'this machine'} ({str(error).splitlines()[0]})."
        ) from error
    try:
        # Ray replaces a worker that dies. The clip then continues from its last complete segment.
        task = ray.remote(num_cpus=cores_each(workers), max_retries=TRIES - 1)(_in_worker)
        waiting = {task.remote(str(job.partial), list(job.arguments)): n for n, job in enumerate(jobs)}
        results: list[str | None] = [None] * len(jobs)
        while waiting:
            [ready], _ = ray.wait(list(waiting), num_returns=1)
            number = waiting.pop(ready)
            results[number] = _result(ray, ready)
            done()
        return results
    except KeyboardInterrupt:
        raise Interrupted(
            "Interrupted. The same command with --resume goes on with the clips that were begun."
        ) from None
    finally:
        ray.shutdown()


def _result(ray: Any, ready: Any) -> str | None:
    try:
        told: str | None = ray.get(ready)
    except ray.exceptions.RayError as error:
        return f"Its worker failed ({str(error).splitlines()[0]}); --resume goes on from where it was."
    return told


def _in_worker(partial: str, arguments: list[str]) -> str | None:
    """Run `python -m posecli` inside a Ray worker. The worker keeps the libraries loaded from clip to clip."""
    told = io.StringIO()
    begun = ["--resume"] if Path(partial).is_dir() and "--resume" not in arguments else []
    sys.argv = ["posecli", *arguments, *begun]
    try:
        with contextlib.redirect_stderr(told):
            runpy.run_module("posecli", run_name="__main__")
    except SystemExit as ended:
        return _sentence(told.getvalue()) if ended.code else None
    return None
