"""The contents of the package, and whether the scripts still fit it."""

import ast
import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_git_ignores_no_file_of_the_package(tmp_path) -> None:
    """A clone would not have it."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    files = [
        str(p.relative_to(ROOT))
        for folder in ("posecli", "tests", "examples", "scripts", "docs", "weights")
        for p in (ROOT / folder).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    ]
    assert len(files) > 300
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        check=False,
        cwd=tmp_path,
        input="\n".join(files),
        text=True,
        capture_output=True,
    )
    assert ignored.stdout.split() == []


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_what_a_script_imports_from_posecli_is_there(script) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("posecli"):
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                assert hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}"), name
