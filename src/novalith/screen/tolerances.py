"""The matcher tolerances of every verdict on sameness in this package."""

from __future__ import annotations

#: Relative length, site distance in (V/N)^(1/3), angle in degrees: StructureMatcher's defaults (Ong et al., Comput.
#: Mater. Sci. 68, 314, 2013), the setting of the novelty verdicts of Zeni et al., Nature 639, 624, 2025.
MATCHER_LTOL, MATCHER_STOL, MATCHER_ANGLE_DEG = 0.2, 0.3, 5.0
