"""DFT hand-off: complete inputs, own references, and every way in which a run can end, with a stand-in for the code."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.errors import CapabilityError, EmptyResultError, InputError, UnknownNameError
from novalith.materials import Crystal
from novalith.represent.layers import monolayer_of
from novalith.stability import dft_run
from novalith.stability.dft_inputs import CODES, write_inputs
from novalith.stability.dft_plan import DftSettings, kpoint_grid, plan_calculations
from novalith.stability.dft_run import command_of, read_outcome, run_calculation

FACE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
OXIDE = Crystal.from_arrays(FACE * 4.25, ["Mg", "O"], [[0] * 3, [0.5] * 3])
LIBRARY = Library()


@pytest.fixture
def plan():
    return plan_calculations([("MgO", OXIDE)], DftSettings(), LIBRARY)


def test_every_element_gets_a_reference_in_its_own_state(plan):
    assert [c.name for c in plan] == ["MgO", "element-Mg", "element-O"]
    oxygen = plan[2]
    assert oxygen.molecule
    assert oxygen.moments == (1.0, 1.0)
    z = [f[2] * oxygen.crystal.lattice[2][2] for f in oxygen.crystal.frac_coords]
    assert abs(z[1] - z[0]) == pytest.approx(1.208)
    assert plan[1].crystal.n_atoms == 2, "magnesium is hexagonal"


@pytest.mark.parametrize(("symbol", "atoms"), [("K", 1), ("Au", 1), ("Fe", 1), ("Br", 2), ("C", 4)])
def test_elements_without_a_bundled_ground_state_have_their_measured_packing(symbol, atoms):
    partner = Crystal.from_arrays(np.eye(3) * 5, [symbol], [[0, 0, 0]])
    plan = plan_calculations([("x", partner)], DftSettings(), LIBRARY)
    assert plan[-1].crystal.n_atoms == atoms


def test_an_element_without_any_structure_is_named():
    with pytest.raises(CapabilityError, match="element B "):
        plan_calculations([("x", Crystal.from_arrays(np.eye(3) * 5, ["B"], [[0] * 3]))], DftSettings(), LIBRARY)
    with pytest.raises(EmptyResultError):
        plan_calculations([], DftSettings(), LIBRARY)


def test_grids_of_k_points():
    """A cube of edge 2 pi has reciprocal vectors of length 1."""
    cube = Crystal.from_arrays(np.eye(3) * 2 * np.pi, ["Po"], [[0] * 3])
    assert kpoint_grid(cube, 0.25, False) == (4, 4, 4)
    assert kpoint_grid(cube, 0.24, True) == (5, 5, 1)
    with pytest.raises(InputError, match="kspacing"):
        DftSettings(kspacing_per_a=0)


def test_inputs_hold_what_each_code_needs(plan, tmp_path):
    from pymatgen.io.vasp import Incar, Kpoints, Poscar

    for code in CODES:
        for calculation in plan:
            write_inputs(code, calculation, tmp_path / code / calculation.name, DftSettings())
    vasp = tmp_path / "vasp" / "MgO"
    assert Poscar.from_file(vasp / "POSCAR", check_for_potcar=False).structure.composition.reduced_formula == "MgO"
    assert Incar.from_file(vasp / "INCAR")["ENCUT"] == 520
    assert Kpoints.from_file(vasp / "KPOINTS").kpts[0] == plan[0].kpoints
    assert (vasp / "POTCAR.spec").read_text() == "Mg_pv\nO\n"
    assert not list(tmp_path.rglob("POTCAR"))
    job = json.loads((tmp_path / "gpaw" / "MgO" / "job.json").read_text())
    assert Crystal.from_json(job) == plan[0].crystal
    compile((tmp_path / "gpaw" / "MgO" / "run_gpaw.py").read_text(), "run_gpaw.py", "exec")
    with pytest.raises(UnknownNameError, match="espresso"):
        write_inputs("expresso", plan[0], tmp_path, DftSettings())


def test_espresso_inputs_are_read_back_by_ase(plan, tmp_path):
    from ase.io import read

    for calculation in plan:
        write_inputs("espresso", calculation, tmp_path / calculation.name, DftSettings())
        atoms = read(tmp_path / calculation.name / "pw.in", format="espresso-in")
        assert atoms.get_chemical_symbols() == list(calculation.crystal.species)
        np.testing.assert_allclose(atoms.cell[:], calculation.crystal.lattice, atol=1e-8)
    metal = (tmp_path / "element-Mg" / "pw.in").read_text()
    assert "'smearing'" in metal
    assert "tot_magnetization = 2.0" in (tmp_path / "element-O" / "pw.in").read_text()


def test_a_monolayer_has_one_k_point_along_its_vacuum_and_relaxes_in_its_plane(tmp_path):
    bulk = next(k.crystal for k in LIBRARY.structures if k.id == "mp-23210")
    plan = plan_calculations([("layer", monolayer_of(bulk).crystal)], DftSettings(relax=True), LIBRARY)
    assert plan[0].kpoints[2] == 1
    assert plan[0].kpoints[0] > 3
    for code in CODES:
        write_inputs(code, plan[0], tmp_path / code, DftSettings(relax=True))
    assert json.loads((tmp_path / "gpaw" / "job.json").read_text())["free_strain"] == [1, 1, 0, 0, 0, 1]
    assert "2Dxy" in (tmp_path / "espresso" / "pw.in").read_text()


def stand_in(folder, body):
    """A folder whose "GPAW" is a few lines of Python."""
    folder.mkdir()
    (folder / "job.json").write_text("{}")
    (folder / "run_gpaw.py").write_text("import json, os, pathlib, time\n" + body)
    return folder


DONE = "pathlib.Path('result.json').write_text(json.dumps({'energy_ev': -12.5, 'code': 'stand-in 1'}))\n"
COMMAND = [sys.executable, "run_gpaw.py"]


def test_a_calculation_that_is_done_is_never_run_again(tmp_path):
    folder = stand_in(tmp_path / "a", DONE)
    assert read_outcome("gpaw", folder).status == "not run"
    outcome = run_calculation("gpaw", folder, COMMAND, 60)
    assert (outcome.status, outcome.energy_ev, outcome.code) == ("done", -12.5, "stand-in 1")
    (folder / "run_gpaw.py").write_text("raise SystemExit(9)")
    assert run_calculation("gpaw", folder, COMMAND, 60).energy_ev == -12.5
    (folder / "job.json").write_text('{"cutoff_ev": 700}')
    assert read_outcome("gpaw", folder).status == "not run", "the result belongs to other inputs"


def test_failing_killed_and_slow_calculations_are_kept_labelled_and_run_again(tmp_path):
    failing = stand_in(tmp_path / "a", "raise ValueError('no convergence after 333 cycles')\n")
    outcome = run_calculation("gpaw", failing, COMMAND, 60)
    assert outcome.status == "failed"
    assert "333 cycles" in outcome.reason
    killed = stand_in(tmp_path / "b", f"os.kill(os.getpid(), {int(signal.SIGKILL)})\n")
    outcome = run_calculation("gpaw", killed, COMMAND, 60)
    assert outcome.status == "killed"
    assert "Signal 9" in outcome.reason
    slow = stand_in(tmp_path / "c", "time.sleep(30)\n")
    assert run_calculation("gpaw", slow, COMMAND, 0.3).status == "timed out"
    for folder in (failing, killed, slow):
        assert read_outcome("gpaw", folder).energy_ev is None
        (folder / "run_gpaw.py").write_text("import json, pathlib\n" + DONE)
        assert run_calculation("gpaw", folder, COMMAND, 60).status == "done"


def test_what_was_running_when_the_parent_died_is_interrupted(tmp_path, monkeypatch):
    folder = stand_in(tmp_path / "a", DONE)

    def die(child, _limit_s):
        child.kill()
        child.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(dft_run, "_wait", die)
    with pytest.raises(KeyboardInterrupt):
        run_calculation("gpaw", folder, COMMAND, 60)
    assert read_outcome("gpaw", folder).status == "interrupted"
    monkeypatch.undo()
    assert run_calculation("gpaw", folder, COMMAND, 60).status == "done"


def test_a_process_that_outlived_its_parent_is_left_alone(tmp_path, monkeypatch):
    folder = stand_in(tmp_path / "a", "time.sleep(60)\n")
    orphans = []
    monkeypatch.setattr(dft_run, "_wait", lambda child, _limit_s: orphans.append(child) or sys.exit())
    with pytest.raises(SystemExit):
        run_calculation("gpaw", folder, COMMAND, 60)
    monkeypatch.undo()
    try:
        assert run_calculation("gpaw", folder, COMMAND, 60).status == "running"
    finally:
        orphans[0].kill()
        orphans[0].wait()
    assert read_outcome("gpaw", folder).status == "interrupted"


def test_a_code_that_is_not_there_is_said_with_the_way_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(dft_run, "find_spec", lambda _: None)
    with pytest.raises(CapabilityError, match=r"novalith\[gpaw\]"):
        command_of("gpaw")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    for code, program in (("espresso", r"pw\.x"), ("vasp", "vasp_std")):
        with pytest.raises(CapabilityError, match=program):
            command_of(code)
    with pytest.raises(InputError, match="no interpreter"):
        command_of("gpaw", "no-such-python")
    bare = tmp_path / "bare"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    with pytest.raises(CapabilityError, match="bare has no GPAW"):
        command_of("gpaw", os.fspath(bare))


def test_no_file_of_ours_imports_gpaw():
    import novalith

    for path in Path(novalith.__file__).parent.rglob("*.py"):
        assert "import gpaw" not in path.read_text(), path
        assert "from gpaw" not in path.read_text(), path


@pytest.mark.slow
def test_gpaw_computes_silicon(tmp_path):
    """-10.83 eV for two atoms in PBE by GPAW at this coarse setting lies within 0.1 eV of its converged value."""
    pytest.importorskip("gpaw", reason="GPAW is not installed")
    silicon = Crystal.from_arrays(FACE * 5.47, ["Si", "Si"], [[0] * 3, [0.25] * 3])
    settings = DftSettings(cutoff_ev=300, kspacing_per_a=0.6)
    calculation = plan_calculations([("Si", silicon)], settings, LIBRARY)[0]
    write_inputs("gpaw", calculation, tmp_path / "Si", settings)
    outcome = run_calculation("gpaw", tmp_path / "Si", command_of("gpaw"), 300)
    assert outcome.status == "done", outcome.reason
    assert outcome.energy_ev == pytest.approx(-10.83, abs=0.1)
