from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows.errors import InputError, OutputError
from narrows.imaging.headers import read_header
from narrows.imaging.pictures import Picture, PictureSink


def pixels(channels: int, dtype: str = "uint8", height: int = 37, width: int = 29) -> np.ndarray:
    random = np.random.default_rng(channels)
    top = np.iinfo(dtype).max
    return random.integers(0, top, (height, width, channels), dtype=dtype, endpoint=True).squeeze()


def write(path: Path, array: np.ndarray) -> Path:
    """By another library than the one that reads."""
    if array.dtype == np.uint8:
        Image.fromarray(array).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
    elif path.suffix == ".tif":
        import tifffile

        channels = array.shape[2] if array.ndim == 3 else 1
        colour = "rgb" if channels > 2 else "minisblack"
        more = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
        tifffile.imwrite(path, array, photometric=colour, planarconfig="contig" if channels > 1 else None, **more)
    else:
        _png16(path, array)
    return path


def _png16(path: Path, array: np.ndarray) -> None:
    """A PNG of 16 bits, which Pillow writes for grey alone."""
    array = array[..., None] if array.ndim == 2 else array
    height, width, channels = array.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    _png(path, (width, height, 16, colour, 0, 0, 0), lines)


def _png(path: Path, header: tuple[int, ...], lines: bytes) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    chunks = chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + chunk(b"IDAT", zlib.compress(lines))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b""))


def whole(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with Picture(path) as picture:
        steps = picture.chunks(0, picture.height)
        values = np.concatenate([picture.values(*step) for step in steps], 1)
        alpha = np.concatenate([picture.alpha_rows(*step) for step in steps], 1)[0] if picture.alpha else None
    return values, alpha


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_read_and_written_is_what_was_stored(tmp_path: Path, ending: str, dtype: str, channels: int) -> None:
    stored = pixels(channels, dtype)
    path = write(tmp_path / f"in.{ending}", stored)
    values, alpha = whole(path)
    planes = np.atleast_3d(stored).transpose(2, 0, 1)
    colours = planes[:-1] if channels in (2, 4) else planes
    np.testing.assert_allclose(values, colours / np.float32(np.iinfo(dtype).max), rtol=1e-6)
    if channels in (2, 4):
        np.testing.assert_array_equal(alpha, planes[-1])
    for out in ("out.png", "out.tif"):
        with Picture(path) as picture, Picture(path) as again:
            assert (picture.channels, picture.alpha) == (len(colours), channels in (2, 4))
            with PictureSink(tmp_path / out, picture, len(colours), alpha_of=again) as sink:
                for start in range(0, 37, 5):
                    sink.write(start, values[:, start : start + 5])
        written, kept = whole(tmp_path / out)
        np.testing.assert_array_equal(written, values)
        if alpha is not None:
            np.testing.assert_array_equal(kept, alpha)
    if dtype == "uint8":
        with Image.open(tmp_path / "out.png") as image:
            assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
            np.testing.assert_array_equal(np.asarray(image), stored)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, "out.png", "out.tif"])


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg(tmp_path: Path, options: dict[str, bool]) -> None:
    path = tmp_path / "in.jpg"
    smooth = np.linspace(0, 255, 64 * 48 * 3).reshape(64, 48, 3).astype(np.uint8)
    Image.fromarray(smooth).save(path, quality=95, **options)
    values, alpha = whole(path)
    assert alpha is None
    with Image.open(path) as image:
        np.testing.assert_allclose(values * 255, np.asarray(image).transpose(2, 0, 1), atol=1)
    assert read_header(path).decoded_whole == bool(options)
    with Picture(path) as picture:
        assert picture.decoder_bytes == (64 * 48 * 3 * 2 if options else 0)
        with PictureSink(tmp_path / "out.jpg", picture, 3) as sink:
            assert sink.encoder_bytes == 64 * 48 * 3
            sink.write(0, values)
    with Image.open(tmp_path / "out.jpg") as image:
        assert np.abs(np.asarray(image).astype(int) - smooth).mean() < 3


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    stored = pixels(3)
    image = Image.fromarray(stored).quantize(16)
    image.save(tmp_path / "p.png")
    image.save(tmp_path / "t.png", transparency=bytes(range(0, 256, 16)))
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    values, alpha = whole(tmp_path / "p.png")
    np.testing.assert_array_equal(np.rint(values * 255), expected)
    assert alpha is None
    values, alpha = whole(tmp_path / "t.png")
    np.testing.assert_array_equal(np.rint(values * 255), expected)
    np.testing.assert_array_equal(alpha, np.asarray(image) * 16)


def test_few_bits_are_black_and_white_too(tmp_path: Path) -> None:
    stored = np.arange(37 * 29).reshape(37, 29) % 3 == 0
    Image.fromarray(stored).save(tmp_path / "bits.png")
    Image.fromarray(stored).save(tmp_path / "bits.tif")
    for name in ("bits.png", "bits.tif"):
        np.testing.assert_array_equal(whole(tmp_path / name)[0][0], stored)


def test_an_interlaced_image_is_counted_whole(tmp_path: Path) -> None:
    # Adam7 of one pixel: the passes after the first are empty.
    _png(tmp_path / "i.png", (1, 1, 8, 0, 0, 0, 1), b"\0\x80")
    assert read_header(tmp_path / "i.png").decoded_whole
    with Picture(tmp_path / "i.png") as picture:
        assert picture.decoder_bytes == 1
        assert float(picture.values(0, 1)[0, 0, 0]) == pytest.approx(128 / 255)


def test_orientation_and_profile(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels(3)).save(tmp_path / "in.jpg", exif=exif, icc_profile=profile)
    Image.fromarray(pixels(3)).save(tmp_path / "in.png", exif=exif, icc_profile=profile)
    Image.fromarray(pixels(3)).save(tmp_path / "in.tif", exif=exif, icc_profile=profile)
    for name in ("in.jpg", "in.png", "in.tif"):
        assert read_header(tmp_path / name).orientation == 6
        for out in ("out.png", "out.jpg", "out.tif"):
            with Picture(tmp_path / name) as picture, PictureSink(tmp_path / out, picture, 3, overwrite=True) as sink:
                sink.write(0, picture.values(0, 37))
            with Image.open(tmp_path / out) as image:
                assert image.info["icc_profile"] == profile
        with (
            Picture(tmp_path / name) as picture,
            PictureSink(tmp_path / "grey.png", picture, 1, overwrite=True) as sink,
        ):
            sink.write(0, picture.values(0, 37)[:1])
        with Image.open(tmp_path / "grey.png") as image:
            assert "icc_profile" not in image.info


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "good.png", pixels(3))
    write(tmp_path / "good.jpg", pixels(3))
    good = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:100])
    (tmp_path / "text.png").write_text("not an image, whatever its name says")
    (tmp_path / "empty.tif").touch()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(pixels(4)).convert("CMYK").save(tmp_path / "cmyk.tif")
    _png(tmp_path / "zero.png", (0, 5, 8, 0, 0, 0, 0), b"")
    rows = bytearray((tmp_path / "good.jpg").read_bytes())
    frame = rows.index(b"\xff\xc0")
    rows[frame + 5 : frame + 7] = b"\0\0"
    (tmp_path / "zero.jpg").write_bytes(rows)
    cases = {
        "zero.png": r"the image is empty \(5 x 0 pixels\)",
        "zero.jpg": r"the image is empty \(0 x 29 pixels\)",
        "none.png": "there is no such file",
        "cut.png": "damaged or cut short",
        "cut.jpg": "damaged or cut short",
        "text.png": "not a PNG, TIFF or JPEG image",
        "empty.tif": "the file is empty",
        "float.tif": "holds float32; images of 8 or 16 bits",
        "cmyk.tif": "its colours are CMYK",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            Picture(tmp_path / name).close()
    with pytest.raises(InputError, match="is a folder"):
        Picture(tmp_path)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.tif"])
def test_what_is_cut_short_is_told_as_it_is_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, pixels(3, height=300, width=200))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged or cut short"):
        whole(path)


def test_what_an_output_cant_hold_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "in.png", pixels(4))
    with Picture(path) as picture:
        for name, words in (("o.jpg", "no alpha"), ("o.bmp", "ending"), ("in.png", "--overwrite")):
            with pytest.raises(OutputError, match=words):
                PictureSink(tmp_path / name, picture, 3, alpha_of=picture)
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_a_georeference_stays(tmp_path: Path) -> None:
    import rasterio
    from affine import Affine

    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500000, 0, -10, 6000000)}
    with rasterio.open(
        tmp_path / "in.tif", "w", driver="GTiff", width=29, height=37, count=1, dtype="uint16", **place
    ) as file:
        file.write(pixels(1, "uint16")[None])
    with Picture(tmp_path / "in.tif") as picture, PictureSink(tmp_path / "out.tif", picture, 1) as sink:
        sink.write(0, picture.values(0, 37))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.crs == place["crs"]
        assert file.transform == place["transform"]
