"""The package as a whole: what it imports when, its version, the order of its rooms, its files."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import detkit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "detkit"
HEAVY = ("tensorflow", "keras", "matplotlib", "av", "cv2")
LONGEST = 450  # lines
# From the top to the bottom: a room imports from itself and from rooms below it.
ROOMS = (
    ("cli",),
    ("api", "demo", "preflight", "reporting"),
    ("studio",),
    ("inference",),
    ("export",),
    ("training",),
    ("evaluation",),
    ("models",),
    ("baselines",),
    ("explain",),
    ("classification", "segmentation", "garden"),
    ("detection",),
    ("networks",),
    ("hub",),
    ("zoo",),
    ("checkpoint",),
    ("data",),
    ("pipeline",),
    ("visualize",),
    ("boxes", "masks", "nms", "fusion", "detections", "errors", "progress", "io", "text"),
)
FLOOR = {name: floor for floor, names in enumerate(ROOMS) for name in names}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def import_statements(node: ast.AST, deep: bool) -> Iterator[ast.stmt]:
    """The imports that run: not what is for type checkers only, and what is in functions only if `deep`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not deep:
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        yield from import_statements(child, deep)


def imports(path: Path, deep: bool) -> set[str]:
    """The modules of detkit that a file imports; those that its functions import too if `deep`."""
    found = set()
    for statement in import_statements(ast.parse(path.read_text(encoding="utf-8")), deep):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        else:
            assert not statement.level, f"{path}:{statement.lineno}: a relative import"
            inside = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found |= {name if name in SOURCES else statement.module for name in inside}
    return found & set(SOURCES)


def room(module: str) -> str:
    return module.split(".")[1]


def tracked() -> list[Path]:
    """The files of the repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone of the repository")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("code", ["import detkit", "from detkit.cli import main; main(['--help'])"])
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "detkit" in imported
    assert imported & set(HEAVY) == set()


def test_the_version_is_that_of_the_metadata_and_of_pyproject():
    try:
        installed = importlib.metadata.version("detkit")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("detkit is not installed")
    written = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert detkit.__version__ == installed == written


def test_every_name_of_the_public_surface_is_there():
    missing = [name for name in dir(detkit) if name != "__version__" and not hasattr(detkit, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'finetuen'"):
        detkit.finetuen  # noqa: B018


def test_the_data_files_of_the_package_are_in_the_repository():
    names = {path.relative_to(PACKAGE).as_posix() for path in tracked() if PACKAGE in path.parents}
    bundled = ("pipeline.config", "label_map.pbtxt", "LICENSE.txt", "weights.npz")
    assert {"zoo/catalogue.csv", *(f"zoo/bundled/hands/{name}" for name in bundled)} <= names


def test_no_file_points_to_where_it_was_made():
    # Spelled in pieces, for this file to pass too.
    banned = ["/" + "work/", "py" + "pi.org", "pythonho" + "sted", "npmjs" + ".org", "deb" + "ian.org"]
    found = []
    for path in (path for path in tracked() if path.suffix not in (".npz", ".png")):
        text = path.read_text(encoding="utf-8")
        outside_tests = [] if ROOT / "tests" in path.parents else [".." + "/shared"]
        found += [f"{path.relative_to(ROOT)}: {word}" for word in banned + outside_tests if word in text]
    assert found == []


@pytest.mark.parametrize("module", [name for name in SOURCES if "." in name])
def test_a_room_imports_only_from_rooms_below_it(module):
    assert room(module) in FLOOR, f"add {room(module)} to ROOMS, in its place"
    wrong = {
        other
        for other in imports(SOURCES[module], deep=True)
        if "." in other and room(other) != room(module) and FLOOR[room(other)] < FLOOR[room(module)]
    }
    assert wrong == set()


def test_no_import_is_circular():
    graph = {name: imports(path, deep=False) - {name} for name, path in SOURCES.items()}
    while graph:
        leaves = {name for name, needed in graph.items() if not needed & set(graph)}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: needed for name, needed in graph.items() if name not in leaves}


@pytest.mark.parametrize("folder", ["detkit", "tests", "benchmarks", "docs"])
def test_no_file_is_too_long(folder):
    files = (ROOT / folder).rglob("*.py")
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}
