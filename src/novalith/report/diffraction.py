"""The powder pattern a crystal would give: Bragg's law and structure factors, as pymatgen computes them.

X-rays are Cu K-alpha, the weighted mean of both lines (1.54184 Å). The pattern is that of an ideal powder at the
computed cell: cells from PBE-like potentials are about one per cent too long, which shifts lines to lower angles.
"""

from __future__ import annotations

from dataclasses import dataclass

from novalith.materials import Crystal

#: Range of a laboratory scan, degrees.
TWO_THETA_MIN_DEG, TWO_THETA_MAX_DEG = 10.0, 80.0


@dataclass(frozen=True)
class Reflection:
    """One line of a powder pattern.

    Attributes:
        two_theta_deg: its angle.
        intensity: relative to the strongest, 0 to 100.
        hkl: Miller indices in the cell given, of the first family where several coincide.
        d_a: spacing of the planes, Å.
    """

    two_theta_deg: float
    intensity: float
    hkl: tuple[int, ...]
    d_a: float


def powder_pattern(crystal: Crystal) -> tuple[Reflection, ...]:
    """Reflections from 10° to 80° by angle; indices refer to the cell given, so give the conventional one."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    window = (TWO_THETA_MIN_DEG, TWO_THETA_MAX_DEG)
    pattern = XRDCalculator(wavelength="CuKa").get_pattern(crystal.to_structure(), two_theta_range=window)
    return tuple(
        Reflection(float(angle), float(intensity), _miller(families[0]["hkl"]), float(d))
        for angle, intensity, families, d in zip(pattern.x, pattern.y, pattern.hkls, pattern.d_hkls, strict=True)
    )


def _miller(indices: tuple[int, ...]) -> tuple[int, ...]:
    """Three indices, also for hexagonal cells, where pymatgen gives h k i l."""
    whole = tuple(int(i) for i in indices)
    return (whole[0], whole[1], whole[3]) if len(whole) == 4 else whole
