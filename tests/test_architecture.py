"""The folders are the architecture: imports point one way, and nothing heavy stands on the way to --help."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import novalith

ROOT = Path(novalith.__file__).parent
ORDER = (
    "errors materials store data represent networks training generate predict screen propose relax stability recipes "
    "campaign report cli"
).split()
HEAVY = {"torch", "pymatgen", "ase", "chgnet", "pyxtal", "sklearn", "pandas", "pyarrow", "plotly", "scipy", "numba"}


def modules():
    return [p for p in sorted(ROOT.rglob("*.py")) if p.parent != ROOT or p.stem in ORDER]


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path):
    """Rooms that a module imports outside of `if TYPE_CHECKING`, with line numbers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "novalith" and len(parts) > 1:
                yield parts[1], node.lineno


#: The table hull and the same-potential hull name energy scales, which the potentials define.
def forbidden(importer, imported):
    if imported not in ORDER:
        return True
    if importer == "generate" and imported == "represent":
        return True
    return ORDER.index(imported) > ORDER.index(importer)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_from_right_to_left(path):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports novalith.{imported}"
        for imported, line in imported_rooms(path)
        if forbidden(room(path), imported)
    ]
    assert not wrong, f"{wrong}; the order is {' '.join(ORDER)}"


def test_the_rule_itself_can_fail():
    assert forbidden("screen", "relax")
    assert forbidden("generate", "represent")
    assert not forbidden("relax", "screen")


def test_every_room_is_in_the_order():
    rooms = {p.name for p in ROOT.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert rooms <= set(ORDER)


def loaded_by(statement):
    code = f"{statement}\nimport sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return set(done.stdout.splitlines()[-1].split())


def test_import_novalith_loads_nothing_heavy():
    assert not loaded_by("import novalith; novalith.Composition.parse('NaCl')") & HEAVY


def test_help_loads_nothing_heavy():
    assert not loaded_by("from novalith.cli.main import build; build()") & HEAVY
