"""The bench on voxel images knows its parts and runs those that were named."""

import sys
from types import SimpleNamespace

import pytest

from novalith.errors import UnknownNameError
from novalith.recipes.bench_tables import table_of_records
from novalith.recipes.voxel_bench import VoxelBench
from novalith.recipes.voxel_suite import PARTS, part_modules, run_voxels


def test_parts_run_in_their_order_and_unknown_ones_are_refused(tmp_path, monkeypatch):
    def tables_of(part):
        def tables(_, tell):
            tell(part)
            return [table_of_records(part, [{"a": 1}])]

        return tables

    for part, module in PARTS.items():
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(tables=tables_of(part)))
    heard = []
    bench = VoxelBench(None, tmp_path / "keep")
    tables = run_voxels(bench, ["latent", "court"], heard.append)
    assert heard == [table.title for table in tables] == ["court", "latent"]
    assert len(run_voxels(bench, [], heard.append)) == len(PARTS)
    assert (tmp_path / "keep").is_dir()
    with pytest.raises(UnknownNameError, match="Did you mean 'hoffmann'"):
        part_modules(["hofmann"])
