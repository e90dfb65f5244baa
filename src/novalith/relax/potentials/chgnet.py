"""CHGNet 0.3.0 as a potential: energy, forces and stress from one gradient.

With strain eps, lattice L (1 + eps) and positions R = S L (1 + eps), the forces are -dE/dR and the stress is
dE/d(eps) / V. Both come from one backward pass with frozen weights, where the published package runs two that it could
also be trained through.

The weights are those inside the installed `chgnet` package. The file is checked against its SHA-256 and read with
`weights_only=True`; the package itself is not imported, which saves its three seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from novalith.errors import CorruptDataError, MissingExtraError
from novalith.materials import Crystal
from novalith.relax.base import Evaluated, OutOfReachError, Potential
from novalith.relax.potentials import CHGNET, CHGNET_WEIGHTS_SHA256
from novalith.relax.potentials.chgnet_graph import ATOM_CUTOFF_A, build_graph
from novalith.relax.potentials.chgnet_network import Network

_WEIGHTS = Path("pretrained", "0.3.0", "chgnet_0.3.0_e29f68s314m37.pth.tar")
#: The last element that CHGNet has an embedding for (plutonium).
_MAX_ATOMIC_NUMBER = 94


class CHGNet(Potential):
    """The universal potential of Deng et al. (Nat. Mach. Intell. 5, 1031, 2023), trained on MP2020-corrected energies.

    Energies need no further correction.

    Raises:
        MissingExtraError: the `chgnet` package is not installed.
        CorruptDataError: its weight file is not the one this adapter was written for.
    """

    info = CHGNET

    def __init__(self) -> None:
        self._network = Network(_read_weights())

    def evaluate(self, crystal: Crystal) -> Evaluated:
        """Energy, forces and stress of one crystal.

        Raises:
            OutOfReachError: an element beyond plutonium, or an atom without any neighbour within 6 Å, for which the
                network has no more than an extrapolated constant.
        """
        graph = build_graph(crystal)
        _refuse_strangers(crystal, graph.atomic_numbers)
        if len(graph.isolated):
            i = int(graph.isolated[0])
            raise OutOfReachError(
                f"{crystal.species[i]} (site {i + 1}) has no neighbour within {ATOM_CUTOFF_A:g} Å, the reach of CHGNet."
            )
        with _one_thread():
            strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
            lattice = torch.from_numpy(graph.lattice) @ (torch.eye(3, dtype=torch.float64) + strain)
            positions = torch.from_numpy(graph.frac_coords) @ lattice
            energy = self._network.energy(graph, positions, lattice)
            by_position, by_strain = torch.autograd.grad(energy, (positions, strain))
        stress = by_strain.numpy() / crystal.volume
        return Evaluated(
            energy_ev=float(energy.detach()),
            forces_ev_per_a=-by_position.numpy(),
            stress_ev_per_a3=(stress + stress.T) / 2,
        )


def _refuse_strangers(crystal: Crystal, atomic_numbers: np.typing.NDArray[np.int64]) -> None:
    if atomic_numbers.max() > _MAX_ATOMIC_NUMBER:
        symbol = crystal.species[int(atomic_numbers.argmax())]
        raise OutOfReachError(f"CHGNet was not trained on {symbol}; its elements end with Pu (94).")


def _read_weights() -> dict[str, torch.Tensor]:
    spec = find_spec("chgnet")
    if spec is None or spec.origin is None:
        raise MissingExtraError("chgnet", "chgnet", "The CHGNet potential")
    path = Path(spec.origin).parent / _WEIGHTS
    if not path.is_file():
        raise CorruptDataError(f"{path} is missing: this chgnet has no 0.3.0 weights. Install chgnet 0.4.2.")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != CHGNET_WEIGHTS_SHA256:
        raise CorruptDataError(
            f"{path} has SHA-256 {found[:8]}..., expected {CHGNET_WEIGHTS_SHA256[:8]}...; it is not the published "
            "CHGNet 0.3.0. Install chgnet 0.4.2 again."
        )
    checkpoint = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    state: dict[str, torch.Tensor] = checkpoint["model"]["state_dict"]
    return state


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread while evaluating: small products gain nothing from two, and sums keep one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
