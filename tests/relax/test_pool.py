from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from novalith.errors import InputError, UnknownNameError
from novalith.materials import Crystal
from novalith.relax.base import Ending, Potential
from novalith.relax.pool import WORKER_ENVIRONMENT, RelaxationPool
from novalith.relax.relaxer import RelaxSettings

from .conftest import perovskite, rattled, rock_salt

SETTINGS = RelaxSettings()
LONG = RelaxSettings(max_force_ev_per_a=1e-9, max_steps=100_000)


def tasks(n: int) -> list[tuple[str, Crystal]]:
    bases = (rock_salt("Mg", "O", 4.2), perovskite(), rock_salt("Na", "Cl", 5.6))
    return [(f"crystal {i}", rattled(bases[i % 3], i)) for i in range(n)]


def test_numbers_do_not_depend_on_workers_or_order() -> None:
    with RelaxationPool("chgnet", SETTINGS, 1) as pool:
        one = dict(pool.run(tasks(10)))
    with RelaxationPool("chgnet", SETTINGS, 2) as pool:
        two = dict(pool.run(reversed(tasks(10))))
    assert sorted(one) == sorted(two) == sorted(name for name, _ in tasks(10))
    assert one == two  # every float of every crystal, bit for bit
    assert all(r.converged for r in one.values())


def test_a_killed_worker_is_replaced_and_its_crystal_is_not_lost() -> None:
    def watched(pool: RelaxationPool) -> Iterator[tuple[str, Crystal]]:
        for i, task in enumerate(tasks(6)):
            if i == 3:
                os.kill(pool.worker_pids[0], signal.SIGKILL)
            yield task

    with RelaxationPool("chgnet", SETTINGS, 1) as pool:
        before = pool.worker_pids
        found = list(pool.run(watched(pool)))
        assert pool.worker_pids != before
    assert sorted(name for name, _ in found) == [name for name, _ in tasks(6)]
    assert all(r.converged for _, r in found)


def test_a_crystal_that_kills_two_workers_is_given_up_and_the_next_one_is_relaxed() -> None:
    class Deadly(tuple):
        """A crystal's lattice that ends the process in which it is unpacked."""

        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return os._exit, (1,)

    good = rock_salt("Mg", "O", 4.3)
    deadly = Crystal(Deadly(good.lattice), good.species, good.frac_coords)
    with RelaxationPool("chgnet", SETTINGS, 1) as pool:
        found = dict(pool.run([("deadly", deadly), ("good", good)]))
    assert found["deadly"].ending is Ending.FAILED
    assert "died 2 times" in found["deadly"].reason
    assert found["good"].converged


def test_a_crystal_that_takes_too_long_times_out(chgnet: Potential) -> None:
    with RelaxationPool("chgnet", LONG, 1, task_limit_s=4.0) as pool:
        ((name, result),) = pool.run([("slow", rattled(perovskite(), 1))])
    assert (name, result.ending) == ("slow", Ending.TIMED_OUT)
    assert result.reason == "The relaxation took more than 4 s."
    assert result.energy_scale == chgnet.energy_scale


def test_leaving_the_pool_ends_its_processes() -> None:
    with RelaxationPool("chgnet", LONG, 1) as pool:
        pids = pool.worker_pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_interrupted_run_ends_at_once() -> None:
    def endless() -> Iterator[tuple[str, Crystal]]:
        yield "one", rattled(perovskite(), 1)
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), RelaxationPool("chgnet", LONG, 2) as pool:
        list(pool.run(endless()))
    assert time.monotonic() - start < 10


def test_the_environment_of_the_caller_is_put_back() -> None:
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    with RelaxationPool("chgnet", SETTINGS, 1):
        assert {name: os.environ.get(name) for name in WORKER_ENVIRONMENT} == before


def test_no_tasks_give_no_results() -> None:
    with RelaxationPool("chgnet", SETTINGS, 1) as pool:
        assert list(pool.run([])) == []


def test_pools_that_cannot_work_are_refused() -> None:
    with pytest.raises(InputError, match="n_workers is 0"):
        RelaxationPool("chgnet", SETTINGS, 0)
    with pytest.raises(UnknownNameError, match="potential"):
        RelaxationPool("nothing", SETTINGS, 1)
    with pytest.raises(InputError, match="context manager"):
        list(RelaxationPool("chgnet", SETTINGS, 1).run([]))


def test_a_script_without_a_guard_is_not_run_again_by_its_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from novalith.materials import Crystal\n"
        "from novalith.relax.pool import RelaxationPool\n"
        "from novalith.relax.settings import RelaxSettings\n"
        "print('once')\n"
        "salt = Crystal.from_arrays([[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], ['Na', 'Cl'],"
        " [(0, 0, 0), (0.5, 0.5, 0.5)])\n"
        "with RelaxationPool('chgnet', RelaxSettings(), 1) as pool:\n"
        "    print([r.ending.value for _, r in pool.run([('salt', salt)])])\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.split("\n")[:2] == ["once", "['converged']"]
