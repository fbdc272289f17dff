"""`narrows stream-camera`, through real pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time

import av
import numpy as np
import pytest
import rasterio
import torch

from narrows.cli.model_argument import read_model

WIDTH = 12


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn
            from narrows.layers.fir_iir import SeparableFIRIIR

            def grey():
                torch.manual_seed(0)
                return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), SeparableFIRIIR(3, 1, delay=1))

            def colour():
                torch.manual_seed(0)
                return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))

            def same():
                model = nn.Conv2d(1, 1, 1, bias=False)
                model.weight.data[:] = 1
                return model

            def pooled():
                return nn.Sequential(nn.Conv2d(1, 1, 1), nn.InstanceNorm2d(1))
            """
        )
    )
    return str(path)


def command(*arguments):
    return [sys.executable, "-m", "narrows", "stream-camera", *(str(argument) for argument in arguments)]


def piped(*arguments, sent=b""):
    return subprocess.run(command(*arguments), input=sent, capture_output=True, check=False, timeout=120)


def full_frame(model, image):
    with torch.no_grad():
        return read_model(model)(torch.from_numpy(image)[None])[0].numpy()


def drawn(channels, height, dtype="float32"):
    scale = 1 if dtype == "float32" else np.iinfo(dtype).max
    return (np.random.default_rng(0).random((channels, height, WIDTH)) * scale).astype(dtype)


def write_png(path, pixels):
    count, height, width = pixels.shape
    with rasterio.open(path, "w", driver="PNG", count=count, height=height, width=width, dtype=pixels.dtype) as out:
        out.write(pixels)


def test_an_endless_image_from_pipe_to_pipe(nets):
    image = drawn(1, 301, "uint16")
    done = piped(f"{nets}:grey", "-", "--width", WIDTH, "--dtype", "uint16", "-o", "-", "--json", sent=image.tobytes())
    assert done.returncode == 0, done.stderr.decode()
    made = np.frombuffer(done.stdout, np.float32).reshape(301, WIDTH)
    wanted = full_frame(f"{nets}:grey", image.astype(np.float32))[0]
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    told = json.loads(done.stderr)
    assert (told["frames"], told["lines_in"], told["lines_out"], told["delay_lines"]) == (1, 301, 301, 3)
    assert told["delay_ms"]["p50"] >= told["work_ms"]["p50"] > 0
    assert told["between_lines_ms"]["p99"] >= told["between_lines_ms"]["p50"] > 0


def test_lines_leave_while_the_camera_is_still_running(nets):
    """Line r is out once line r + delay is in, before the next is sent."""
    arguments = (f"{nets}:grey", "-", "--width", WIDTH, "--dtype", "float32", "-o", "-", "-q")
    image = drawn(1, 20)
    with subprocess.Popen(command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        made = []
        for row in range(20):
            process.stdin.write(image[:, row].tobytes())
            process.stdin.flush()
            if row >= 2:
                made.append(process.stdout.read(WIDTH * 4))
        process.stdin.close()
        made.append(process.stdout.read())
        assert process.wait(60) == 0
    found = np.frombuffer(b"".join(made), np.float32).reshape(20, WIDTH)
    np.testing.assert_allclose(found, full_frame(f"{nets}:grey", image)[0], rtol=0, atol=1e-5)


def test_images_on_a_pipe_begin_anew_and_go_to_a_folder(tmp_path, nets):
    images = [drawn(1, 10, "uint8"), drawn(1, 10, "uint8")[:, ::-1]]
    sent = b"".join(image.tobytes() for image in images)
    out = tmp_path / "out"
    done = piped(f"{nets}:grey", "-", "--width", WIDTH, "--rows", 10, "-o", out, "--unit", sent=sent)
    assert done.returncode == 0, done.stderr.decode()
    assert sorted(os.listdir(out)) == ["frame_000001.tif", "frame_000002.tif"]
    assert b"2 images, 20 lines in, 20 out" in done.stderr and b"delay" in done.stderr
    for path, image in zip(sorted(out.iterdir()), images, strict=True):
        with rasterio.open(path) as found:
            wanted = full_frame(f"{nets}:grey", image.astype(np.float32) / 255)
            np.testing.assert_allclose(found.read(), wanted, rtol=0, atol=1e-5)


def test_a_folder_of_images_to_png(tmp_path, nets):
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    images = {name: drawn(1, 9, "uint16")[:, :: 1 - 2 * (name == "b")] for name in ("a", "b")}
    for name, image in images.items():
        write_png(given / f"{name}.png", image)
    arguments = (f"{nets}:same", given, "-o", out, "--as", "uint16", "--suffix", ".png", "--json", "--rate", 2_000)
    done = piped(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    for name, image in images.items():
        with rasterio.open(out / f"{name}.png") as found:
            np.testing.assert_array_equal(found.read(), image)
    assert json.loads(done.stdout)["seconds"] >= 17 / 2_000
    again = piped(*arguments)
    assert again.returncode == 2 and b"--overwrite" in again.stderr


def test_an_image_file_to_an_image_file_and_to_raw_lines(tmp_path, nets):
    image = drawn(3, 15, "uint8")
    write_png(tmp_path / "in.png", image)
    wanted = full_frame(f"{nets}:colour", image.astype(np.float32))
    done = piped(f"{nets}:colour", tmp_path / "in.png", "-o", tmp_path / "out.tif", "--strip", 4)
    assert done.returncode == 0, done.stderr.decode()
    with rasterio.open(tmp_path / "out.tif") as found:
        np.testing.assert_allclose(found.read(), wanted, rtol=0, atol=1e-3)
    done = piped(f"{nets}:colour", tmp_path / "in.png", "-o", tmp_path / "out.raw", "--as", "uint8", "-q")
    assert done.returncode == 0 and done.stderr == b""
    found = np.fromfile(tmp_path / "out.raw", np.uint8).reshape(15, WIDTH, 3).transpose(2, 0, 1)
    assert int(np.abs(found.astype(int) - np.rint(wanted.clip(0, 255)).astype(int)).max()) <= 1


def test_a_video(tmp_path, nets):
    frames = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    done = piped(f"{nets}:colour", tmp_path / "v.mkv", "-o", "-", "-q")
    assert done.returncode == 0, done.stderr.decode()
    made = np.frombuffer(done.stdout, np.float32).reshape(2, 16, 16, 3).transpose(0, 3, 1, 2)
    for found, frame in zip(made, frames, strict=True):
        wanted = full_frame(f"{nets}:colour", frame.transpose(2, 0, 1).astype(np.float32))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)


def test_a_consumer_that_leaves(nets):
    arguments = (f"{nets}:same", "-", "--width", WIDTH, "-o", "-", "-q")
    process = subprocess.Popen(
        command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    process.stdin.write(bytes(5 * WIDTH))
    process.stdin.flush()
    assert process.stdout.read(WIDTH) == bytes(WIDTH)
    process.stdout.close()
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        try:
            process.stdin.write(bytes(WIDTH))
            process.stdin.flush()
        except BrokenPipeError:
            break
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 2
    assert said.count("\n") == 1 and "standard output was closed by its reader after" in said


@pytest.mark.parametrize(
    ("arguments", "sent", "said", "stay"),
    [
        (("-o", "-"), 30, "in the middle of line 3: 6 of its 12 bytes", []),
        (("-o", "out.raw"), 30, "in the middle of line 3", []),
        (("--rows", 4, "-o", "out"), WIDTH * 6, "after 2 of 4 lines of image 2", ["out/frame_000001.tif"]),
        (("--rows", 4, "-o", "out.tif"), WIDTH * 8, "more than one image", ["out.tif"]),
        (("-o", "-"), 0, "no lines came", []),
    ],
)
def test_streams_that_fail_on_the_way(tmp_path, nets, arguments, sent, said, stay):
    out = tmp_path / "there"
    out.mkdir()
    given = [out / each if str(each).startswith("out") else each for each in arguments]
    done = piped(f"{nets}:same", "-", "--width", WIDTH, *given, sent=bytes(sent))
    assert done.returncode == 2, done.stderr.decode()
    assert done.stderr.decode().count("\n") == 1 and said in done.stderr.decode()
    # A whole image that was finished before stays; nothing is half-written.
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()) == stay
