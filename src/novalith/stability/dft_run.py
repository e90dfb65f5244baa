"""Running a DFT code in a process of its own, and reading back what it left.

Every calculation is a folder and ends in one of these ways, which `status.json` names:

==============  =====================================================================================
done            `result.json` (GPAW) or the output of the code holds an energy
failed          the code ended with an error; its last words are kept
killed          a signal ended it (memory, a queue, a hand)
timed out       it took longer than it may
interrupted     it was running when novalith itself was stopped
running         a process of an earlier call is still at work on it; it is left alone
==============  =====================================================================================

Whatever is not done is run again by the same command: GPAW's relaxations go on from their last step. What is done for
the same inputs is never run again. No DFT code is imported: GPAW is under the GPL and runs under its own interpreter.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from novalith.errors import CapabilityError, CorruptDataError, InputError
from novalith.store.files import write_atomic

STATUS, RESULT = "status.json", "result.json"
#: Last bytes of the output that are kept as a reason.
_TAIL = 400
_INPUTS = {"gpaw": ("job.json",), "espresso": ("pw.in",), "vasp": ("INCAR", "KPOINTS", "POSCAR")}
_OUTPUTS = {"espresso": "pw.out", "vasp": "vasprun.xml"}


@dataclass(frozen=True)
class Outcome:
    """How a calculation ended.

    Attributes:
        status: as in the table above, or "not run".
        energy_ev: of the cell, where it is done.
        reason: why there is no energy.
        wall_s: time spent on it, s.
        code: name and version, where known.
    """

    status: str
    energy_ev: float | None = None
    reason: str = ""
    wall_s: float = 0.0
    code: str = ""


def command_of(code: str, python: str = "") -> list[str]:
    """The command that runs a code here.

    Args:
        code: one of `novalith.stability.dft_inputs.CODES`.
        python: the interpreter that has GPAW; this one by default.

    Raises:
        CapabilityError: the code is not installed; says how it is, and that the inputs are written.
    """
    if code == "gpaw":
        if python and shutil.which(python) is None:
            raise InputError(f"There is no interpreter {python}.")
        if python and not _has_gpaw(python):
            raise CapabilityError(f"{python} has no GPAW, so nothing was run; the inputs are complete.")
        if python or find_spec("gpaw") is not None:
            return [python or sys.executable, "run_gpaw.py"]
        raise CapabilityError(
            "GPAW is not installed here, so nothing was run; the inputs are complete. Install libxc and OpenBLAS, then "
            "run: pip install 'novalith[gpaw]' (see docs/validation.md), or name an interpreter that has it with "
            "--python."
        )
    program = {"espresso": "pw.x", "vasp": "vasp_std"}[code]
    found = shutil.which(program)
    if found is None:
        raise CapabilityError(
            f"{program} is not on the PATH, so nothing was run; the inputs are complete. Install the code, or run the "
            "folders on a machine that has it and call this command again: results that lie there are read."
        )
    return [found, "-in", "pw.in"] if code == "espresso" else [found]


def _has_gpaw(python: str) -> bool:
    """Whether another interpreter finds GPAW; the package is not loaded."""
    asked = "import importlib.util, sys; sys.exit(importlib.util.find_spec('gpaw') is None)"
    return subprocess.run([python, "-c", asked], capture_output=True, check=False).returncode == 0  # noqa: S603


def run_calculation(code: str, folder: Path, command: Sequence[str], limit_s: float) -> Outcome:
    """Run one calculation unless it is done, and say how it ended.

    Args:
        code: its name.
        folder: with its inputs.
        command: from `command_of`.
        limit_s: wall time that it may take, s.
    """
    before = read_outcome(code, folder)
    if before.status == "done":
        return before
    if before.status == "not run":
        for name in (RESULT, "relax.traj"):  # of other inputs
            (folder / name).unlink(missing_ok=True)
    if before.status == "running":
        return before
    started = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (folder / "output.txt").open("ab") as words:
        child = subprocess.Popen(  # noqa: S603  the command is ours, its arguments are fixed
            command, cwd=folder, stdout=words, stderr=subprocess.STDOUT, env=environment
        )
        _note(code, folder, "interrupted", "It was running when novalith was stopped.", 0.0, child.pid)
        code_of_exit = _wait(child, limit_s)
    wall_s = time.monotonic() - started
    if code == "espresso" and (folder / "output.txt").is_file():
        shutil.copyfile(folder / "output.txt", folder / _OUTPUTS[code])
    if code_of_exit == 0 and _energy(code, folder) is not None:
        _note(code, folder, "done", "", wall_s)
        return read_outcome(code, folder)
    status, reason = _why(code_of_exit, limit_s, folder)
    _note(code, folder, status, reason, wall_s)
    return read_outcome(code, folder)


def read_outcome(code: str, folder: Path) -> Outcome:
    """How a calculation stands, from its folder alone; results that were made elsewhere count.

    Results of other inputs than those that lie there do not.

    Raises:
        CorruptDataError: its status cannot be read.
    """
    path = folder / STATUS
    status: dict[str, Any] = {}
    if path.is_file():
        try:
            status = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise CorruptDataError(f"{path} cannot be read ({error}); delete it and run again.") from error
    if status and status.get("inputs") != _fingerprint(code, folder):
        return Outcome("not run", reason="The inputs were changed since it was run.")
    if _alive(int(status.get("pid", 0))):
        reason = f"Process {status['pid']} of an earlier call is still at work on it; wait for it or end it."
        return Outcome("running", None, reason)
    energy = _energy(code, folder)
    if energy is not None and status.get("status", "done") == "done":
        return Outcome("done", energy, "", float(status.get("wall_s", 0.0)), _version(code, folder))
    if not status:
        return Outcome("not run", reason="Nothing has been run.")
    return Outcome(str(status["status"]), None, str(status["reason"]), float(status["wall_s"]))


def _wait(child: subprocess.Popen[bytes], limit_s: float) -> int | None:
    """The exit code of a child, None where it took too long; it does not outlive an exception in this process."""
    try:
        return child.wait(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def _alive(pid: int) -> bool:
    """Whether a process that an earlier novalith started, and did not live to end, is still at work."""
    if pid <= 0 or not Path("/proc", str(pid)).exists():
        return False
    try:
        state = Path("/proc", str(pid), "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _why(exit_code: int | None, limit_s: float, folder: Path) -> tuple[str, str]:
    if exit_code is None:
        return "timed out", f"It took more than {limit_s:g} s."
    if exit_code < 0:
        return "killed", f"Signal {-exit_code} ended it; is there enough memory? Run again to go on."
    tail = (folder / "output.txt").read_bytes()[-_TAIL:].decode(errors="replace").strip().splitlines()
    return "failed", f"It ended with code {exit_code}: {tail[-1] if tail else 'without a word'}"


def _note(code: str, folder: Path, status: str, reason: str, wall_s: float, pid: int = 0) -> None:
    record = {"status": status, "reason": reason, "wall_s": round(wall_s, 2), "inputs": _fingerprint(code, folder)}
    record |= {"pid": pid} if pid else {}
    write_atomic(folder / STATUS, json.dumps(record))


def _fingerprint(code: str, folder: Path) -> str:
    content = b"".join((folder / name).read_bytes() for name in _INPUTS[code] if (folder / name).is_file())
    return hashlib.sha256(content).hexdigest()[:16]


def _energy(code: str, folder: Path) -> float | None:
    """Total energy in eV, None where the output has none."""
    if code == "gpaw":
        path = folder / RESULT
        try:
            return float(json.loads(path.read_text(encoding="utf-8"))["energy_ev"]) if path.is_file() else None
        except (ValueError, KeyError):
            return None
    path = folder / _OUTPUTS[code]
    if not path.is_file():
        return None
    from ase.io import ParseError, read

    try:
        atoms = read(path, index=-1)
        return float(atoms.get_potential_energy(force_consistent=False))
    except (
        ParseError,
        ValueError,
        IndexError,
        KeyError,
        RuntimeError,
        SyntaxError,
        OSError,
        AttributeError,
        AssertionError,
    ):
        return None  # an output that was cut off; the status tells of it


def _version(code: str, folder: Path) -> str:
    if code != "gpaw":
        return code
    return str(json.loads((folder / RESULT).read_text(encoding="utf-8")).get("code", code))
