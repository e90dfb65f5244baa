"""Novelty of 1,000 crystals against everything bundled: time on one core, and whether the pre-filter loses a match.

Times are processor seconds of one core. Half of the crystals are bundled ones in disguise (supercell, 3 % strain, atoms
moved by 0.05 Å, another origin, order of sites and axes), which must be found again; the other half has one element
exchanged for another.

`--pairs N` compares, on N pairs of equal formula (disguises, polymorphs, and structures given each other's elements),
the verdict with that of the plain StructureMatcher that reduces the cells itself and has no filter before it.
`--limits` prints the range of distances, volumes and densities of the bundled crystals: the origin of the defaults of
the screens. `--same N` groups N copies of a few crystals of one formula.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict

import numpy as np

from novalith.data.library import KnownStructure, Library
from novalith.materials import Crystal
from novalith.screen.cell import CellSanity, density_g_per_cm3
from novalith.screen.composition_distance import scale_distance
from novalith.screen.distances import Distances, tightest_contact
from novalith.screen.duplicates import Reduced, group_duplicates, may_match, rms_distance
from novalith.screen.novelty import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL, Grade, NoveltyIndex

ELEMENTS = """Li Na K Rb Cs Be Mg Ca Sr Ba Sc Y La Ce Nd Ti Zr Hf V Nb Ta Cr Mo W Mn Fe Co Ni Cu Ag Zn Cd Al Ga In Si Ge
    Sn Pb P As Sb Bi O S Se Te F Cl Br I N C B H""".split()


def disguised(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """The same crystal in another cell, strained, rattled, shifted, with its sites and axes in another order."""
    lattice, frac, species = np.array(crystal.lattice), np.array(crystal.frac_coords), np.array(crystal.species)
    if crystal.n_atoms <= 12 and rng.random() < 0.5:
        axis = int(rng.integers(3))
        repeats = np.ones(3)
        repeats[axis] = 2
        lattice = lattice * repeats[:, None]
        frac = np.concatenate([frac / repeats, (frac + np.eye(3)[axis]) / repeats])
        species = np.concatenate([species, species])
    strain = rng.uniform(-1, 1, (3, 3))
    strain = (strain + strain.T) / 2
    lattice = lattice @ (np.eye(3) + 0.03 * strain / np.abs(strain).max())
    steps = rng.normal(size=frac.shape)
    steps *= 0.05 / np.linalg.norm(steps, axis=1, keepdims=True)
    frac = frac + steps @ np.linalg.inv(lattice) + rng.uniform(size=3)
    order, axes = rng.permutation(len(species)), np.roll(np.arange(3), int(rng.integers(3)))
    return Crystal.from_arrays(lattice[axes], species[order], frac[order][:, axes])


def exchanged(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """One element replaced by one of the ten nearest to it on Pettifor's scale."""
    present = sorted(set(crystal.species))
    old = present[int(rng.integers(len(present)))]
    others = sorted((e for e in ELEMENTS if e not in present), key=lambda e: (scale_distance(e, old), e))
    new = others[int(rng.integers(10))]
    species = [new if s == old else s for s in crystal.species]
    return Crystal.from_arrays(crystal.lattice, species, crystal.frac_coords)


def novelty(known: tuple[KnownStructure, ...], n: int, rng: np.random.Generator) -> int:
    rows = rng.choice(len(known), n, replace=len(known) < n)
    half = n // 2
    same = [(known[i], disguised(known[i].crystal, rng)) for i in rows[:half]]
    other = [exchanged(known[i].crystal, rng) for i in rows[half:]]
    start = time.process_time()
    index = NoveltyIndex(Library())
    index.judge(other[0])
    print(
        f"index of {len(known):,} structures and all lists, with a first verdict: {time.process_time() - start:.1f} s"
    )
    start = time.process_time()
    found = index.judge_many(c for _, c in same)
    middle = time.process_time()
    fresh = index.judge_many(other)
    end = time.process_time()
    print(
        f"{half} disguised crystals {middle - start:.1f} s, {n - half} with an element exchanged {end - middle:.1f} s"
    )
    print(f"together {end - start:.1f} s, {1e3 * (end - start) / n:.1f} ms a crystal")
    lost = [k.id for (k, _), v in zip(same, found, strict=True) if v.grade is not Grade.KNOWN_STRUCTURE]
    print(f"disguised crystals found again: {half - len(lost)} of {half}", *lost[:5])
    for grade, count in sorted(Counter(v.grade.value for v in fresh).items()):
        print(f"  exchanged: {grade:<32} {count}")
    print("  for example:", next((v.note for v in fresh if v.grade is Grade.NEW_FORMULA), ""))
    return 0


def pairs_of_equal_formula(
    known: tuple[KnownStructure, ...], n: int, rng: np.random.Generator
) -> list[tuple[Crystal, Crystal]]:
    """A third disguises, the rest polymorphs, real or made by giving one structure the elements of another."""
    small = [k for k in known if k.crystal.n_atoms <= 24]
    kinds = defaultdict(list)
    for k in small:
        kinds[k.crystal.composition.anonymous].append(k)
    pairs = [(small[i].crystal, disguised(small[i].crystal, rng)) for i in rng.choice(len(small), n // 3)]
    shapes = sorted(k for k, members in kinds.items() if len(members) > 1)
    while len(pairs) < n:
        members = kinds[shapes[int(rng.integers(len(shapes)))]]
        a, b = (members[int(i)].crystal for i in rng.choice(len(members), 2, replace=False))
        rank = [sorted(c.composition.reduced.counts, key=lambda p: (p[1], p[0])) for c in (a, b)]
        names = {old: new for (old, _), (new, _) in zip(rank[1], rank[0], strict=True)}
        pairs.append((a, Crystal(b.lattice, tuple(names[s] for s in b.species), b.frac_coords)))
    return pairs


def check_pairs(known: tuple[KnownStructure, ...], n: int, rng: np.random.Generator) -> int:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    plain = StructureMatcher(ltol=MATCHER_LTOL, stol=MATCHER_STOL, angle_tol=MATCHER_ANGLE_DEG)
    kept = equal = extra = 0
    lost = []
    widest = 0.0
    seconds = [0.0, 0.0]
    for a, b in pairs_of_equal_formula(known, n, rng):
        start = time.process_time()
        expected = plain.fit(a.to_structure(), b.to_structure())
        middle = time.process_time()
        first, second = Reduced.of(a), Reduced.of(b)
        answer = rms_distance(first, second) is not None
        seconds[0] += middle - start
        seconds[1] += time.process_time() - middle
        equal += expected
        kept += may_match(first, second)
        if expected:
            widest = max(widest, float(np.abs(first.fingerprint - second.fingerprint).max()))
        if expected and not answer:
            lost.append(a.composition.formula)
        extra += answer and not expected
    print(
        f"{n} pairs: {equal} equal by the plain matcher, {kept} past the pre-filter, {len(lost)} of the equal lost",
        *lost,
    )
    print(f"{extra} more found equal: noisy supercells whose primitive cell the plain matcher does not see")
    print(f"largest difference of fingerprints among equal pairs {widest:.3f}")
    print(f"plain matcher {seconds[0]:.1f} s, ours with reduction, filter and rms distance {seconds[1]:.1f} s")
    return 1 if lost else 0


def group(known: tuple[KnownStructure, ...], n: int, rng: np.random.Generator) -> int:
    formulas = Counter(k.formula for k in known if k.crystal.n_atoms <= 24)
    formula, count = max(formulas.items(), key=lambda item: (item[1], item[0]))
    originals = [k.crystal for k in known if k.formula == formula]
    copies = [disguised(originals[i % count], rng) for i in range(n)]
    start = time.process_time()
    groups = group_duplicates(copies)
    print(
        f"{n} cells of {formula} ({count} structures): {len(set(groups))} groups, {time.process_time() - start:.1f} s"
    )
    return 0


def limits(known: tuple[KnownStructure, ...]) -> int:
    crystals = [k.crystal for k in known]
    contacts = [tightest_contact(c, 1.0) for c in crystals]
    ratios = np.array([c.ratio if c else 1.0 for c in contacts])
    volumes = np.array([c.volume / c.n_atoms for c in crystals])
    densities = np.array([density_g_per_cm3(c) for c in crystals])
    print(f"{len(crystals):,} crystals          smallest     0.1 %    median    99.9 %   largest")
    for name, x in (("distance / sum of radii", ratios), ("Å3 per atom", volumes), ("g/cm3", densities)):
        print(f"{name:<24}" + "".join(f"{q:10.3f}" for q in np.quantile(x, [0, 0.001, 0.5, 0.999, 1])))
    for rule in (Distances(), CellSanity()):
        start = time.process_time()
        failed = [(k.id, v.reason) for k in known if not (v := rule.check(k.crystal)).passed]
        pace = 1e3 * (time.process_time() - start) / len(known)
        print(f"{rule.name}: {len(failed)} fail, {pace:.2f} ms a crystal", *failed[:3])
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--same", type=int, default=0)
    parser.add_argument("--limits", action="store_true")
    arguments = parser.parse_args()
    known = Library().structures
    rng = np.random.default_rng(arguments.seed)
    print(f"seed {arguments.seed}; ltol {MATCHER_LTOL}, stol {MATCHER_STOL}, angle {MATCHER_ANGLE_DEG}°; one thread")
    if arguments.limits:
        return limits(known)
    if arguments.pairs:
        return check_pairs(known, arguments.pairs, rng)
    if arguments.same:
        return group(known, arguments.same, rng)
    return novelty(known, arguments.n, rng)


if __name__ == "__main__":
    sys.exit(main())
