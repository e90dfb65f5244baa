"""Every row of a training table is kept or set aside with its line and the reason."""

import numpy as np
import pandas as pd
import pytest

from novalith.data.training_table import read_training_table
from novalith.errors import EmptyResultError, InputError, StorageError, UnknownNameError

GOOD = "".join(f"Na{i}Cl,{-i / 10}\n" for i in range(1, 13))


def write(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_are_kept_or_set_aside_with_their_line(tmp_path):
    path = write(tmp_path, "formula,delta_e\n" + GOOD + "KCl,abc\n,1\nNaN,\nLiF,inf\nFe2O3,-99\nNaN,-0.5\n")
    table = read_training_table(path, targets=["formation_energy"], within={"formation_energy": (-5, 5)})
    assert table.formulas == (*(f"Na{i}Cl" for i in range(1, 13)), "NaN")
    assert table.lines == (*range(2, 14), 19)
    assert table.targets["formation_energy"][:2].tolist() == [-0.1, -0.2]
    assert sorted(table.set_aside) == [14, 15, 16, 17, 18]
    assert "no number" in table.set_aside[14]
    assert "empty" in table.set_aside[15]
    assert "infinite" in table.set_aside[17]
    assert "outside -5 to 5" in table.set_aside[18]


def test_a_missing_number_is_nan_where_another_is_there(tmp_path):
    frame = pd.DataFrame({"formula": ["LiF"] * 12, "delta_e": [1.0] * 12, "bandgap": [np.nan, *[2.0] * 11]})
    frame.to_parquet(tmp_path / "table.parquet")
    table = read_training_table(tmp_path / "table.parquet", targets=["formation_energy", "band_gap"])
    assert len(table) == 12
    assert np.isnan(table.targets["band_gap"]).tolist() == [True, *[False] * 11]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("formula,delta_e\n", EmptyResultError, "no rows"),
        ("formula,delta_e\nNaCl,1\n", InputError, "at least 10"),
        ("formel,delta_e\n" + GOOD, UnknownNameError, "formula"),
        ("formula,energie\n" + GOOD, UnknownNameError, "delta_e"),
        ("", InputError, "table"),
    ],
)
def test_bad_tables_are_refused_with_what_was_expected(tmp_path, text, error, words):
    with pytest.raises(error, match=words):
        read_training_table(write(tmp_path, text), targets=["formation_energy"])


def test_a_missing_file_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        read_training_table(tmp_path / "nowhere.parquet")
