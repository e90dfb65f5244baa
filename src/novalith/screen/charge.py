"""The charge rule: the composition of a crystal must pass the chemistry rules on formulas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from novalith.materials import Crystal, Verdict
from novalith.screen.base import Rule
from novalith.screen.chemistry import ChemistryOptions, is_balanced
from novalith.screen.oxidation import SOURCE


@dataclass(frozen=True)
class ChargeBalance(Rule):
    """Charge neutrality and the order of electronegativities, with SMACT's meaning (see `novalith.screen.chemistry`).

    The reason names the oxidation states found, also where the crystal passes.

    Attributes:
        options: oxidation states and tests; all-metal crystals fail unless `options.alloys_pass` is set.
    """

    options: ChemistryOptions = field(default_factory=ChemistryOptions)

    name: ClassVar[str] = "charge"
    source: ClassVar[str] = SOURCE

    def check(self, crystal: Crystal) -> Verdict:
        """Judge the composition of a crystal."""
        return is_balanced(crystal.composition, self.options)
