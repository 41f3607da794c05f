"""Times a folder of clips on a Ray cluster of one node and of two, each with one core of this machine; then takes a node away
in the middle of a run.

    python scripts/time_cluster.py clips/

clips/: at least four short ones. Leave the machine alone meanwhile. Linux only: nodes are kept to their core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path)
    clips = parser.parse_args().clips
    cores = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory(prefix="posecli-") as folder:
        seconds = {}
        for count in (1, 2):
            cluster, _ = _cluster(cores[:count])
            seconds[count], results = _run(clips, Path(folder) / f"{count}", cluster)
            cluster.shutdown()
            print(f"{count} nodes: {len(results)} clips in {seconds[count]:.0f} s", flush=True)
        print(f"two nodes are {seconds[1] / seconds[2]:.2f} times as fast")

        cluster, nodes = _cluster(cores)
        out = Path(folder) / "lost"
        run = _begin(clips, out, cluster)
        while not list(out.glob("*.partial/lines*")) and run.poll() is None:
            time.sleep(0.1)
        time.sleep(3)
        cluster.remove_node(nodes[-1], allow_graceful=False)
        code, after = run.wait(), _joints(out)
        cluster.shutdown()
        same = after == results
        print(f"a node lost: exit code {code}, {len(after)} clips, joints {'the same' if same else 'DIFFER'}")


def _cluster(cores: list[int]) -> tuple[Cluster, list[Any]]:
    """A cluster with a node on each core. Processes keep to the cores of the one that starts them."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores[:1])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes = [cluster.head_node]
    for core in cores[1:]:
        os.sched_setaffinity(0, [core])
        nodes.append(cluster.add_node(num_cpus=1))
    os.sched_setaffinity(0, everywhere)
    return cluster, nodes


def _begin(clips: Path, out: Path, cluster: Cluster) -> subprocess.Popen[bytes]:
    arguments = ["run", str(clips), "--out", str(out), "--engine", f"ray:{cluster.address}", "--workers", "2"]
    return subprocess.Popen([sys.executable, "-m", "posecli", *arguments, "--device", "cpu", "--quiet"])


def _run(clips: Path, out: Path, cluster: Cluster) -> tuple[float, dict[str, Any]]:
    start = time.perf_counter()
    if _begin(clips, out, cluster).wait() != 0:
        sys.exit("The run failed.")
    return time.perf_counter() - start, _joints(out)


def _joints(out: Path) -> dict[str, Any]:
    """{clip: its frames}."""
    return {path.name: json.loads(path.read_text())["frames"] for path in sorted(out.rglob("*.json"))}


if __name__ == "__main__":
    main()
