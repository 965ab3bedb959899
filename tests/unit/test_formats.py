"""File formats: what is whole is read, and any other bytes do nothing but be refused."""

import ast
import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from official_formats import idx, jpeg, python2_pickle
from PIL import Image

from latentgen.data import formats
from latentgen.data.formats import (
    Folder,
    decode_jpeg,
    parse_idx,
    read_gz,
    read_members,
    unpickle_verified,
)
from latentgen.errors import LatentgenError

fuzz = settings(max_examples=300, deadline=None)


class TestGz:
    def test_plain_or_compressed(self, tmp_path):
        (tmp_path / "plain").write_bytes(b"12345")
        (tmp_path / "compressed.gz").write_bytes(gzip.compress(b"12345"))
        assert read_gz(tmp_path / "plain") == read_gz(tmp_path / "compressed.gz") == b"12345"

    @fuzz
    @given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"\x1f\x8b\x08" + rest))
    @example(gzip.compress(b"12345")[:-3])
    @example(gzip.compress(b"12345")[:12])
    @example(gzip.compress(b"12345")[:-8] + b"12345678")
    def test_any_other_bytes_are_refused(self, tmp_path_factory, content):
        path = tmp_path_factory.getbasetemp() / "file.gz"
        path.write_bytes(content)
        try:
            whole = gzip.decompress(content)
        except Exception:
            with pytest.raises(LatentgenError, match=r"cannot be read: .* truncated"):
                read_gz(path)
        else:
            assert read_gz(path) == whole

    def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(formats, "LARGEST_FILE", 1000)
        (tmp_path / "file.gz").write_bytes(gzip.compress(bytes(1001)))
        with pytest.raises(LatentgenError, match="larger than any"):
            read_gz(tmp_path / "file.gz")


class TestIdx:
    @fuzz
    @given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda rest: b"\0\0\x08" + rest))
    @example(b"")
    @example(b"\0\0\x08\x00")
    @example(b"\0\0\x08\x01\0\0\0\x03abc")
    @example(b"\0\0\x08\x03\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff")
    @example(b"\0\0\x08\x04" + b"\xff" * 16)
    @example(b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"1")
    @example(b"\0\0\x0d\x01\0\0\0\1\0\0\0\0")
    def test_any_bytes_are_an_array_or_refused(self, content):
        try:
            array = parse_idx(content, "it")
        except LatentgenError:
            return
        assert idx(array) == content

    @given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    def test_arrays_come_back(self, shape):
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        assert np.array_equal(parse_idx(idx(array), "it"), array)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\x1f\x8b\x08\x00", "it is not an idx file"),
            (b"\0\0\x08\x03\0\0", "within its header"),
            (b"\0\0\x08\x01\0\0\0\x05abc", r"shape \(5,\), but holds 3 bytes"),
        ],
    )
    def test_messages(self, content, message):
        with pytest.raises(LatentgenError, match=message):
            parse_idx(content, "it")


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class TestPickles:
    array = np.arange(24, dtype=np.uint8).reshape(2, 12)
    batch = MappingProxyType({b"data": array, b"labels": [1, 2], b"filenames": [b"a.png", b"b.png"]})

    def test_as_python_2_wrote_them(self):
        pickled = python2_pickle(dict(self.batch))
        # it is a pickle like the official ones
        assert pickle.loads(pickled, encoding="bytes")[b"labels"] == [1, 2]
        read = unpickle_verified({"it": pickled}, {"it": md5(pickled)}, "archive")["it"]
        assert np.array_equal(read["data"], self.array)
        assert read["data"].dtype == np.uint8
        assert read["labels"] == [1, 2]
        assert read["filenames"] == ["a.png", "b.png"]

    @pytest.mark.parametrize(
        "known", [{}, {"it": ""}, {"it": None}, {"it": md5(b"official")}, {"good": md5(b"official")}]
    )
    def test_nothing_with_another_checksum_is_unpickled(self, known, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        content = pickle.dumps({"data": Evil(open, ("evil", "w"))}, protocol=2)
        with pytest.raises(LatentgenError, match="the checksums of it are not those of the official files"):
            unpickle_verified({"it": content}, known, "archive")
        assert not list(tmp_path.iterdir())

    def test_one_wrong_file_keeps_all_others_pickled(self, tmp_path, monkeypatch):
        """A file that was registered by mistake is not run while another one is wrong."""
        monkeypatch.chdir(tmp_path)
        first, second = pickle.dumps(Evil(open, ("evil", "w"))), pickle.dumps({})
        with pytest.raises(LatentgenError, match="the checksums of second"):
            unpickle_verified({"first": first, "second": second}, {"first": md5(first)}, "archive")
        assert not list(tmp_path.iterdir())

    @fuzz
    @given(st.data())
    def test_any_damage_is_refused(self, data):
        official = python2_pickle(dict(self.batch))
        content = bytearray(official)
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        content = bytes(content[: data.draw(st.integers(0, len(content)))])
        if content != official:
            with pytest.raises(LatentgenError, match="the checksums of it"):
                unpickle_verified({"it": content}, {"it": md5(official)}, "archive")


UNPICKLERS = {"cloudpickle", "dill", "joblib", "pickle", "shelve"}


def test_nothing_else_in_the_library_unpickles():
    """No module imports an unpickler but the one that compares checksums first, and none allows pickles."""
    library = Path(formats.__file__).parents[1]
    for path in sorted(library.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                {alias.name for alias in getattr(node, "names", ())}
                if isinstance(node, ast.Import)
                else set()
            )
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            if UNPICKLERS & {name.partition(".")[0] for name in names}:
                assert path == Path(formats.__file__), f"{path} imports {names}"
            if isinstance(node, ast.Call):
                values = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
                assert values.get("allow_pickle", False) is False, path
                assert values.get("weights_only", True) is True, path
                called = ast.unparse(node.func)
                assert called != "torch.load" or "weights_only" in values, path


class TestMembers:
    files = ("one", "two")

    def write(self, path, contents):
        with tarfile.open(path, "w:gz") as archive:
            for name, content in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    def test_of_a_folder(self, tmp_path):
        for name in ("one", "two", "three"):
            (tmp_path / name).write_text(name)
        assert read_members(tmp_path, self.files) == {"one": b"one", "two": b"two"}
        assert read_members(tmp_path, ("four",)) is None
        assert read_members(tmp_path / "nowhere", self.files) is None
        with pytest.raises(LatentgenError, match="lacks four"):
            read_members(tmp_path, ("one", "four"))

    def test_of_an_archive_without_unpacking_it(self, tmp_path):
        path = tmp_path / "archive.tar.gz"
        self.write(path, {"folder/one": b"1", "../../two": b"2", "/three": b"3"})
        assert read_members(path, self.files) == {"one": b"1", "two": b"2"}
        assert [path.name for path in tmp_path.iterdir()] == ["archive.tar.gz"]
        with pytest.raises(LatentgenError, match="lacks four"):
            read_members(path, ("one", "four"))

    def test_links_are_not_followed(self, tmp_path):
        path = tmp_path / "archive.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("one")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(member)
        with pytest.raises(LatentgenError, match="lacks one"):
            read_members(path, ("one",))

    @pytest.mark.parametrize("keep", [0, 5, 50, 150, 2000])
    def test_an_archive_cut_short_is_refused(self, tmp_path, keep):
        path = tmp_path / "archive.tar.gz"
        self.write(path, {"one": np.random.default_rng(0).bytes(5000), "two": bytes(9)})
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(LatentgenError, match="cannot be read"):
            read_members(path, self.files)


class TestFolders:
    def test_on_disk_or_in_an_archive(self, tmp_path):
        (tmp_path / "disk" / "sub").mkdir(parents=True)
        (tmp_path / "disk" / "sub" / "file").write_text("text")
        with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
            archive.writestr("folder/sub/file", "text")
        for place in ("disk", "archive.zip"):
            folder = Folder.find(tmp_path / place, "folder", "sub/file")
            assert folder.read("sub/file") == b"text"
            with pytest.raises(LatentgenError, match="other cannot be read"):
                folder.read("sub/other")
        assert Folder.find(tmp_path, "folder", "sub/file") is None
        assert Folder.find(tmp_path / "nowhere", "folder", "sub/file") is None

    def test_no_archive(self, tmp_path):
        (tmp_path / "archive.zip").write_bytes(b"PK nothing")
        with pytest.raises(LatentgenError, match="cannot be read"):
            Folder.find(tmp_path / "archive.zip", "folder", "file")

    def test_a_damaged_member_is_refused(self, tmp_path):
        path = tmp_path / "archive.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/file", b"0123456789")
        path.write_bytes(path.read_bytes().replace(b"0123456789", b"0123456780"))
        with pytest.raises(LatentgenError, match="Bad CRC"):
            Folder.find(path, "folder", "file").read("file")


class TestJpeg:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)

    def test_colour_and_grey(self):
        colour = decode_jpeg(jpeg(self.pixels), 8, 6, "it")
        assert colour.shape == (3, 8, 6)
        assert np.array_equal(
            colour.transpose(1, 2, 0), np.asarray(Image.open(io.BytesIO(jpeg(self.pixels))))
        )
        grey = decode_jpeg(jpeg(self.pixels[..., 0]), 8, 6, "it")
        assert grey.shape == (3, 8, 6)
        assert (grey == grey[0]).all()

    def test_another_size_is_refused(self):
        with pytest.raises(LatentgenError, match="it has 8 × 6 pixels instead of 6 × 8"):
            decode_jpeg(jpeg(self.pixels), 6, 8, "it")

    def test_another_format_is_refused(self):
        png = io.BytesIO()
        Image.fromarray(self.pixels).save(png, "PNG")
        with pytest.raises(LatentgenError, match="not a JPEG"):
            decode_jpeg(png.getvalue(), 8, 6, "it")

    @fuzz
    @given(st.data())
    def test_any_damage_is_read_or_refused(self, data):
        content = bytearray(jpeg(self.pixels))
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        content = content[: data.draw(st.integers(0, len(content)))]
        with suppress(LatentgenError):
            assert decode_jpeg(bytes(content), 8, 6, "it").shape == (3, 8, 6)
