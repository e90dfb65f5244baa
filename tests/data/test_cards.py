"""Cards tell the truth about the files they describe, and a damaged file is found and named."""

import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from novalith.cli.data import app
from novalith.data.cards import load_cards, load_software
from novalith.data.library import BUNDLE, Library
from novalith.data.verify import verify
from novalith.errors import CorruptDataError

ENTRY = re.compile(r"^@\w+\{(\S+),$", re.MULTILINE)
#: What may travel with the package, bytes.
LIMIT = 6_000_000


def test_every_file_of_the_bundle_is_as_its_card_says():
    checks = verify()
    assert [check.reason for check in checks if not check.passed] == []
    assert {path.name for path in BUNDLE.iterdir()} <= {check.file for check in checks}


def test_the_bundle_is_small():
    assert sum(path.stat().st_size for path in BUNDLE.iterdir()) < LIMIT


def test_rows_on_the_cards():
    library, rows = Library(), {card.key: card.rows for card in load_cards()}
    assert rows["hull"] == len(library.hull_energies)
    assert rows["oqmd"] == len(library.oqmd)
    assert rows["reported"] == len(library.reported)
    assert rows["structures"] == len(library.structures)
    assert rows["wyckoff_prior"] == len(library.wyckoff_prior)


def test_columns_on_the_cards():
    import pyarrow.parquet as pq

    for card in load_cards():
        if card.file.endswith(".parquet"):
            assert set(card.units) == set(pq.read_schema(card.path).names), card.key


def test_every_card_can_be_cited():
    keys = [key for card in (*load_cards(), *load_software()) for key in ENTRY.findall(card.bibtex)]
    assert {"jain2013commentary", "kirklin2015oqmd", "deng2023chgnet", "ong2013pymatgen", "togo2024spglib"} <= set(keys)
    assert all(ENTRY.search(card.bibtex) for card in (*load_cards(), *load_software()))


def test_the_same_work_is_the_same_entry_on_every_card():
    entries = {}
    for card in (*load_cards(), *load_software()):
        for entry in re.split(r"^(?=@)", card.bibtex, flags=re.MULTILINE):
            if entry.strip():
                key = ENTRY.findall(entry)[0]
                doi = re.search(r"doi\s*=\s*\{(.+?)\}", entry)
                assert entries.setdefault(doi.group(1) if doi else key, (key, entry.strip())) == (key, entry.strip())


def test_creative_commons_tables_are_attributed():
    for card in load_cards():
        if "CC BY" in card.licence:
            assert "Materials Project" in card.attribution or "Open Quantum Materials Database" in card.attribution


@pytest.fixture
def copied_bundle(tmp_path, monkeypatch):
    """A bundle that may be damaged."""
    copy = tmp_path / "data" / "bundle"
    shutil.copytree(BUNDLE, copy)
    for module in ("cards", "verify"):
        monkeypatch.setattr(f"novalith.data.{module}.BUNDLE", copy)
    return copy


def test_one_changed_byte_is_found(copied_bundle):
    content = bytearray((copied_bundle / "hull.parquet").read_bytes())
    content[1000] ^= 1
    (copied_bundle / "hull.parquet").write_bytes(content)
    (copied_bundle / "oqmd.parquet").unlink()
    (copied_bundle / "stray.txt").touch()
    failed = {check.file: check.reason for check in verify() if not check.passed}
    assert {"hull.parquet", "oqmd.parquet", "stray.txt"} <= set(failed)
    assert {"structures.parquet", "reported.txt"}.isdisjoint(failed)
    assert "its card says" in failed["hull.parquet"]

    outcome = CliRunner().invoke(app, ["verify", "--json"])
    assert isinstance(outcome.exception, CorruptDataError)
    assert outcome.exception.exit_code == 4
    assert "hull.parquet" in str(outcome.exception)
    checks = {check["file"]: check["passed"] for check in json.loads(outcome.stdout)["checks"]}
    assert checks["hull.parquet"] is False
    assert checks["reported.txt"] is True


def test_a_card_with_a_missing_field_is_named(tmp_path, monkeypatch):
    (tmp_path / "odd.toml").write_text('key = "odd"\n', encoding="utf-8")
    monkeypatch.setattr("novalith.data.cards.CARDS", tmp_path)
    with pytest.raises(CorruptDataError, match=r"odd\.toml.*sha256"):
        load_cards()


def test_the_verb_lists_and_verifies():
    text = CliRunner().invoke(app, [])
    assert text.exit_code == 0
    assert "95,118" in text.stdout
    assert "CC BY 4.0" in text.stdout
    listed = json.loads(CliRunner().invoke(app, ["--json"]).stdout)["tables"]
    assert {table["key"] for table in listed} == {card.key for card in load_cards()}
    assert all(table["size_bytes"] > 0 and len(table["sha256"]) == 64 for table in listed)
    assert CliRunner().invoke(app, ["verify"]).exit_code == 0
