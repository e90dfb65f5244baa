"""Files are replaced whole, folders are held by one process, a cache may forget but not lie."""

import subprocess
import sys
from pathlib import Path

import pytest

from novalith.errors import CampaignError, StorageError
from novalith.store.cache import FolderCache, cache_key
from novalith.store.files import folder_lock, make_folder, write_atomic


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "plan.toml"
    write_atomic(path, "old")
    with pytest.raises(StorageError, match="File name too long"):
        write_atomic(tmp_path / ("x" * 300), "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.toml"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("I am a file")
    with pytest.raises(StorageError, match="out"):
        make_folder(tmp_path / "out")


def test_full_disk_is_one_sentence_with_the_bytes_needed():
    with pytest.raises(StorageError, match="Check the path, its permissions and the free space"):
        write_atomic(Path("/proc/full"), "x")


def test_the_lock_excludes_another_process_and_dies_with_its_own(tmp_path):
    code = (
        "import sys, pathlib; from novalith.store.files import folder_lock\n"
        "with folder_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CampaignError, match="in use"), folder_lock(tmp_path):
            pass
        holder.kill()
    with folder_lock(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_cache_answers_what_was_stored_and_forgets_what_was_damaged(tmp_path):
    cache = FolderCache(tmp_path / "cache")
    key = cache_key(crystal="abc", potential="chgnet", max_force=0.05)
    assert key != cache_key(crystal="abc", potential="chgnet", max_force=0.06)
    assert key not in cache
    cache[key] = {"energy": -1.5}
    assert FolderCache(tmp_path / "cache")[key] == {"energy": -1.5}
    file = next((tmp_path / "cache").glob("*.json"))
    file.write_text(file.read_text().replace("-1.5", "-9.5"))
    assert key not in cache
