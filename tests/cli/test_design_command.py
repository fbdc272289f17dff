from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from narrows.cli import narrows
from narrows.costing import design as room
from narrows.costing.design import Costs
from narrows.networks.catalogue import CATALOGUE


@pytest.fixture
def quick(monkeypatch):
    """Costs from the number of parameters alone."""

    def costs(design, bands, *_):
        size = sum(parameter.numel() for parameter in design.build(bands).parameters())
        return Costs(size * 1000, size, 4 * size, True, None, 12, 2000, None)

    monkeypatch.setattr(room, "_costs", costs)


def call(*arguments):
    given = {"--task": "segmentation", "--bands": "6", "--size": "64x64"}
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    return CliRunner().invoke(narrows, ["design", *(part for pair in given.items() for part in pair)])


def test_what_fits_is_shown_with_its_line_and_what_does_not_with_its_reason(quick):
    result = call("--memory", "3MB")
    assert result.exit_code == 0, result.output
    shown, _, refused = result.stdout.partition("Don't fit:")
    assert shown.startswith("1. water (")
    assert "F1 of water 0.98 on Harmonized Landsat Sentinel-2" in shown and "docs/models/water.md" in shown
    assert "from narrows.networks.water_net import water_small; model = water_small()" in shown
    assert "licence: Apache-2.0" in shown and "58,744 parameters" in shown
    assert "deepwatermap_v2" in refused and "memory: needs 148.8 MB even in strips, over 3.0 MB" in refused


def test_json_holds_everything(quick):
    result = CliRunner().invoke(
        narrows, ["design", "--task", "restoration", "--bands", "1", "--size", "64x64", "--json"]
    )
    found = json.loads(result.stdout)
    assert {one["design"] for one in found} == {design.name for design in CATALOGUE if "restoration" in design.tasks}
    assert all(one["fits"] and one["costs"]["delay"] == 12 and "in_channels=1" in one["python"] for one in found)


def test_when_nothing_fits(quick):
    result = call("--memory", "1kB")
    assert result.exit_code == 0 and result.stdout.startswith("No design of the catalogue fits.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "64"), ("--size 64", "rows x columns")),
        (("--task", "painting"), ("--task painting", "classification, segmentation, restoration")),
        (("--memory", "much"), ("'much' is not an amount of memory",)),
        (("--latency", "60s"), ("--latency needs a machine's profile", "narrows calibrate", "--machine")),
        (("--latency", "soon", "--machine", "p.json"), ("'soon' is not a length of time",)),
        (("--latency", "60s", "--machine", "missing.json"), ("missing.json",)),
    ],
)
def test_bad_input_is_one_line(arguments, words):
    result = call(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert line.startswith("Error:") and all(word in line for word in words)
