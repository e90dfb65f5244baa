"""SevenNet-0 as a second opinion: an equivariant network that shares no code with CHGNet, though most training data.

The weights are those inside the installed `sevenn` package. They are read with `weights_only=True` and the few classes
of NumPy that the published file holds, after their SHA-256 was checked; the package's own reader would unpickle
anything. It was trained on the uncorrected PBE energies of the Materials Project, so it needs elemental references of
its own.

Source: Park, Kim, Hwang and Han, J. Chem. Theory Comput. 20, 4857 (2024); weights of 11 July 2024.
"""

from __future__ import annotations

import _codecs
import hashlib
import warnings
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from novalith.errors import CorruptDataError, MissingExtraError
from novalith.materials import ATOMIC_NUMBERS, Crystal
from novalith.relax.base import Evaluated, OutOfReachError, Potential
from novalith.relax.potentials import SEVENNET, SEVENNET_WEIGHTS_SHA256

_WEIGHTS = Path("pretrained_potentials", "SevenNet_0__11Jul2024", "checkpoint_sevennet_0.pth")
#: What an `aten` array of the published file is made of.
_ARRAY_PARTS = (np.ndarray, np.dtype, _codecs.encode, *(type(np.dtype(t)) for t in ("float64", "float32", "int64")))


class SevenNet(Potential):
    """The universal potential of Park et al.

    Raises:
        MissingExtraError: the `sevenn` package is not installed.
        CorruptDataError: its weight file is not the one this adapter was written for.
    """

    info = SEVENNET

    def __init__(self) -> None:
        spec = find_spec("sevenn")
        if spec is None or spec.origin is None:
            raise MissingExtraError("sevenn", "sevennet", "The SevenNet potential")
        checkpoint = _read_weights(Path(spec.origin).parent / _WEIGHTS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hints at accelerators and deprecations inside the package and e3nn
            self._calculator = _calculator(checkpoint)

    def evaluate(self, crystal: Crystal) -> Evaluated:
        """Energy, forces and stress of one crystal.

        Raises:
            OutOfReachError: an element that it was not trained on.
        """
        unknown = [s for s in crystal.species if ATOMIC_NUMBERS[s] not in self._calculator.type_map]
        if unknown:
            raise OutOfReachError(f"SevenNet was not trained on {unknown[0]}.")
        atoms = crystal.to_atoms()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            self._calculator.calculate(atoms)
        finally:
            torch.set_num_threads(threads)
        results = self._calculator.results
        xx, yy, zz, yz, xz, xy = (float(s) for s in results["stress"])
        return Evaluated(
            energy_ev=float(results["energy"]),
            forces_ev_per_a=np.array(results["forces"], dtype=np.float64),
            stress_ev_per_a3=np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]),
        )


def _read_weights(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CorruptDataError(f"{path} is missing: this sevenn has no weights of 11 July 2024. Install sevenn 0.13.0.")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SEVENNET_WEIGHTS_SHA256:
        raise CorruptDataError(
            f"{path} has SHA-256 {found[:8]}..., expected {SEVENNET_WEIGHTS_SHA256[:8]}...; it is not the published "
            "SevenNet-0. Install sevenn 0.13.0 again."
        )
    from numpy._core.multiarray import _reconstruct  # the name under which NumPy 2 keeps what NumPy 1 wrote

    allowed = [*_ARRAY_PARTS, (_reconstruct, "numpy.core.multiarray._reconstruct")]
    with torch.serialization.safe_globals(allowed):
        checkpoint: dict[str, Any] = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    return checkpoint


def _calculator(checkpoint: dict[str, Any]) -> Any:
    """The package's calculator around a model built from what was read."""
    from sevenn.calculator import SevenNetCalculator
    from sevenn.checkpoint import _config_cp_routine
    from sevenn.model_build import build_E3_equivariant_model
    from sevenn.scripts.backward_compatibility import patch_state_dict_if_old

    config = _config_cp_routine(checkpoint["config"])
    model = build_E3_equivariant_model(config)
    model.load_state_dict(patch_state_dict_if_old(checkpoint["model_state_dict"], config, model), strict=True)
    return SevenNetCalculator(model, file_type="model_instance", device="cpu")
