"""`novalith fields` and `novalith bench fields` as people type them."""

import json
import subprocess
import sys

import pytest


def run(*words, cwd=None):
    return subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-m", "novalith", *words], capture_output=True, text=True, cwd=cwd, check=False, timeout=300
    )


def test_rank_writes_csv_within_the_limits(tmp_path):
    done = run(
        "fields",
        "rank",
        "--require",
        "Li",
        "--anions",
        "2",
        "--deny",
        "P,Hf",
        "--top",
        "5",
        "--csv",
        "o.csv",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "o.csv").read_text().splitlines()
    assert lines[0].startswith("field,score,probability,uncertainty,nearest_reported")
    assert len(lines) == 6
    assert not any({"P", "Hf"} & set(line.split(",")[0].split("-")) for line in lines[1:])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rank", "--require", "Li", "--deny", "Li"], 2, "both required and denied"),
        (["rank", "--require", "Xq"], 2, "Unknown element 'Xq'"),
        (["rank", "--arity", "9"], 2, "2 to 5"),
        (["rank", "--allow", "Pb As Cd Hg", "--no-toxic"], 3, "--no-toxic"),
        (["why", "Li-D-O"], 2, "deuterium"),
        (["score", "absent.txt"], 4, "absent.txt"),
    ],
)
def test_bad_input_is_one_sentence_and_a_code(words, code, said, tmp_path):
    done = run("fields", *words, cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_score_trains_on_any_lists(tmp_path):
    from novalith.data.reported_fields import reported_fields

    known = [f for f in reported_fields() if len(f) == 2]
    (tmp_path / "old.txt").write_text("\n".join(" ".join(f.elements) for f in known[:300]))
    (tmp_path / "asked.txt").write_text("Zn S\nLi Ne\n")
    words = ("fields", "score", "asked.txt", "--train-on", "old.txt", "--members", "1", "--json", "--csv", "o.csv")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["field"] for row in json.loads(done.stdout)["fields"]] == ["S-Zn", "Li-Ne"]


def test_published_figures_are_printed():
    done = run("bench", "fields", "--published", "--epochs", "0")
    assert done.returncode == 0, done.stderr
    assert "0.7942" in done.stdout
    assert "0.000500" in done.stdout
