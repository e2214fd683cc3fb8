"""A streamed table has the rows and the faults of one that is read at once."""

import pytest

from common.csv_files import read_rows
from common.csv_stream import stream_rows
from common.errors import InputError

GOOD = {
    "plain": b"a,b\n1,2\n3,4\n",
    "byte order mark, Windows line ends, empty lines": b"\xef\xbb\xbfa,b\r\n\r\n1,2\r\n\r\n3,4\r\n\r\n",
    "another order, a further column, spaces in the header": b" c , b,a\nx,2,1\ny,4,3\n",
    "quotes": b'a,b\n"1","2"\n"3","4"',
}

FAULTY = {
    "empty": b"",
    "header alone": b"a,b\n",
    "no column": b"a,c\n1,2\n",
    "a column twice": b"a,b,b\n1,2,3\n",
    "a cell short, far down": b"a,b\n1,2\n3\n",
    "a long cell": b"a,b\n1,2\n3," + b"x" * 5000 + b"\n",
    "NUL": b"a,b\n1,2\n\0,4\n",
    "not UTF-8": b"a,b\n1,2\n\xff,4\n",
    "an open quote": b'a,b\n1,2\n"3,4\n',
}


@pytest.mark.parametrize("kind", GOOD)
def test_rows_come_one_after_another(tmp_path, kind):
    (tmp_path / "t.csv").write_bytes(GOOD[kind])
    assert list(map(tuple, stream_rows(tmp_path / "t.csv", ["a", "b"]))) == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("kind", [*FAULTY, "missing"])
def test_the_faults_are_those_of_the_whole_table(tmp_path, kind):
    path = tmp_path / "t.csv"
    if kind in FAULTY:
        path.write_bytes(FAULTY[kind])
    with pytest.raises(InputError) as whole:
        read_rows(path, ["a", "b"])
    with pytest.raises(InputError) as streamed:
        list(stream_rows(path, ["a", "b"]))
    assert str(streamed.value) == str(whole.value)
