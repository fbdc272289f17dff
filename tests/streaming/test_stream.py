"""Sources, sinks, iterators, budgets and errors of a streamed run."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import narrows
from narrows.errors import BudgetError, CancelledError, CaptureError, InputError, NotStreamableError
from narrows.streaming.memory import resident_now, resident_part
from narrows.units import format_bytes, parse_bytes


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.down = torch.nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.head = torch.nn.Conv2d(8, 2, 1)

    def forward(self, x):
        return self.head(self.down(self.stem(x)).relu())


class Several(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image, mask):
        y = self.stem(image) * mask
        return {"full": y, "half": torch.nn.functional.max_pool2d(y, 2), "class": y.argmax(1)}


class Rows:
    """A `RowSource` over an array."""

    def __init__(self, array, fail_at=None):
        self.array, self.fail_at = array, fail_at
        self.shape, self.dtype = array.shape, array.dtype

    def read(self, start, stop):
        if self.fail_at is not None and stop > self.fail_at:
            raise OSError("the disk went away")
        return self.array[:, start:stop]


class Kept:
    """A `RowSink` into memory."""

    def __init__(self, fail=False):
        self.blocks, self.fail = [], fail

    def write(self, start, rows):
        if self.fail:
            raise OSError("no space left")
        assert start == sum(block.shape[1] for block in self.blocks)
        self.blocks.append(rows.copy())


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(3, 61, 40)).astype(np.float32)


def full(network, image):
    with torch.no_grad():
        return network(torch.from_numpy(np.ascontiguousarray(image))[None])[0].numpy()


def running_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("narrows")]


def test_an_array_gives_an_array_and_a_tensor_a_tensor(network, image):
    wanted = full(network, image)
    as_array = narrows.stream(network, image, strip=7)
    assert isinstance(as_array, np.ndarray)
    np.testing.assert_allclose(as_array, wanted, rtol=0, atol=1e-6)
    as_tensor = narrows.stream(network, torch.from_numpy(image)[None], strip=7)
    assert as_tensor.shape == (1, *wanted.shape)
    np.testing.assert_allclose(as_tensor[0].numpy(), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "stored",
    [
        lambda image: np.asfortranarray(image),
        lambda image: image.astype(">f4"),
        lambda image: np.repeat(image, 2, axis=2)[:, :, ::2],
        lambda image: image.astype(np.float64),
    ],
)
def test_arrays_however_they_are_stored(network, image, stored):
    np.testing.assert_allclose(narrows.stream(network, stored(image)), full(network, image), rtol=0, atol=1e-6)


def test_a_read_only_memory_map_and_a_source_into_a_sink(network, image, tmp_path):
    path = tmp_path / "image.npy"
    np.save(path, image)
    mapped = np.load(path, mmap_mode="r")
    wanted = full(network, image)
    np.testing.assert_allclose(narrows.stream(network, mapped, strip=5), wanted, rtol=0, atol=1e-6)
    sink = Kept()
    assert narrows.stream(network, Rows(mapped), sink, strip=5) is None
    np.testing.assert_allclose(np.concatenate(sink.blocks, axis=1), wanted, rtol=0, atol=1e-6)
    assert not running_threads()


def test_integers_are_converted_to_the_dtype_of_the_weights(network):
    image = np.random.default_rng(1).integers(0, 200, size=(3, 20, 16), dtype=np.uint8)
    wanted = full(network, image.astype(np.float32))
    np.testing.assert_allclose(narrows.stream(network, image), wanted, rtol=1e-5, atol=1e-4)
    sink = Kept()
    narrows.stream(network, Rows(image), sink)
    np.testing.assert_allclose(np.concatenate(sink.blocks, axis=1), wanted, rtol=1e-5, atol=1e-4)


def test_several_inputs_by_name_and_outputs_at_other_scales():
    torch.manual_seed(0)
    model = Several().eval()
    image, mask = torch.randn(2, 3, 30, 20), torch.rand(2, 1, 30, 20)
    with torch.no_grad():
        wanted = model(image, mask)
    for got in (
        narrows.stream(model, {"image": image, "mask": mask}, strip=4),
        narrows.stream(model, (image, mask), strip=4),
    ):
        assert got.keys() == wanted.keys()
        assert torch.equal(got["class"], wanted["class"])
        for name in ("full", "half"):
            assert (got[name] - wanted[name]).abs().max() < 1e-6


@pytest.mark.parametrize("rows", [1, 4, 61])
def test_rows_leave_as_soon_as_they_can(network, image, rows):
    arrived, ready = [0], []
    delay = narrows.plan(network, 61, 40, strip=1).delay

    def blocks():
        for start in range(0, 61, rows):
            arrived[0] = min(start + rows, 61)
            yield image[:, start : start + rows]

    for block in narrows.stream_rows(network, blocks(), 61):
        assert arrived[0] >= delay
        ready.append(block)
        if len(ready) == 1:
            assert arrived[0] < delay + rows
    np.testing.assert_allclose(np.concatenate(ready, axis=1), full(network, image), rtol=0, atol=1e-6)


def test_blocks_that_end_early(network, image):
    with pytest.raises(InputError, match="61"):
        list(narrows.stream_rows(network, iter([image[:, :20]]), 61))


def test_an_error_of_the_source_or_the_sink_stops_every_thread(network, image):
    with pytest.raises(OSError, match="went away"):
        narrows.stream(network, Rows(image, fail_at=30), Kept(), strip=4)
    assert not running_threads()
    with pytest.raises(OSError, match="no space"):
        narrows.stream(network, Rows(image), Kept(fail=True), strip=4)
    assert not running_threads()


def test_a_batch_into_a_sink_is_refused_before_any_row(network):
    sink = Kept()
    with pytest.raises(InputError, match="batch of 2"):
        narrows.stream(network, torch.randn(2, 3, 20, 16), sink)
    assert not sink.blocks


class Applied(torch.nn.Module):
    """A convolution, a factor that is a plain attribute, a dropout, and what `function` makes of it."""

    def __init__(self, function=lambda y, module: y):
        super().__init__()
        self.stem, self.dropout, self.factor = torch.nn.Conv2d(3, 4, 3), torch.nn.Dropout(0.5), 1.0
        self.function = function

    def forward(self, x):
        return self.function(self.dropout(self.stem(x)) * self.factor, self)


def twice(y, module):
    return y, y


def with_a_vector(y, module):
    return y, torch.arange(5.0) * module.factor


def test_one_value_returned_twice(image):
    model = Applied(twice).eval()
    first, second = Kept(), Kept()
    narrows.stream(model, Rows(image), (first, second), strip=5)
    wanted = full(lambda x: model(x)[0], image)
    for sink in (first, second):
        np.testing.assert_allclose(np.concatenate(sink.blocks, axis=1), wanted, rtol=0, atol=1e-6)
    one, other = narrows.stream(model, torch.from_numpy(image)[None], strip=5)
    assert torch.equal(one, other)
    assert one.data_ptr() != other.data_ptr()


def test_an_output_without_rows_keeps_its_shape(image):
    rows, vector = narrows.stream(Applied(with_a_vector).eval(), image)
    assert rows.shape == (4, 59, 38)
    assert vector.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("function", [None, lambda y, module: y], ids=["pickles", "does not pickle"])
def test_a_network_changed_between_runs_is_captured_anew(image, function):
    model = (Applied(function) if function else Applied(_same)).eval()
    narrows.stream(model, image)
    model.factor = 3.0
    np.testing.assert_allclose(narrows.stream(model, image), full(model, image), rtol=0, atol=1e-5)
    with torch.no_grad():
        model.stem.weight.mul_(2)
    np.testing.assert_allclose(narrows.stream(model, image), full(model, image), rtol=0, atol=1e-5)
    model.dropout.train()
    with pytest.raises(NotStreamableError, match="dropout"):
        narrows.stream(model, image)


def _same(y, module):
    return y


def test_rows_beyond_the_height_and_blocks_of_another_width(network, image):
    with pytest.raises(InputError, match="more rows came than the 40"):
        list(narrows.stream_rows(network, iter([image[:, :30], image[:, 30:]]), 40))
    with pytest.raises(InputError, match="block of rows"):
        list(narrows.stream_rows(network, iter([image[:, :30], image[:, 30:, :9]]), 61))


def test_an_array_passed_in_stands_beside_the_budget(network):
    large = np.ones((3, 3300, 4096), np.float32)
    with pytest.raises(BudgetError) as refused:
        narrows.stream(network, large, memory=1)
    assert refused.value.smallest < resident_now() - large.nbytes // 2
    assert narrows.stream(network, large, memory=refused.value.smallest).shape[-1] == 4096 // 2


def test_resident_part_counts_pages_that_were_written():
    array = np.zeros((64, 1 << 20), np.uint8)
    assert resident_part(array.ctypes.data, array.nbytes) < 2**20
    array[:16] = 1
    assert 15 * 2**20 <= resident_part(array.ctypes.data, array.nbytes) <= 18 * 2**20


def test_progress_and_cancelling(network, image):
    seen, cancel = [], threading.Event()

    def progress(done, total, held):
        seen.append((done, total))
        assert held > 0
        if done >= 20:
            cancel.set()

    with pytest.raises(CancelledError, match="61 rows"):
        narrows.stream(network, Rows(image), Kept(), strip=4, progress=progress, cancel=cancel)
    assert seen[-1][0] < 61
    assert not running_threads()
    narrows.stream(network, image, strip=4, progress=lambda *state: seen.append(state[:2]))
    assert seen[-1] == (61, 61)


def test_exported_programs_and_their_files(network, image, tmp_path):
    example = torch.zeros(1, 3, 61, 40)
    fixed = torch.export.export(network, (example,))
    wanted = full(network, image)
    np.testing.assert_allclose(narrows.stream(fixed, image), wanted, rtol=0, atol=1e-6)
    sizes = {"x": {2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}}
    dynamic = torch.export.export(network, (torch.zeros(1, 3, 32, 32),), dynamic_shapes=sizes)
    path = tmp_path / "network.pt2"
    torch.export.save(dynamic, path)
    np.testing.assert_allclose(narrows.stream(path, image), wanted, rtol=0, atol=1e-6)
    with pytest.raises(CaptureError, match="dynamic"):
        narrows.stream(fixed, image[:, :30])


def test_budgets_in_words(network):
    with pytest.raises(InputError, match="lots"):
        narrows.plan(network, 100, 100, memory="lots")
    with pytest.raises(BudgetError, match="smallest that works") as refused:
        narrows.plan(network, 4000, 4000, memory="1MB")
    plan = narrows.plan(network, 4000, 4000, memory=refused.value.smallest)
    assert plan.peak <= refused.value.smallest
    assert "conv2d" in str(plan)
    assert '"strip"' in plan.to_json()


def test_a_network_in_training_mode_is_refused(network, image):
    with pytest.raises(CaptureError, match="training mode"):
        narrows.stream(network.train(), image)


@pytest.mark.parametrize(
    ("text", "count"), [("600MB", 600_000_000), ("1.5GiB", 1_610_612_736), ("64 k", 64_000), ("12", 12), (7, 7)]
)
def test_amounts_of_memory(text, count):
    assert parse_bytes(text) == count


def test_amounts_are_written_in_the_unit_that_reads_best():
    assert [format_bytes(n) for n in (12, 30_120_000, 1_234_000_000)] == ["12 B", "30.1 MB", "1.234 GB"]
