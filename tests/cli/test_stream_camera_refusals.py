"""What `narrows stream-camera` refuses before it takes a line."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from narrows.cli import narrows

NETS = """
from torch import nn

def grey():
    return nn.Conv2d(1, 1, 3, padding=1)

def colour():
    return nn.Conv2d(3, 3, 3, padding=1)

def pooled():
    return nn.Sequential(nn.Conv2d(1, 1, 1), nn.InstanceNorm2d(1))

def silent():
    return nn.ReLU()
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.tif").touch()
    (tmp_path / "old.tif").touch()
    (tmp_path / "text.png").write_text("no image")
    for name in ("a", "b"):
        for folder in ("same", "unlike"):
            (tmp_path / folder).mkdir(exist_ok=True)
            height = 5 if folder == "same" or name == "a" else 6
            path = tmp_path / folder / f"{name}.png"
            with rasterio.open(path, "w", driver="PNG", count=1, height=height, width=4, dtype="uint8") as out:
                out.write(np.zeros((1, height, 4), np.uint8))
    return tmp_path


CASES = [
    (("grey", "-", "-o", "-"), "need --width"),
    (("grey", "-", "--width", "0", "-o", "-"), "--width 0"),
    (("grey", "-", "--width", "4", "--rows", "0", "-o", "-"), "--rows 0"),
    (("grey", "-", "--width", "4", "--rate", "5", "-o", "-"), "--rate is for images"),
    (("grey", "-", "--width", "4", "-o", "o.tif"), "give --rows"),
    (("grey", "-", "--width", "4", "-o", "somewhere"), "give --rows"),
    (("grey", "-", "--width", "4", "--channels", "2", "-o", "o.raw"), "2"),
    (("silent", "-", "--width", "4", "-o", "-"), "give --channels"),
    (("grey", "same/a.png", "--width", "4", "-o", "-"), "are for raw lines"),
    (("grey", "same/a.png", "--rate", "0", "-o", "o.tif"), "--rate 0"),
    (("grey", "none.png", "-o", "o.tif"), "no such file"),
    (("grey", "text.png", "-o", "o.tif"), "can't be opened"),
    (("grey", "empty", "-o", "o"), "holds no images"),
    (("grey", "unlike", "-o", "o"), "but a.png is 5 x 4"),
    (("grey", "same", "-o", "o.tif"), "several images come"),
    (("grey", "same", "-o", "full"), "holds files already"),
    (("grey", "same", "-o", "no/such"), "doesn't exist"),
    (("grey", "same/a.png", "-o", "old.tif"), "--overwrite"),
    (("grey", "same/a.png", "-o", "o.png"), "PNG holds uint8 or uint16"),
    (("colour", "same/a.png", "-o", "o.tif"), "has 1 channel, but the network"),
    (("pooled", "same/a.png", "-o", "o.tif"), "every row"),
    (("grey", "same/a.png", "-o", "o.tif", "--memory", "1MB"), "smallest"),
    (("grey", "same/a.png", "-o", "o.tif", "--memory", "lots"), "amount of memory"),
]


@pytest.mark.parametrize(("arguments", "said"), CASES, ids=[said for _, said in CASES])
def test_one_line_and_nothing_written(there, arguments, said):
    before = files_under(there)
    model, *rest = arguments
    done = CliRunner().invoke(narrows, ["stream-camera", f"nets.py:{model}", *rest])
    assert done.exit_code == 2, (done.output, done.exception)
    assert len(done.stderr.splitlines()) == 1 and said in done.stderr
    assert files_under(there) == before


def files_under(folder):
    return sorted(str(path) for path in folder.rglob("*") if "__pycache__" not in path.parts)


def test_a_terminal_is_no_camera(there, monkeypatch):
    monkeypatch.setattr(
        "narrows.cli.stream_camera.sys", type("Terminal", (), {"stdin": _Terminal, "stdout": sys.stdout})
    )
    done = CliRunner().invoke(narrows, ["stream-camera", "nets.py:grey", "-", "--width", "4", "-o", "-"])
    assert done.exit_code == 2 and "is a terminal" in done.stderr


class _Terminal:
    @staticmethod
    def isatty():
        return True
