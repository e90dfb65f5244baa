"""A tired person's mistakes get one clear sentence, an exit code that is not 0, and lose nothing."""

import os
import subprocess
import sys

import pytest

CASES = [
    (["discover", "Li-Xy", "--out", "run"], 2, "Unknown element 'Xy'"),
    (["discover", "li-sn-s-cl", "--out", "run"], 2, "Did you mean 'Li'"),
    (["discover", "LiFePo4", "--out", "run"], 2, "Did you mean PO4"),
    (["discover", "Mg-Ti-O", "--out", "run", "--budgte", "3"], 2, "--budget"),
    (["discover", "Mg-Ti-O", "--out", "run", "--generators", "prototype"], 2, "Did you mean 'prototypes'"),
    (["discover", "Mg-Ti-O", "--out", "run", "--hull", "tables"], 2, "Did you mean 'table'"),
    (["discover", "Mg-Ti-O", "--out", "run", "--spacegroup", "231"], 2, "1 to 230"),
    (["discover", "Mg-Ti-O", "--out", "run", "--deny", "Mg,Ti,O"], 2, "leaves nothing"),
    (["discover", "Mg-Ti-O", "--out", "run", "--workers", "-1"], 2, "--workers"),
    (["discover", "Mg-Ti-O", "--out", "run", "--hide", "absent.txt"], 4, "absent.txt"),
    (["discover", "Mg-Ti-O", "--out", "file.txt"], 4, "file.txt"),
    (["discover", "Mg2TiO4", "--out", "run", "--spacegroup", "225", "--max-atoms", "7"], 3, "space group 225"),
    (["discover", "Rn-O", "--out", "run"], 2, "no reference energy of Rn"),
    (["evaluate", "nowhere"], 4, "nowhere"),
    (["relax", "nowhere", "--out", "run"], 4, "nowhere"),
    (["dft", "nowhere"], 4, "nowhere does not exist"),
    (["sample", "--recipe", "cort", "--out", "run"], 2, "Did you mean 'court'"),
    (["report", "empty"], 2, "plan.toml is missing"),
    (["cite", "empty"], 2, "plan.toml is missing"),
    (["rediscover", "--draw", "0"], 2, "targets were asked for"),
    (["discovr", "Mg-Ti-O"], 2, "discovr"),
    (["discover", "Mg-Ti-O"], 2, "discover --help"),
]


def novalith(arguments, folder, **options):
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "novalith", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.parametrize(("arguments", "code", "says"), CASES, ids=[" ".join(c[0]) for c in CASES])
def test_mistakes(arguments, code, says, tmp_path):
    (tmp_path / "file.txt").write_text("not a folder")
    (tmp_path / "empty").mkdir()
    done = novalith(arguments, tmp_path)
    assert says in done.stderr
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("novalith: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "log").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_no_permission_is_said_before_work_begins(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    done = novalith(["discover", "Na-Cl", "--out", str(locked / "run")], tmp_path)
    assert done.returncode == 4
    assert "locked" in done.stderr


def test_a_disk_that_takes_no_more_stops_cleanly_and_keeps_what_was_written(tmp_path):
    """The limit on the size of a file stands in for a full disk: the system refuses the write in the same way."""
    code = (
        "import resource; from pathlib import Path\n"
        "from novalith.cli import main; from novalith.store.log import AppendLog\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))\n"
        "def verb():\n"
        "    with AppendLog(Path('results.log')) as log:\n"
        "        for i in range(100): log.append({'i': i})\n"
        "main.build = lambda: lambda standalone_mode: verb()\n"
        "main.run()"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert "results.log" in done.stderr
    assert "bytes were to be written" in done.stderr
    from novalith.store.log import AppendLog

    with AppendLog(tmp_path / "results.log") as log:
        assert [r["i"] for r in log.records] == list(range(len(log.records)))
        assert len(log.records) >= 10


def test_help_names_every_verb(tmp_path):
    done = novalith(["--help"], tmp_path)
    assert done.returncode == 0
    for verb in ("discover", "rediscover", "relax", "hull", "evaluate", "sample", "screen", "report", "cite", "data"):
        assert verb in done.stdout
