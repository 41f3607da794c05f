"""The frame rate in a file is only reported. A run uses the times of the frames."""

import ast
from pathlib import Path

import pytest

import posecli

ROOT = Path(posecli.__file__).parent
# Modules that may read the rate of a source: sources, the header of a result, and video writers.
MAY = {
    "sources",
    "pipeline/header.py",
    "formats/convert.py",
    "output/record.py",
    "results/render.py",
    "cli/compare.py",
}
FILES = sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*.py"))


@pytest.mark.parametrize("file", [f for f in FILES if f not in MAY and f.split("/")[0] not in MAY])
def test_nobody_else_reads_the_rate_of_a_source(file) -> None:
    reads = [
        node.lineno
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "rate" and isinstance(node.value, ast.Name)
        and node.value.id in ("source", "opened", "video", "stream")
    ]  # fmt: skip
    assert not reads
