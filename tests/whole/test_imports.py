"""The direction of imports: a package imports only from lower levels, never from its own level or above."""

import ast
from pathlib import Path

import pytest

import posecli

ROOT = Path(posecli.__file__).parent
LEVELS = [
    {"errors", "defaults", "lists", "silence", "prefetch", "stages", "version"},
    {"types", "optional", "files"},
    {"skeletons", "sources", "geometry"},
    {"metrics"},
    {"models", "draw", "data"},
    {"engines", "output"},
    {"results"},
    {"pipeline", "formats", "evaluation"},
    {"followup", "training", "export"},
    {"api"},
    {"bench", "serve"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
FILES = sorted(
    p for p in ROOT.rglob("*.py") if p.parent != ROOT or p.name not in ("__init__.py", "__main__.py")
)


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_imports_upward(path) -> None:
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imports_of(path):
        pieces = name.split(".")
        if pieces[0] == "posecli" and len(pieces) > 1 and pieces[1] in LEVEL and pieces[1] != part:
            assert LEVEL[pieces[1]] < LEVEL[part], f"{path.name} ({part}) imports {name}"


def test_no_two_files_import_each_other() -> None:
    imports = {
        ".".join(p.relative_to(ROOT.parent).with_suffix("").parts): {
            n for n in imports_of(p) if n.startswith("posecli")
        }
        for p in FILES
    }
    free = dict(imports)
    while leaves := [name for name, wanted in free.items() if not wanted & free.keys()]:
        for name in leaves:
            del free[name]
    assert not free, f"a circle among {sorted(free)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_library_stays_where_it_belongs(path) -> None:
    place = path.relative_to(ROOT)
    libraries = {name.split(".")[0] for name in imports_of(path)}
    if place.parts[0] != "cli":
        assert not libraries & {"typer", "rich"}
    if str(place) not in ("engines/detector.py", "training/detector.py"):
        assert "ultralytics" not in libraries


def test_inference_does_not_import_training() -> None:
    for path in FILES:
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if part not in ("training", "cli"):
            assert not any(name.startswith("posecli.training") for name in imports_of(path)), path
