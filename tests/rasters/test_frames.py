"""Where lines come from: images, folders, videos, pipes."""

from __future__ import annotations

import io
import os
import sys
from time import perf_counter

import av
import numpy as np
import pytest
import rasterio

from narrows.errors import InputError
from narrows.rasters.frames import ImageFrames, RawLines, VideoFrames, open_frames


def write_image(path, pixels):
    """(channels, rows, columns) as `path` says."""
    driver = {".png": "PNG", ".tif": "GTiff"}[path.suffix]
    count, height, width = pixels.shape
    with rasterio.open(path, "w", driver=driver, count=count, height=height, width=width, dtype=pixels.dtype) as out:
        out.write(pixels)
    return path


def whole(frames):
    return {name: np.concatenate(list(rows), 1) for name, rows in frames}


@pytest.mark.parametrize(("ending", "dtype"), [(".png", "uint8"), (".png", "uint16"), (".tif", "float32")])
def test_an_image_line_by_line(tmp_path, ending, dtype):
    pixels = (np.random.default_rng(0).random((3, 150, 11)) * 200).astype(dtype)
    source = open_frames(write_image(tmp_path / f"one{ending}", pixels))
    assert source.shape == (3, 150, 11) and source.dtype == dtype and source.arrived is None
    (found,) = whole(source.frames()).values()
    np.testing.assert_array_equal(found, pixels)


def test_a_folder_in_the_order_of_its_numbers(tmp_path):
    for number in (10, 9, 100):
        write_image(tmp_path / f"line_{number}.png", np.full((1, 4, 5), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    found = whole(open_frames(tmp_path).frames())
    assert list(found) == ["line_9", "line_10", "line_100"]
    assert [int(pixels[0, 0, 0]) for pixels in found.values()] == [9, 10, 100]


def test_images_that_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_frames(tmp_path / "none.png")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no images"):
        open_frames(empty)
    text = tmp_path / "text.png"
    text.write_text("this is no image")
    with pytest.raises(InputError, match="can't be opened"):
        open_frames(text)
    first = write_image(empty / "a.png", np.zeros((1, 4, 5), np.uint8))
    write_image(empty / "b.png", np.zeros((1, 4, 6), np.uint8))
    with pytest.raises(InputError, match=r"b\.png: is 4 x 6 of 1 band, uint8, but a\.png is 4 x 5"):
        open_frames(empty)
    source = ImageFrames([first])
    write_image(first, np.zeros((1, 9, 5), np.uint8))
    with pytest.raises(InputError, match="changed"):
        list(source.frames())


def write_video(path, frames, codec="ffv1", pixel="bgr0"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = (*frames[0].shape[:2], pixel)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_video_frame_by_frame(tmp_path):
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), dtype=np.uint8))
    path = write_video(tmp_path / "lossless.mkv", frames)
    source = open_frames(path, 3)
    assert source.shape == (3, 24, 32) and source.dtype == np.uint8
    found = whole(source.frames())
    assert list(found) == ["frame_000001", "frame_000002", "frame_000003"]
    for made, wanted in zip(found.values(), frames, strict=True):
        np.testing.assert_array_equal(made, wanted.transpose(2, 0, 1))
    grey = whole(open_frames(path, 1).frames())["frame_000001"]
    np.testing.assert_allclose(grey[0], frames[0] @ [0.299, 0.587, 0.114], atol=2.5)


def test_videos_that_are_refused(tmp_path):
    path = write_video(tmp_path / "one.mkv", [np.zeros((24, 32, 3), np.uint8)])
    with pytest.raises(InputError, match="3 channels, or 1"):
        VideoFrames(path, 6)
    sound = tmp_path / "sound.mkv"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="no video in the file"):
        VideoFrames(sound)
    none = tmp_path / "none.mkv"
    with av.open(str(none), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 24, 32, "bgr0"
        container.start_encoding()
    with pytest.raises(InputError, match="no frames"):
        VideoFrames(none)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"neither this")
    with pytest.raises(InputError, match="can't be read as a video"):
        VideoFrames(broken)


def test_a_video_without_the_library(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").touch()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"narrows\[video\]"):
        open_frames(tmp_path / "a.mp4")


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("rows", [None, 3])
def test_raw_lines(planar, dtype, rows):
    lines = (np.random.default_rng(0).random((6, 2, 1, 5)) * 100).astype(dtype)
    sent = lines if planar else lines.transpose(0, 2, 3, 1)
    source = RawLines(io.BytesIO(np.ascontiguousarray(sent).tobytes()), 5, 2, dtype, rows, planar=planar)
    assert source.shape == (2, rows, 5)
    found = whole(source.frames())
    assert list(found) == (["frame_000001"] if rows is None else ["frame_000001", "frame_000002"])
    np.testing.assert_array_equal(np.concatenate(list(found.values()), 1), np.concatenate(lines, 1))
    assert source.arrived is not None


def test_lines_are_stamped_when_they_come():
    """Of a driver that stops between two lines, the time of the first is before the second was sent."""
    there, here = os.pipe()
    source = RawLines(os.fdopen(there, "rb", 0), 4, 1)
    with os.fdopen(here, "wb", 0) as driver:
        driver.write(bytes(4))
        _, lines = next(source.frames())
        next(lines)
        before = perf_counter()
        driver.write(bytes(4))
        next(lines)
        after = perf_counter()
    assert source.arrived is not None
    assert before <= source.arrived <= after
    assert next(lines, None) is None


@pytest.mark.parametrize(
    ("sent", "rows", "said"),
    [
        (b"", None, "no lines came"),
        (bytes(10), None, r"in the middle of line 3: 2 of its 4 bytes"),
        (bytes(2), None, r"in the middle of line 1: 2 of its 4 bytes"),
        (bytes(20), 3, r"after 2 of 3 lines of image 2"),
    ],
)
def test_streams_that_end_early(sent, rows, said):
    source = RawLines(io.BytesIO(sent), 4, 1, "uint8", rows)
    with pytest.raises(InputError, match=said):
        whole(source.frames())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 1), "at least one"),
        ((4, 0), "at least one"),
        ((4, 1, "uint8", 0), "at least"),
        ((4, 1, "int32"), "not int32"),
    ],
)
def test_raw_sizes_that_are_none(arguments, said):
    with pytest.raises(InputError, match=said):
        RawLines(io.BytesIO(), *arguments)
