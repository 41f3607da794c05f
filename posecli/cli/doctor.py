"""posecli doctor"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from posecli.cli import options as o

if TYPE_CHECKING:
    from posecli.engines.check import Verdict


def doctor(
    model: o.Model = None,
    detector: o.DetectorName = None,
    json: o.JsonOnStdout = False,
) -> None:
    """Check that every device and engine of this machine gives the same joints as PyTorch on the CPU.

    `--backend auto` skips engines that give other joints or are slower. To find wrong joints in a result, use
    `posecli check`.

    [bold]Examples[/bold]

      posecli doctor
      posecli doctor --model mine.safetensors --json
    """  # fmt: skip
    from posecli.cli import console

    rows = examine(model, detector)
    if json:
        import json as text

        print(text.dumps(rows, indent=1))
        return
    from rich.table import Table

    table = Table("network", "way", "differs by", "ms", "torch's ms", "verdict")
    for row in rows:
        if "wrong" not in row:
            table.add_row(row["network"], row["way"], "", "", "", row["verdict"])
            continue
        unit = f"{row['wrong']:.2f} px" if row["network"] == "joints" else f"IoU {1 - row['wrong']:.2f}"
        times = (f"{row['milliseconds']:.0f}", f"{row['reference']:.0f}")
        table.add_row(row["network"], row["way"], unit, *times, row["verdict"])
    console.results.print(table)


def examine(model: str | None, detector: str | None) -> list[dict[str, Any]]:
    """A row for each network and way: the figures, or why there are none, and the verdict."""
    import torch

    from posecli.engines.check import compare_detectors, compare_estimators
    from posecli.engines.load import load_detector, load_estimator
    from posecli.errors import PoseError

    ways = [("cpu", "openvino"), ("cpu", "openvino-int8"), ("cpu", "onnx")]
    cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    cards += ["mps"] if torch.backends.mps.is_available() else []
    ways += [(card, backend) for card in cards for backend in ("torch", "torch-half")]
    estimator = load_estimator(model, "cpu", backend="torch")
    finder = load_detector(detector, "cpu", backend="torch")
    rows: list[dict[str, Any]] = []
    for device, backend in ways:
        for network in ("joints", "boxes"):
            row: dict[str, Any] = {"network": network, "way": f"{device}, {backend}"}
            try:
                if network == "joints":
                    other = load_estimator(model, device, backend=backend)
                    found = compare_estimators(estimator, other)
                else:
                    found = compare_detectors(finder, load_detector(detector, device, backend=backend))
                row |= {**asdict(found), "verdict": _in_words(found)}
            except (PoseError, RuntimeError) as error:
                row["verdict"] = f"does not work: {str(error).splitlines()[0]}"
            rows.append(row)
    return rows


def _in_words(found: Verdict) -> str:
    if not found.right:
        return "wrong: not used"
    return "right, faster: used" if found.trusted else "right, but slower: not used"
