"""Whatever tar files hold, they are a data set or refused in words; nothing crashes or hangs."""

import gzip
import io
import shutil
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_custom_tars import examples, pixels, write_tar
from test_fuzz import IMAGE_FILES

from fuzzing import LONGEST_SECONDS, damaged, fuzz, or_refused, seconds_at_most
from latentgen.data.custom import check

KEYS = st.sampled_from(
    ["0", "1", "00017", "cat/0", "../0", ".x", "", "a b", "caf\u00e9", "\udcff", "#1", "{x}"]
)
LABELS = [
    b"",
    b"0",
    b"1",
    b"cat\n",
    b"-1",
    b"1e3",
    b"9" * 30,
    b"\xff",
    b"\xef\xbb\xbf1",
    b"caf\xc3\xa9",
    b"NA",
]
JSONS = [
    b"{}",
    b'{"label": 1}',
    b'{"cls": "dog"}',
    b'{"class": null}',
    b'{"label": [1]}',
    b"[1]",
    b"1e400",
    b"{" * 99,
]
MEMBERS = st.one_of(
    st.sampled_from(sorted(IMAGE_FILES.items())),
    st.tuples(st.just("cls"), st.sampled_from(LABELS)),
    st.tuples(st.just("json"), st.sampled_from(JSONS)),
    st.sampled_from([("txt", b"a cat"), ("CLS", b"1"), ("a.png", IMAGE_FILES["png"]), ("", b"1")]),
)
TYPES = st.sampled_from(
    [tarfile.REGTYPE] * 9 + [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.LNKTYPE]
)
NAMES = st.sampled_from(
    ["train-0.tar", "test-0.tar", "val.tar.gz", "x.tgz", "train/0.tar", "test/0.tar", "a.TAR"]
)


def tar_file(members):
    """Return a tar file with members of any name, type and content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", errors="surrogateescape") as archive:
        for key, (ending, content), kind in members:
            entry = tarfile.TarInfo(f"{key}.{ending}")
            entry.type, entry.linkname = kind, "0.png"
            entry.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(content) if entry.size else None)
    return file.getvalue()


def whole_examples(labels):
    """Return members of complete examples, as `test_any_members` draws them, with some labels."""
    return [
        (f"{number}", (ending, content), tarfile.REGTYPE)
        for number, label in enumerate(labels)
        for ending, content in (("png", IMAGE_FILES["png"]), ("cls", label))
    ]


EXAMPLES = st.lists(st.sampled_from(LABELS), max_size=3).map(lambda labels: whole_examples(5 * labels))


@fuzz
@given(
    st.dictionaries(
        NAMES,
        st.tuples(EXAMPLES, st.lists(st.tuples(KEYS, MEMBERS, TYPES), max_size=6)),
        min_size=1,
        max_size=3,
    )
)
@pytest.mark.filterwarnings("ignore")
def test_any_members_are_a_data_set_or_refused(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("tars")
    for name, (whole, others) in files.items():
        content = tar_file([*whole, *others])
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert "own:" in check(str(root))
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def tars(tmp_path_factory):
    """Return the content of tar files of 15 images in 3 classes, by suffix."""
    folder = tmp_path_factory.mktemp("sound")
    members = list(examples([pixels() for _ in range(15)], [0, 1, 2] * 5))
    return {
        suffix: write_tar(folder / f"mine{suffix}", members, mode).read_bytes()
        for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"))
    }


def test_the_tar_files_are_sound(tars, tmp_path):
    for suffix, content in tars.items():
        (tmp_path / f"mine{suffix}").write_bytes(content)
        assert "classes: 3" in check(str(tmp_path / f"mine{suffix}"))


@fuzz
@given(st.data())
@pytest.mark.filterwarnings("ignore")
def test_any_tar_file_is_a_data_set_or_refused(tars, tmp_path_factory, data):
    suffix = data.draw(st.sampled_from(sorted(tars)))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(damaged(data.draw, tars[suffix]))
    with or_refused(), seconds_at_most(LONGEST_SECONDS):
        assert "own:" in check(str(path))
