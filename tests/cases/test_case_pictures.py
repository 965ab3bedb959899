"""Every mode and depth of image files that Pillow reads: exact pixels, or a refusal that says what to do."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from latentgen.data.custom_sources.image_file import read_picture
from latentgen.errors import LatentgenError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (6, 5, 3), np.uint8)


def saved(path, image, **options):
    image.save(path, **options)
    return read_picture(path)


def png(path, depth, kind, rows, extra=b""):
    """Write a PNG of any depth and colour type, which Pillow itself does not write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = rows.shape[:2]
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    content = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", {}), ("bmp", {}), ("tiff", {}), ("tiff", {"compression": "tiff_lzw"}), ("ppm", {}),
        ("gif", {}), ("tga", {}), ("webp", {"lossless": True}), ("jp2", {}), ("sgi", {}), ("pcx", {}),
        ("qoi", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_8_bits_are_exact_in_every_format_that_keeps_them(tmp_path, suffix, options, array):
    if suffix == "gif" and array.ndim == 3:
        pytest.skip("GIF has 256 colours")
    if suffix == "qoi":
        array = COLOUR
    pixels = saved(tmp_path / f"x.{suffix}", Image.fromarray(array), **options).pixels
    expected = array if pixels.ndim == array.ndim else np.repeat(array[..., None], 3, axis=2)
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_are_scaled_to_255(tmp_path, depth):
    values = np.arange(2**depth, dtype=np.uint8)
    per_byte = 8 // depth
    rows = np.array([[sum(int(v) << (8 - depth * (i + 1)) for i, v in enumerate(values[k : k + per_byte]))
                      for k in range(0, len(values), per_byte)]], np.uint8)  # fmt: skip
    path = png(tmp_path / "x.png", depth, 0, rows)
    content = bytearray(path.read_bytes())
    width = rows.shape[1] * per_byte
    content[16:20] = struct.pack(">I", width)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(bytes(content))
    expected = (values.astype(int) * 255 // (2**depth - 1)).tolist()
    assert read_picture(path).pixels[0, : len(values)].tolist() == expected


def test_palettes_are_the_colours_they_name(tmp_path):
    image = Image.fromarray(COLOUR).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(saved(tmp_path / "x.png", image).pixels, expected)
    assert np.array_equal(saved(tmp_path / "x.gif", image).pixels, expected)


class TestDeep:
    @pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
    def test_16_bit_grey_is_kept_for_the_folder_to_judge(self, tmp_path, suffix):
        deep = RNG.integers(0, 65536, (6, 5)).astype(np.uint16)
        picture = saved(tmp_path / f"x.{suffix}", Image.fromarray(deep))
        assert picture.pixels.dtype == np.uint16
        assert np.array_equal(picture.pixels, deep)

    def test_big_endian_tiff(self, tmp_path):
        deep = RNG.integers(0, 65536, (6, 5)).astype(">u2")
        image = Image.frombytes("I;16B", (5, 6), deep.tobytes())
        assert np.array_equal(saved(tmp_path / "x.tiff", image).pixels, deep.astype(np.uint16))

    @pytest.mark.parametrize(("kind", "channels"), [(2, 3), (6, 4), (4, 2)])
    def test_16_bit_colour_png_is_refused(self, tmp_path, kind, channels):
        """Pillow reads it with 8 bits, and does not say so."""
        rows = np.full((6, 5, channels), 0xFFFF, ">u2")
        with pytest.raises(LatentgenError, match=r"has 16 bits per channel, .*mogrify -depth 8"):
            read_picture(png(tmp_path / "x.png", 16, kind, rows))

    def test_16_bit_colour_ppm_is_refused(self, tmp_path):
        (tmp_path / "x.ppm").write_bytes(b"P6\n5 6\n65535\n" + RNG.bytes(6 * 5 * 6))
        with pytest.raises(LatentgenError, match="has 16 bits per channel"):
            read_picture(tmp_path / "x.ppm")

    def test_16_bit_sgi_is_refused(self, tmp_path):
        header = struct.pack(">hBBHHHHll", 474, 0, 2, 3, 5, 6, 3, 0, 65535)
        (tmp_path / "x.sgi").write_bytes(header.ljust(512, b"\0") + RNG.bytes(2 * 3 * 5 * 6))
        with pytest.raises(LatentgenError, match="has 16 bits per channel"):
            read_picture(tmp_path / "x.sgi")

    def test_deep_jpeg_2000_and_avif_are_refused_by_their_headers(self, tmp_path):
        content = io.BytesIO()
        Image.fromarray(COLOUR).save(content, "JPEG2000", no_jp2=True)
        changed = bytearray(content.getvalue())
        changed[42] = changed[45] = changed[48] = 11  # the depth of each component, less 1
        (tmp_path / "x.j2k").write_bytes(bytes(changed))
        with pytest.raises(LatentgenError, match="has 12 bits per channel"):
            read_picture(tmp_path / "x.j2k")
        Image.fromarray(COLOUR).save(tmp_path / "x.avif")
        changed = bytearray((tmp_path / "x.avif").read_bytes())
        changed[changed.index(b"av1C") + 6] |= 0x40
        (tmp_path / "x.avif").write_bytes(bytes(changed))
        with pytest.raises(LatentgenError, match=r"has 10 bits per channel|cannot be read"):
            read_picture(tmp_path / "x.avif")

    @pytest.mark.parametrize(
        ("array", "said"),
        [
            (np.full((6, 5), 0.5, np.float32), "floating-point numbers from 0.5 to 0.5"),
            (np.full((6, 5), 70_000, np.int32), "whole numbers from 70000 to 70000"),
            (np.full((6, 5), -3, np.int32), "whole numbers from -3 to -3"),
        ],
    )
    def test_numbers_that_are_no_bytes_are_refused(self, tmp_path, array, said):
        with pytest.raises(LatentgenError, match=said):
            saved(tmp_path / "x.tiff", Image.fromarray(array))


class TestTransparency:
    def rgba(self, alpha):
        return Image.fromarray(np.dstack([COLOUR, np.full(GREY.shape, alpha, np.uint8)]))

    @pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
    def test_an_opaque_alpha_channel_is_dropped_and_noted(self, tmp_path, suffix):
        options = {"lossless": True} if suffix == "webp" else {}
        picture = saved(tmp_path / f"x.{suffix}", self.rgba(255), **options)
        assert np.array_equal(picture.pixels, COLOUR)
        assert ("alpha channel" in "".join(picture.remarks)) is (
            suffix != "webp"
        )  # WebP leaves it out itself

    @pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
    def test_transparent_pixels_are_refused_with_the_way_out(self, tmp_path, suffix):
        with pytest.raises(LatentgenError, match=r"has 30 transparent pixels.*alpha_composite"):
            saved(tmp_path / f"x.{suffix}", self.rgba(254))

    def test_grey_with_alpha(self, tmp_path):
        opaque = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (5, 6), 255)])
        assert np.array_equal(saved(tmp_path / "x.png", opaque).pixels, GREY)

    @pytest.mark.parametrize("mode", ["L", "P", "RGB"])
    def test_a_transparent_colour_is_refused_where_it_is_used(self, tmp_path, mode):
        image = Image.fromarray(COLOUR).convert(mode)
        first = image.getpixel((0, 0))
        with pytest.raises(LatentgenError, match="transparent pixels"):
            saved(tmp_path / "x.png", image, transparency=first)


class TestSeveralPictures:
    @pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
    def test_animations_and_pages_are_refused(self, tmp_path, suffix):
        images = [Image.fromarray(np.roll(COLOUR, step, 0)) for step in range(3)]
        with pytest.raises(LatentgenError, match="holds 3 frames or pages, but a file must hold one image"):
            saved(tmp_path / f"x.{suffix}", images[0], save_all=True, append_images=images[1:])

    def test_of_an_mpo_the_first_is_taken_and_noted(self, tmp_path):
        images = [Image.fromarray(np.roll(COLOUR, step, 0)) for step in range(2)]
        picture = saved(tmp_path / "x.mpo", images[0], format="MPO", save_all=True, append_images=images[1:])
        images[0].save(tmp_path / "x.jpg")
        assert np.array_equal(picture.pixels, np.asarray(Image.open(tmp_path / "x.jpg")))
        assert "MPO" in "".join(picture.remarks)


def test_other_colours_are_refused(tmp_path):
    with pytest.raises(LatentgenError, match=r"the colour mode LAB.*Save the image as RGB"):
        saved(tmp_path / "x.tiff", Image.new("LAB", (5, 6)))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_image_is_named_and_another_file_is_none(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(LatentgenError, match=r"x\.png cannot be read as an image"):
        read_picture(tmp_path / "x.png")
    (tmp_path / "x.txt").write_bytes(b"no image")
    assert read_picture(tmp_path / "x.txt") is None


def test_no_program_is_called_for_an_image(tmp_path):
    """Pillow hands PostScript to Ghostscript; here it is no image."""
    (tmp_path / "x.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 6\nshowpage\n")
    assert read_picture(tmp_path / "x.eps") is None
