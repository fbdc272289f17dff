"""`narrows cost`: tables as they were looked at, the page in a browser, limits, and bad input in one line."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from narrows.cli import narrows

GOLDEN = Path(__file__).parent / "golden"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(
        textwrap.dedent(
            """
            from torch import nn

            class Small(nn.Module):
                def __init__(self, width=8):
                    super().__init__()
                    self.stem = nn.Conv2d(3, width, 3, padding=1)
                    self.body = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))

                def forward(self, x):
                    x = self.stem(x)
                    return x + self.body(x)

            def wide():
                return Small(16)

            def needs(width):
                return Small(width)

            def large_kernel():
                return nn.Conv2d(3, 3, 9)
            """
        )
    )
    return str(path)


def run(*arguments):
    return CliRunner().invoke(narrows, ["cost", *map(str, arguments)])


def golden(name, text):
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("NARROWS_REWRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), "set NARROWS_REWRITE_GOLDEN=1 to rewrite, then look at the difference"


def test_table_of_one_network(network):
    done = run(f"{network}:Small", "--size", "32x48", "--operators", "--growth")
    assert done.exit_code == 0, done.output
    golden("cost_small", done.stdout)


def test_two_networks_side_by_side(network):
    done = run(f"{network}:Small", f"{network}:wide", "--size", "32x48")
    assert done.exit_code == 0, done.output
    golden("cost_side_by_side", done.stdout)


def test_json_and_csv(network):
    found = json.loads(run(f"{network}:Small", "--size", "32x48", "--json").stdout)
    assert found["totals"]["macs"] == 32 * 48 * 9 * (3 * 8 + 8 * 8)
    assert found["totals"]["parameters"] == 3 * 8 * 9 + 8 + 16 + 8 * 8 * 9 + 8
    assert {"peak_bytes", "eager_peak_bytes", "line_buffer_bytes", "delay_rows"} <= set(found["totals"])
    both = json.loads(run(f"{network}:Small", f"{network}:wide", "--size", "32x48", "--json").stdout)
    assert [report["name"] for report in both] == ["Small", "wide"]
    rows = list(csv.DictReader(io.StringIO(run(f"{network}:Small", "--size", "32x48", "--csv").stdout)))
    assert sum(int(row["macs"]) for row in rows) == found["totals"]["macs"]


@pytest.mark.parametrize(
    ("budget", "code", "says"),
    [
        ("macs=2M,memory=1GB,delay=8", 0, ""),
        ("macs=1M", 1, "macs 1.22 M exceeds 1M"),
        ("memory=100kB", 1, "memory 147.5 kB exceeds 100kB"),
        ("delay=2", 1, "delay 3 rows exceeds 2"),
        ("lines=1MB,parameters=1k,eager=1MB", 0, ""),
        ("latency=60s", 2, "needs the times of a machine: give --machine"),
        ("macs=2furlongs", 2, "'2furlongs' is not a count"),
        ("memory=2parsec", 2, "not an amount of memory"),
        ("beauty=3", 2, "there is no 'beauty'"),
        ("macs", 2, "write it as name=value"),
        ("streamed=1GB", 2, "give --memory"),
    ],
)
def test_budget(network, budget, code, says):
    done = run(f"{network}:Small", "--size", "32x48", "--budget", budget)
    assert done.exit_code == code, done.output
    assert says in done.stderr
    if code == 2:
        assert done.stderr.count("\n") == 1 and not done.stdout


def test_operations_of_unknown_operators_keep_no_budget(tmp_path):
    (tmp_path / "odd.py").write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn

            @torch.library.custom_op("narrows_cli_tests::odd", mutates_args=())
            def odd(x: torch.Tensor) -> torch.Tensor:
                return x.clone()

            @odd.register_fake
            def _(x):
                return torch.empty_like(x)

            class Odd(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.stem = nn.Conv2d(3, 4, 1)

                def forward(self, x):
                    return odd(self.stem(x))
            """
        )
    )
    done = run(f"{tmp_path / 'odd.py'}:Odd", "--size", "8x8", "--budget", "macs=1G")
    assert done.exit_code == 1
    assert "macs are at least 768: narrows_cli_tests.odd.default at odd.py:" in done.stderr
    assert "is unknown" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.module:build", "--size", "8x8"], "can't be imported"),
        (["{}:needs", "--size", "8x8"], "give it with --arg"),
        (["{}:large_kernel", "--size", "4x4"], "can't be captured at this size"),
        (["{}:Small", "--size", "8"], "write rows x columns"),
        (["{}:Small", "--size", "0x8"], "at least one row"),
        (["{}:Small", "{}:wide", "--size", "8x8", "--csv"], "--csv is for one MODEL"),
        (["{}:Small", "--size", "8x8", "--html", "/nowhere/page.html"], "doesn't exist; make it first"),
    ],
)
def test_bad_input_is_one_line(network, arguments, says):
    done = run(*(argument.format(network) for argument in arguments))
    assert done.exit_code == 2 and says in done.stderr and done.stderr.count("\n") == 1


def test_page_needs_nothing_and_is_not_overwritten(network, tmp_path):
    page = tmp_path / "page.html"
    assert run(f"{network}:Small", f"{network}:wide", "--size", "32x48", "--html", page).exit_code == 0
    text = page.read_text()
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)
    assert text.count("<svg") == 4
    done = run(f"{network}:Small", "--size", "32x48", "--html", page)
    assert done.exit_code == 2 and "--overwrite" in done.stderr and page.read_text() == text
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
def test_page_in_a_browser(network, tmp_path):
    page = tmp_path / "page.html"
    assert run(f"{network}:Small", "--size", "32x48", "--html", page).exit_code == 0
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert shown.count("<circle") >= 4 and "Memory over time" in shown and "Roofline" in shown
    picture = tmp_path / "page.png"
    subprocess.run(
        [*command, "--window-size=1000,1500", f"--screenshot={picture}", page.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert picture.stat().st_size > 20_000
