"""Kill a running campaign again and again, and compare its table with that of an undisturbed run.

    python benchmarks/kill_campaign.py [--system Mg-Ti-O] [--budget 40] [--kills 20] [--seed 1]

Each kill is a SIGKILL of the driving process at a random moment, most of them after the first finished
relaxation; the same command is then given again. Printed: when each kill struck and how many results were on the disk;
whether every result ever seen on the disk is still there and none is there twice; whether the tables are equal.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from novalith.store.log import read_log


def command(args, out):
    return [
        *(sys.executable, "-m", "novalith", "discover", args.system, "--budget", str(args.budget)),
        *("--seed", str(args.seed), "--workers", str(args.workers), "--out", str(out)),
    ]


def finished(out):
    return [record["id"] for record in read_log(out / "log" / "results.log")[0]]


def kill_once(args, out, wait_for_result, rng):
    """Start the campaign, kill it at a random moment; returns seconds until the kill, or None where it ended first."""
    before = len(finished(out))
    start = time.monotonic()
    process = subprocess.Popen(command(args, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    while wait_for_result and process.poll() is None and len(finished(out)) <= before:
        time.sleep(0.05)
    moment = time.monotonic() + rng.uniform(0.0, 3.0 if wait_for_result else 8.0)
    while process.poll() is None and time.monotonic() < moment:
        time.sleep(0.01)
    if process.poll() is not None:
        return None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--system", default="Mg-Ti-O")
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as scratch:
        calm, rough = Path(scratch) / "calm", Path(scratch) / "rough"
        subprocess.run(command(args, calm), check=True, capture_output=True)  # noqa: S603
        print(f"undisturbed: {len(finished(calm))} relaxations")
        seen, after_first, struck = set(), 0, 0
        early = args.kills // 5
        while struck < args.kills:
            seconds = kill_once(args, rough, wait_for_result=struck >= early, rng=rng)
            if seconds is None:
                print("the campaign finished before the kill; raise --budget")
                break
            struck += 1
            ids = finished(rough)
            lost, twice = seen - set(ids), len(ids) - len(set(ids))
            seen |= set(ids)
            after_first += bool(ids)
            print(f"kill {struck:2d} after {seconds:5.1f} s: {len(ids):3d} on disk, {len(lost)} lost, {twice} twice")
        subprocess.run(command(args, rough), check=True, capture_output=True)  # noqa: S603
        ids = finished(rough)
        same = (calm / "candidates.csv").read_bytes() == (rough / "candidates.csv").read_bytes()
        print(f"kills: {struck}, of them after the first relaxation: {after_first}")
        print(f"lost: {len(seen - set(ids))}, done twice: {len(ids) - len(set(ids))}, total: {len(ids)}")
        print(f"candidates.csv equal to the undisturbed run: {same}")
        return 0 if same and struck == args.kills and len(ids) == len(set(ids)) else 1


if __name__ == "__main__":
    sys.exit(main())
