from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from labelled_scenes import classes_of, write_pair, write_pairs
from torch import Generator, Tensor, nn

from narrows.errors import BudgetError, InputError, OutputError
from narrows.networks.rowwise_water import RowwiseWater
from narrows.networks.water_net import WaterNet
from narrows.water import map_water
from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.methods import NetworkMethod
from narrows.water.evaluation.pairs import Pair
from narrows.water.evaluation.scoring import score
from narrows.water.model_files import DEFAULT, WaterModel, read_model_file, save_model_file, shipped_model
from narrows.water.network import digest_of, trained_network
from narrows.water.training import fine_tuning, labelled
from narrows.water.training.fine_tuning import Trained, train
from narrows.water.training.journal import Journal
from narrows.water.training.lessons import Lessons
from narrows.water.training.report import tables, verdict
from narrows.water.training.settings import TrainSettings


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A very small network with random weights, as a file."""
    torch.manual_seed(5)
    path = tmp_path / "spoilt.safetensors"
    save_model_file(WaterModel("spoilt", WaterNet((6, 4, 6, 8), (1, 1)).eval()), path)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    folder = tmp_path / "labelled"
    folder.mkdir()
    return write_pairs(folder, 5)


@pytest.fixture
def unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """No maps of the validation scenes at the end, which would take the most of the time."""
    monkeypatch.setattr(
        fine_tuning,
        "score_scenes",
        lambda network, parts, memory, tell: {part.scene.name: Confusion() for part in parts},
    )


def settings(start: Path, **more: object) -> TrainSettings:
    given = {"steps": 20, "batch": 2, "crop": 32, "patience": 0, "rate": 3e-3, **more}
    return TrainSettings(str(start), **given)  # type: ignore[arg-type]


def logged(trained: Trained) -> list[str]:
    """The log without its seconds."""
    return [line.rpartition(",")[0] for line in (trained.folder / "log.csv").read_text().splitlines()]


def test_training_mends_a_spoilt_network_and_says_by_how_much(tmp_path: Path, pairs: list[Pair]) -> None:
    # What the network sees is left, what it says of that is gone.
    spoilt, start = shipped_model(DEFAULT), tmp_path / "spoilt.safetensors"
    with torch.no_grad():
        for name in ("head.weight", "head.bias", "head_of_squares.weight"):
            spoilt.module.get_parameter(name).zero_()
    save_model_file(spoilt, start)
    trained = train(pairs, tmp_path / "mended.safetensors", settings(start, steps=12, batch=4, rate=1e-3))
    before, after = trained.totals().values()
    assert (before.f1 or 0) < 0.5
    assert (after.f1 or 0) > 0.8
    assert verdict(trained).endswith("against before: spoilt")
    assert "F1 +0." in verdict(trained)
    table = tables(trained)[0]
    assert table.row_count == 2
    assert trained.data["validation"]["scenes"] == 1
    assert trained.steps == 12


def test_the_file_says_what_it_is_and_maps_like_any_network(tmp_path: Path, spoilt: Path, pairs: list[Pair]) -> None:
    output = tmp_path / "mine.safetensors"
    trained = train(pairs[:4], output, settings(spoilt), validation=pairs[4:])
    model = read_model_file(output)
    assert model.name == "mine"
    assert isinstance(model.module, WaterNet)
    assert not model.module.training
    assert model.training["started_from"].startswith("spoilt ")
    assert model.training["settings"]["crop"] == 32
    assert model.training["data"] == trained.data
    assert model.training["data"]["training"]["scenes"] == 4
    assert model.training["validation"] == trained.as_dict()["validation"]
    # What is said of the validation scene is what narrows water evaluate says.
    view, truth = pairs[4].read()
    method = NetworkMethod(trained_network(output, hidden=True))
    assert score(method.map(view), truth, view.observed).confusion == trained.scores["trained"]["e"]
    made = map_water(pairs[4].scene, model=str(output))
    np.testing.assert_array_equal(made.values, method.map(view).classes)
    assert not trained_network(output).tells_hidden


class Stopped(Exception):
    pass


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    taken, original = 0, Lessons.loss

    def loss(self: Lessons, model: nn.Module, generator: Generator) -> Tensor:
        nonlocal taken
        taken += 1
        if taken > steps:
            raise Stopped
        return original(self, model, generator)

    monkeypatch.setattr(Lessons, "loss", loss)


@pytest.mark.parametrize("simulated", [0.0, 0.5])
@pytest.mark.usefixtures("unscored")
def test_a_training_that_goes_on_ends_as_one_in_one_go(
    tmp_path: Path, spoilt: Path, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, simulated: float
) -> None:
    asked = settings(spoilt, steps=40, simulated=simulated)
    whole = train(pairs, tmp_path / "whole.safetensors", asked)
    output = tmp_path / "parts.safetensors"
    for steps in (7, 14):
        with monkeypatch.context() as patched:
            stop_after(patched, steps)
            with pytest.raises(Stopped):
                train(pairs, output, asked)
        assert not output.exists()
    # Where the scenes are read from the files, not from memory, nothing changes either.
    monkeypatch.setattr(labelled, "_SHARE", 0)
    said: list[str] = []
    parts = train(pairs, output, asked, tell=said.append)
    assert f"going on from the checkpoint in {tmp_path / 'parts.training'}" in said
    one, other = (read_model_file(each.output).module.state_dict() for each in (whole, parts))
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    assert logged(whole) == logged(parts)
    assert [line.split(",")[0] for line in logged(whole)] == ["step", *(str(step) for step in range(2, 41, 2))]


@pytest.mark.usefixtures("unscored")
def test_it_stops_early_and_keeps_the_best(
    tmp_path: Path, spoilt: Path, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.3, 0.6, 0.5, 0.6, 0.4])
    kept: dict[str, Tensor] = {}

    def validate(self: Journal, model: nn.Module) -> float:
        found = next(scores)
        if found == 0.6 and not kept:
            kept.update({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return found

    monkeypatch.setattr(Journal, "validate", validate)
    trained = train(pairs, tmp_path / "m.safetensors", settings(spoilt, steps=40, patience=2))
    assert trained.steps == 8
    for name, tensor in read_model_file(trained.output).module.state_dict().items():
        assert torch.equal(tensor, kept[name]), name


def test_without_validation_nothing_is_scored(tmp_path: Path, spoilt: Path, pairs: list[Pair]) -> None:
    trained = train(pairs, tmp_path / "m.safetensors", settings(spoilt, validation=0.0))
    assert trained.scores == {}
    assert trained.steps == 20
    assert tables(trained) == []
    assert "nothing tells" in verdict(trained)


@pytest.mark.usefixtures("unscored")
def test_from_scratch_stands_beside_what_comes_with_narrows(tmp_path: Path, pairs: list[Pair]) -> None:
    asked = TrainSettings("scratch", "water-small", steps=2, batch=1, crop=32)
    trained = train(pairs[:4], tmp_path / "m.safetensors", asked, validation=pairs[4:])
    model = read_model_file(trained.output)
    assert sum(parameter.numel() for parameter in model.module.parameters()) < 60_000
    assert next(iter(trained.scores)).endswith("as it comes")
    assert model.training["started_from"] == "scratch"
    assert model.training["settings"]["rate"] == 2e-3


@pytest.mark.usefixtures("unscored")
def test_a_folder_holds_one_training(tmp_path: Path, spoilt: Path, pairs: list[Pair]) -> None:
    output, folder = tmp_path / "m.safetensors", tmp_path / "run"
    asked = settings(spoilt, steps=2)
    train(pairs, output, asked, folder=folder)

    def refused(match: str, some: Sequence[Pair] = pairs, other: TrainSettings = asked) -> None:
        with pytest.raises(OutputError, match=match):
            train(some, output, other, folder=folder, overwrite=True)

    with pytest.raises(OutputError, match="exists"):
        train(pairs, output, asked, folder=folder)
    before = digest_of(read_model_file(output).module)
    assert train(pairs, output, asked, folder=folder, overwrite=True).steps == 2
    assert digest_of(read_model_file(output).module) == before
    refused(r"another training: there batch is 2, here 1", other=settings(spoilt, steps=2, batch=1))
    refused("scenes to train on are others", pairs[:4])
    write_pair(pairs[0].mask.parent, "a", classes_of(seed=9))
    refused("scenes to train on are others, or were changed since")


@pytest.mark.usefixtures("unscored")
def test_a_folder_that_is_no_run_and_a_damaged_one_are_refused(tmp_path: Path, spoilt: Path, pairs: list[Pair]) -> None:
    output, folder = tmp_path / "m.safetensors", tmp_path / "run"
    folder.mkdir()
    (folder / "thesis.doc").write_text("mine")
    asked = settings(spoilt, steps=2)
    with pytest.raises(OutputError, match="holds other files"):
        train(pairs, output, asked, folder=folder)
    (folder / "thesis.doc").unlink()
    train(pairs, output, asked, folder=folder)
    (folder / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(InputError, match="is damaged"):
        train(pairs, output, asked, folder=folder, overwrite=True)
    with pytest.raises(OutputError, match="is a file"):
        train(pairs, output, asked, folder=spoilt, overwrite=True)
    with pytest.raises(OutputError, match="doesn't exist"):
        train(pairs, output, asked, folder=tmp_path / "no" / "run", overwrite=True)


def test_a_training_that_fails_says_so(tmp_path: Path, spoilt: Path, pairs: list[Pair]) -> None:
    model = read_model_file(spoilt)
    with torch.no_grad():
        model.module.get_parameter("head.weight").fill_(torch.nan)
    save_model_file(model, spoilt)
    with pytest.raises(InputError, match="smaller --rate"):
        train(pairs, tmp_path / "m.safetensors", settings(spoilt))


def test_what_goes_wrong_outside_the_program_is_one_line(
    tmp_path: Path, spoilt: Path, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    for raised, kind, match in (
        (torch.OutOfMemoryError("CUDA out of memory"), InputError, "smaller --batch or --crop"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), InputError, "out of memory"),
        (RuntimeError("PytorchStreamWriter failed writing file"), OutputError, "is the disk full"),
        (RuntimeError("anything else"), RuntimeError, "anything else"),
    ):

        def fail(*_: object, raised: Exception = raised, **__: object) -> None:
            raise raised

        monkeypatch.setattr(fine_tuning, "fit", fail)
        with pytest.raises(kind, match=match):
            train(pairs, tmp_path / "m.safetensors", settings(spoilt))
    with pytest.raises(BudgetError, match="10"):
        train(pairs, tmp_path / "m.safetensors", settings(spoilt), memory="10MB")


def test_a_network_that_needs_every_band_is_not_trained_without(tmp_path: Path, pairs: list[Pair]) -> None:
    start = tmp_path / "old.safetensors"
    save_model_file(WaterModel("old", RowwiseWater((4, 6, 8, 10), (1, 1)).eval()), start)
    for pair in pairs[:2]:
        with rasterio.open(pair.scene) as given:
            profile, numbers = {**given.profile, "count": 4}, given.read([1, 2, 3, 4])
        with rasterio.open(pair.scene, "w", **profile) as out:
            out.write(numbers)
            out.descriptions, out.scales = ("blue", "green", "red", "nir"), (0.0001,) * 4
    with pytest.raises(InputError, match="has no swir1 and swir2, which the network old needs"):
        train(pairs[:2], tmp_path / "m.safetensors", settings(start))


def test_nothing_is_left_half_written_where_data_are_refused(tmp_path: Path, spoilt: Path) -> None:
    dry = [write_pair(tmp_path, "dry", classes_of(ponds=0))]
    with pytest.raises(InputError, match="labelled water"):
        train(dry, tmp_path / "m.safetensors", settings(spoilt, validation=0.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dry.tif", "dry_mask.tif", "spoilt.safetensors"]


def test_what_changes_little_is_not_called_better() -> None:
    def trained(after: Confusion) -> Trained:
        scores = {"before: x": {"a": Confusion(500, 50, 50, 400)}, "trained": {"a": after}}
        return Trained(Path("m"), Path("r"), 1500, 60.0, {}, "", scores)

    assert "no better and no worse" in verdict(trained(Confusion(501, 50, 49, 400)))
    assert "worse than before: x" in verdict(trained(Confusion(450, 50, 100, 400)))
    assert "F1 +0.0" in verdict(trained(Confusion(540, 50, 10, 400)))
    assert json.dumps(trained(Confusion()).as_dict())
