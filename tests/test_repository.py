"""What the repository promises about itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "narrows"
STANDALONE = [*sorted((SOURCE / "layers").rglob("*.py")), *sorted((SOURCE / "networks").rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", STANDALONE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_layers_and_networks_import_torch_alone(path: Path) -> None:
    own = ("narrows.layers", "narrows.networks")
    foreign = {
        name
        for name in imported(path)
        if not name.startswith(own) and name.partition(".")[0] not in {*sys.stdlib_module_names, "torch"}
    }
    assert not foreign


@pytest.mark.parametrize(
    "module", ["narrows", "narrows.cli", "narrows.rowgraph.rows", "narrows.rowgraph.graph", "narrows.streaming.plan"]
)
def test_import_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_readme_shows_the_measured_figures() -> None:
    check = subprocess.run([sys.executable, str(ROOT / "benchmarks" / "report.py"), "--check"], check=False)
    assert check.returncode == 0, "run python benchmarks/report.py"


def test_readme_links_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text()
        targets = [part.split(")")[0] for part in text.split("](")[1:]]
        missing = [t for t in targets if not t.startswith("http") and not (ROOT / t.partition("#")[0]).exists()]
        assert not missing, f"{name}: {missing}"


def test_docs_include_the_examples_that_they_show() -> None:
    """The formatter takes the one-line marker of an included file for Python, and breaks it without a complaint."""
    lines = [line for page in (ROOT / "docs").rglob("*.md") for line in page.read_text().splitlines()]
    markers = [line for line in lines if line.startswith("--8")]
    assert markers and set(markers) == {"--8<--"}


def test_no_torch_but_the_pinned_one() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert [pin for pin in pins if pin.startswith("torch==")] == ["torch==2.13.0"]
    assert not [pin for pin in pins if pin.startswith(("torchvision", "nvidia"))]
