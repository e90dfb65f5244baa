"""Every line that the tutorial and the README show is run, in order, in an empty folder."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(arguments, folder):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def test_the_tutorial_runs(tmp_path):
    blocks = BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))
    assert len(blocks) >= 6
    for language, text in blocks:
        if language == "python":
            run([sys.executable, "-W", "error", "-c", text], tmp_path)
            continue
        for line in text.strip().splitlines():
            program, *arguments = shlex.split(line)
            assert program == "novalith"
            run([sys.executable, "-m", "novalith", *arguments], tmp_path)
    assert (tmp_path / "salt" / "report.html").stat().st_size > 10_000
    assert list((tmp_path / "salt" / "structures").glob("*.cif"))


def test_the_fifteen_lines_of_the_readme_run_as_a_script(tmp_path):
    blocks = dict(BLOCK.findall((TUTORIAL.parents[1] / "README.md").read_text(encoding="utf-8")))
    (tmp_path / "script.py").write_text(blocks["python"], encoding="utf-8")
    printed = run([sys.executable, "script.py"], tmp_path)
    assert "nearest known:" in printed
    assert "doubt:" in printed
