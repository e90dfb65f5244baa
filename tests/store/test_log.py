"""The log keeps every acknowledged record through any crash, and says when it was damaged."""

import pytest

from novalith.errors import CorruptDataError
from novalith.store.log import AppendLog, read_log


def fill(path, n):
    with AppendLog(path) as log:
        for i in range(n):
            log.append({"i": i, "text": "Å and \n new lines"})


def test_a_torn_tail_of_any_length_costs_only_the_last_record(tmp_path):
    whole = tmp_path / "whole.log"
    fill(whole, 3)
    data = whole.read_bytes()
    start_of_last = data[:-1].rfind(b"\n") + 1
    for cut in range(start_of_last, len(data)):
        torn = tmp_path / "torn.log"
        torn.write_bytes(data[:cut])
        with AppendLog(torn) as log:
            assert [r["i"] for r in log.records] == [0, 1]
            log.append({"i": 9})
        assert [r["i"] for r in read_log(torn)[0]] == [0, 1, 9]


def test_damage_before_the_tail_is_an_error_that_names_the_line(tmp_path):
    path = tmp_path / "a.log"
    fill(path, 3)
    path.write_bytes(path.read_bytes().replace(b'"i":1', b'"i":7'))
    with pytest.raises(CorruptDataError, match="line 2"):
        AppendLog(path)


def test_numbers_come_back_with_all_their_digits(tmp_path):
    path = tmp_path / "a.log"
    x = 0.1 + 0.2
    with AppendLog(path) as log:
        log.append({"x": x})
    assert read_log(path)[0][0]["x"] == x
    with AppendLog(path) as log, pytest.raises(ValueError, match="JSON"):
        log.append({"x": float("nan")})
