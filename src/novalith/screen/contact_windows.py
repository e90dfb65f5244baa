"""The window rule: the shortest distance of every kind of pair must lie where real crystals have it.

For a kind of pair {A, B} let d_AB be the shortest distance between an atom A and an atom B of a crystal, over all
periodic images, own ones included. Fitted to crystals, the window of a kind is the range from quantile q to 1 - q of
their d_AB. The published window of CrystalGAN (Nouira, Sokolovska, Crivello, 2018) is 1.8 to 3 Å for H-H and for
metal-metal pairs, whatever the metals, and nothing for metal-H.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from novalith.errors import InputError
from novalith.materials import Crystal, Verdict
from novalith.screen.base import Rule

Pair = tuple[str, str]

#: Distances beyond this (Å) are no contacts.
FARTHEST_A = 8.0
#: d1 and d2 of CrystalGAN, Å.
PUBLISHED_WINDOW_A = (1.8, 3.0)
#: The pairs under the published window: X the shared element (hydrogen there), M any other.
PUBLISHED_KINDS = (("M", "M"), ("X", "X"))


def shortest_distances(crystal: Crystal) -> dict[Pair, float]:
    """The shortest distance of each kind of pair up to `FARTHEST_A`, Å; kinds in alphabetical order."""
    first, second, _, distances = crystal.to_structure().get_neighbor_list(FARTHEST_A, numerical_tol=1e-10)
    species = np.array(crystal.species)
    found: dict[Pair, float] = {}
    names = sorted(set(crystal.species))
    for i, a in enumerate(names):
        for b in names[i:]:
            mine = distances[(species[first] == a) & (species[second] == b)]
            if len(mine):
                found[a, b] = float(mine.min())
    return found


def merged_kinds(crystal: Crystal, shared: str) -> Crystal:
    """The crystal with all elements but `shared` made one: for windows that do not tell metals apart."""
    metal = next((s for s in crystal.species if s != shared), shared)
    return Crystal(
        crystal.lattice, tuple(shared if s == shared else metal for s in crystal.species), crystal.frac_coords
    )


@dataclass(frozen=True)
class ContactWindows(Rule):
    """The shortest distances of some kinds of pairs must lie within windows.

    Attributes:
        windows: (pair in alphabetical order, lowest Å, highest Å); pairs not named are free.
        origin: where the windows come from.
    """

    windows: tuple[tuple[Pair, float, float], ...]
    origin: str = "given"

    name: ClassVar[str] = "contact-windows"
    source: ClassVar[str] = "shortest distances of known crystals"

    def check(self, crystal: Crystal) -> Verdict:
        """Judge the kinds in the order of the windows; the first failure is the reason. An absent kind passes."""
        found = shortest_distances(crystal)
        for pair, low, high in self.windows:
            distance = found.get(pair)
            if distance is not None and not low <= distance <= high:
                return Verdict(
                    False,
                    self.name,
                    f"The shortest {pair[0]}-{pair[1]} distance is {distance:.2f} Å; {low:.2f} to {high:.2f} Å is the "
                    f"window ({self.origin}).",
                    self.source,
                )
        return Verdict(True, self.name, source=self.source)

    def of(self, pair: Pair) -> tuple[float, float] | None:
        """The window of a kind, Å; None where it is free."""
        return next(((low, high) for p, low, high in self.windows if p == pair), None)


def fit_windows(crystals: Iterable[Crystal], quantile: float = 0.01) -> ContactWindows:
    """The windows that hold all but a share `quantile` at either end of the shortest distances of some crystals.

    Raises:
        InputError: no crystal was given.
    """
    gathered: dict[Pair, list[float]] = {}
    n = 0
    for crystal in crystals:
        n += 1
        for pair, distance in shortest_distances(crystal).items():
            gathered.setdefault(pair, []).append(distance)
    if not gathered:
        raise InputError("Windows are fitted to crystals; none with a distance below 8 Å was given.")
    windows = (
        (pair, float(np.quantile(d, quantile)), float(np.quantile(d, 1.0 - quantile)))
        for pair, d in sorted(gathered.items())
    )
    return ContactWindows(tuple(windows), f"{100 * quantile:g} to {100 - 100 * quantile:g} % of {n} crystals")


def in_published_window(crystal: Crystal, shared: str) -> Verdict:
    """CrystalGAN's own rule: shortest metal-metal and X-X distances within `PUBLISHED_WINDOW_A`, X the shared element.

    A crystal in which no two metals, or no two X, are within `FARTHEST_A` fails: it has no such contact at all.
    """
    found = shortest_distances(merged_kinds(crystal, shared))
    low, high = PUBLISHED_WINDOW_A
    for kind in PUBLISHED_KINDS:
        wanted = [d for (a, b), d in found.items() if a == b and (a == shared) == (kind[0] == "X")]
        if not wanted or not low <= wanted[0] <= high:
            told = f"{wanted[0]:.2f} Å" if wanted else f"above {FARTHEST_A:g} Å"
            what = f"{shared}-{shared}" if kind[0] == "X" else "metal-metal"
            return Verdict(
                False, "published-window", f"The shortest {what} distance is {told}; {low:g} to {high:g} Å was asked."
            )
    return Verdict(True, "published-window", source="Nouira et al. 2018")
