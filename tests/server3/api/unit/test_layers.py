"""The layers of the package: imports point to the same package or below, never above."""

import ast
from pathlib import Path

import readmission_api

PACKAGE = Path(readmission_api.__file__).parent
LAYERS = (
    {"errors", "logs", "threads"},
    {"clients", "settings", "shared_files"},
    {"predictor"},
    {"scored"},
    {"model_store"},
    {"metrics"},
    {"prediction_log", "scoring", "shadow"},
    {"audit", "observers", "reloads"},
    {"audit_report", "routes"},
    {"app"},
    {"serve"},
    {"__main__"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules():
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
        if path != PACKAGE / "__init__.py"
    }


def imported(path, known):
    """Return the modules of the package that a module imports, those for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("readmission_api"):
            base = node.module.removeprefix("readmission_api").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                found.add(inner if inner in known else base)
    return found - {""}


def test_no_import_points_upwards():
    known = modules()
    assert known
    upward = {
        f"{name} imports {other}"
        for name, path in known.items()
        for other in imported(path, known)
        if other.partition(".")[0] != name.partition(".")[0]
        and LEVEL[other.partition(".")[0]] >= LEVEL[name.partition(".")[0]]
    }
    assert upward == set()


def test_no_imports_form_a_circle():
    known = modules()
    left = {name: imported(path, known) for name, path in known.items()}
    while ready := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in ready}
    assert left == {}
