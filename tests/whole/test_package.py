"""The contents of the package. No file may match .gitignore, because a clone would not have it."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_git_ignores_no_file_of_the_package(tmp_path) -> None:
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
