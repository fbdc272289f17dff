from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import _pytree as pytree

import narrows
from narrows.networks.catalogue import CATALOGUE, TASKS, Design

ROOT = Path(__file__).resolve().parents[2]
NAMES = [design.name for design in CATALOGUE]
DENSE = [design for design in CATALOGUE if "classification" not in design.tasks]


def bands_for(design: Design) -> int:
    return design.bands or 5


def test_names_are_unique_and_every_task_has_designs():
    assert len(set(NAMES)) == len(NAMES)
    for task in TASKS:
        assert sum(task in design.tasks for design in CATALOGUE) >= 3
    assert {task for design in CATALOGUE for task in design.tasks} == set(TASKS)


@pytest.mark.parametrize("design", CATALOGUE, ids=NAMES)
def test_the_line_builds_what_the_design_builds(design):
    names: dict[str, object] = {}
    with torch.device("meta"):
        exec(design.line(bands_for(design)), names)
        built = design.build(bands_for(design))
    theirs, ours = (model.state_dict() for model in (names["model"], built))
    assert {name: value.shape for name, value in theirs.items()} == {name: value.shape for name, value in ours.items()}
    with torch.no_grad():
        image = torch.empty(1, bands_for(design), 64, 96, device="meta")
        output = pytree.tree_leaves(built.eval()(image))[0]
    assert tuple(output.shape[-2:]) == ((64, 96) if "classification" not in design.tasks else (1, 1000))


@pytest.mark.parametrize("design", DENSE, ids=[design.name for design in DENSE])
def test_dense_designs_can_be_streamed(design):
    assert narrows.plan(design.build(bands_for(design)).eval(), 640, 64).peak > 0


def test_another_number_of_bands_is_refused():
    design = next(design for design in CATALOGUE if design.bands == 6)
    for ask in (design.build, design.line):
        with pytest.raises(ValueError, match=f"{design.name} takes 6 bands, not 3"):
            ask(3)


def test_no_score_without_source():
    for design in CATALOGUE:
        assert design.source and design.licence
        for score in design.scores:
            assert 0 < score.value < 1 and score.data and score.bands
            assert re.search(r"arXiv \d{4}\.\d{5}, table \d|github\.com/\S+|docs/\S+\.md", score.source)


def test_scores_measured_here_stand_where_they_say():
    here = [score for design in CATALOGUE for score in design.scores if score.source.startswith("docs/")]
    assert here
    for score in here:
        assert f"| {score.value:.3f} |" in (ROOT / score.source).read_text()


def test_reading_the_catalogue_loads_no_torch():
    code = "import sys, narrows.networks.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["water", "water_small"])
def test_scores_of_the_water_networks_are_those_measured(name: str) -> None:
    stem, model = ("water_small", "water-small") if name == "water_small" else ("water", "water")
    held, drawn = (
        json.loads((ROOT / "benchmarks" / "results" / f"{stem}_{what}.json").read_text())["rows"]
        for what in ("held_out", "truth")
    )
    measured = [next(row["f1"] for row in held if (row["pixels"], row["method"]) == ("consensus", model))]
    for split in ("report", "cloudy"):
        measured.append(next(r["f1"] for r in drawn if (r["split"], r["method"]) == (split, f"{model} ≥ 0.5")))
    scores = next(design for design in CATALOGUE if design.name == name).scores
    assert [score.value for score in scores] == [round(value, 3) for value in measured]
