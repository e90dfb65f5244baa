"""CHGNet's energy as a function of positions and strain, written for one crystal at a time on a CPU.

The network of Deng et al. (Nat. Mach. Intell. 5, 1031, 2023), with the weights of its checkpoint and these algebraic
savings, none of which changes a number beyond the rounding of single precision:

* a gated layer reads the concatenation of atoms, bonds and angles; its matrix times a concatenation is a sum of matrix
  products, so each kind is multiplied once per atom or bond instead of once per edge or angle;
* core and gate read the same input: one product makes both;
* bond and angle functions are computed once for the two directions in which the graph meets each;
* the last angle update feeds nothing and is left out, as are magnetic moments.

Symbols: v atom features (n, 64), e bond features (b, 64), a angle features (2 a, 64).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear, silu

from novalith.relax.potentials.chgnet_graph import ATOM_CUTOFF_A, BOND_CUTOFF_A, Graph

#: Exponent of the smooth cutoff (`cutoff_coeff` of the checkpoint).
_P = 8
#: Message-passing blocks (`n_conv` of the checkpoint).
_N_CONV = 4
#: Features per atom, bond and angle.
_DIM = 64


@dataclass(frozen=True)
class _Gate:
    """A gated perceptron: SiLU(norm(core)) * sigmoid(norm(gate)), core and gate stacked in one matrix.

    Attributes:
        parts: the columns of the first matrix that belong to each kind of input, (128, 64) each.
        bias: (128,).
        core_out, gate_out: (weight, bias) of the second layers, None where there is only one layer.
        core_norm, gate_norm: (weight, bias) of the layer normalisations.
    """

    parts: tuple[Tensor, ...]
    bias: Tensor
    core_out: tuple[Tensor, Tensor] | None
    gate_out: tuple[Tensor, Tensor] | None
    core_norm: tuple[Tensor, Tensor]
    gate_norm: tuple[Tensor, Tensor]

    @classmethod
    def read(cls, state: Mapping[str, Tensor], prefix: str) -> _Gate:
        """From the entries of a state dict that begin with `prefix`."""
        first = 0 if f"{prefix}.mlp_core.layers.0.weight" in state else 1

        def pair(name: str) -> tuple[Tensor, Tensor]:
            return state[f"{prefix}.{name}.weight"], state[f"{prefix}.{name}.bias"]

        core, gate = pair(f"mlp_core.layers.{first}"), pair(f"mlp_gate.layers.{first}")
        weight = torch.cat([core[0], gate[0]])
        return cls(
            parts=tuple(part.contiguous() for part in weight.split(_DIM, dim=1)),
            bias=torch.cat([core[1], gate[1]]),
            core_out=pair("mlp_core.layers.3") if first == 0 else None,
            gate_out=pair("mlp_gate.layers.3") if first == 0 else None,
            core_norm=pair("bn1"),
            gate_norm=pair("bn2"),
        )

    def finish(self, x: Tensor) -> Tensor:
        """From the sum of the first products, (rows, 128), to the gated output, (rows, 64)."""
        if self.core_out is not None and self.gate_out is not None:
            x = silu(x)
            core, gate = linear(x[:, :_DIM], *self.core_out), linear(x[:, _DIM:], *self.gate_out)
        else:
            core, gate = x[:, :_DIM], x[:, _DIM:]
        core = silu(layer_norm(core, (_DIM,), *self.core_norm))
        return core * torch.sigmoid(layer_norm(gate, (_DIM,), *self.gate_norm))


class Network:
    """The weights of a checkpoint and the energy they give.

    Args:
        state: state dict of CHGNet 0.3.0; the tensors are frozen.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = {name: tensor.detach().float() for name, tensor in state.items()}
        s = self._state
        self._atom_gates = [_Gate.read(s, f"atom_conv_layers.{i}.twoBody_atom") for i in range(_N_CONV)]
        self._bond_gates = [_Gate.read(s, f"bond_conv_layers.{i}.twoBody_bond") for i in range(_N_CONV - 1)]
        self._angle_gates = [_Gate.read(s, f"angle_layers.{i}.twoBody_bond") for i in range(_N_CONV - 2)]
        self._embed_bond = torch.cat([s["bond_embedding.weight"], s["bond_weights_ag.weight"]])
        self._atom_in = [torch.cat([gate.parts[0], gate.parts[2]]) for gate in self._atom_gates]
        # Atoms enter bonds and angles last, the two bonds first (order of the concatenation in the checkpoint).
        self._bond_in = [torch.cat([gate.parts[0], gate.parts[1]]) for gate in self._bond_gates]
        self._angle_in = [torch.cat([gate.parts[0], gate.parts[1]]) for gate in self._angle_gates]

    def energy(self, graph: Graph, positions: Tensor, lattice: Tensor) -> Tensor:
        """Total energy (eV, a double) of a graph with these positions (n, 3) and lattice (3, 3), both in Å."""
        s = self._state
        first, second = torch.from_numpy(graph.first), torch.from_numpy(graph.second)
        image = torch.from_numpy(graph.image)
        vectors = positions[first] - positions[second] - image @ lattice  # (b, 3)
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)  # (b, 1)
        n_short = graph.n_short
        basis = _radial(lengths, s["bond_basis_expansion.rbf_expansion_ag.frequencies"], ATOM_CUTOFF_A)
        e, weight_atom = linear(basis, self._embed_bond).split(_DIM, dim=1)
        short = _radial(lengths[:n_short], s["bond_basis_expansion.rbf_expansion_bg.frequencies"], BOND_CUTOFF_A)
        weight_bond = linear(short, s["bond_weights_bg.weight"])
        angles = _Angles.of(graph, vectors[:n_short] / lengths[:n_short], weight_bond) if n_short else None
        v = s["atom_embedding.embedding.weight"][torch.from_numpy(graph.atomic_numbers - 1)]
        a = self._embed_angles(angles) if angles is not None else None

        ends, other_ends = torch.cat([first, second]), torch.cat([second, first])
        weight_atom = weight_atom.repeat(2, 1)
        for i in range(_N_CONV):
            v = self._atom_convolution(i, v, e, weight_atom, ends, other_ends)
            if angles is not None and a is not None and i < _N_CONV - 1:
                e = self._bond_convolution(i, v, e, a, angles)
                if i < _N_CONV - 2:
                    a = self._angle_update(i, v, e, a, angles)
        return self._read_out(v).double().sum() + self._reference(graph)

    def _embed_angles(self, angles: _Angles) -> Tensor:
        a = linear(
            _fourier(angles.cosine, self._state["angle_basis_expansion.fourier_expansion.frequencies"]),
            self._state["angle_embedding.weight"],
        )
        return a.repeat(2, 1)

    def _atom_convolution(
        self, i: int, v: Tensor, e: Tensor, weight: Tensor, ends: Tensor, other_ends: Tensor
    ) -> Tensor:
        gate = self._atom_gates[i]
        center, neighbour = linear(v, self._atom_in[i]).split(2 * _DIM, dim=1)
        bonds = linear(e, gate.parts[1], gate.bias).repeat(2, 1)
        messages = gate.finish(center[ends] + bonds + neighbour[other_ends]) * weight
        total = torch.zeros_like(v).index_add(0, ends, messages)
        return linear(total, self._state[f"atom_conv_layers.{i}.mlp_out.layers.1.weight"]) + v

    def _bond_convolution(self, i: int, v: Tensor, e: Tensor, a: Tensor, angles: _Angles) -> Tensor:
        gate = self._bond_gates[i]
        updated = gate.finish(_mix(gate, self._bond_in[i], v, e, a, angles)) * angles.weight
        short = e[: angles.n_short]
        total = torch.zeros_like(short).index_add(0, angles.left, updated)
        short = short + linear(total, self._state[f"bond_conv_layers.{i}.mlp_out.layers.1.weight"])
        return torch.cat([short, e[angles.n_short :]])

    def _angle_update(self, i: int, v: Tensor, e: Tensor, a: Tensor, angles: _Angles) -> Tensor:
        gate = self._angle_gates[i]
        return a + gate.finish(_mix(gate, self._angle_in[i], v, e, a, angles))

    def _read_out(self, v: Tensor) -> Tensor:
        s = self._state
        x = layer_norm(v, (_DIM,), s["readout_norm.weight"], s["readout_norm.bias"])
        for layer in (0, 2, 4):
            x = silu(linear(x, s[f"mlp.layers.{layer}.weight"], s[f"mlp.layers.{layer}.bias"]))
        return linear(x, s["mlp.layers.7.weight"], s["mlp.layers.7.bias"])

    def _reference(self, graph: Graph) -> Tensor:
        return self._state["composition_model.fc.weight"][0].double()[torch.from_numpy(graph.atomic_numbers - 1)].sum()


@dataclass(frozen=True)
class _Angles:
    """Angles in both directions: of 2 a rows, the second half mirrors the first.

    Attributes:
        cosine: (a,) of the angle between the two bonds.
        center: (2 a,) vertex.
        left, right: (2 a,) the bond that is updated, and the one that it is updated by.
        weight: (2 a, 64) smooth cutoff of both bonds.
        n_short: number of bonds concerned.
    """

    cosine: Tensor
    center: Tensor
    left: Tensor
    right: Tensor
    weight: Tensor
    n_short: int

    @classmethod
    def of(cls, graph: Graph, directions: Tensor, weight_bond: Tensor) -> _Angles:
        one, two = torch.from_numpy(graph.angle_bonds)
        sign = torch.from_numpy(graph.angle_sign)
        return cls(
            cosine=(directions[one] * directions[two]).sum(dim=1) * sign,
            center=torch.from_numpy(graph.angle_center).repeat(2),
            left=torch.cat([one, two]),
            right=torch.cat([two, one]),
            weight=(weight_bond[one] * weight_bond[two]).repeat(2, 1),
            n_short=graph.n_short,
        )


def _mix(gate: _Gate, bond_in: Tensor, v: Tensor, e: Tensor, a: Tensor, angles: _Angles) -> Tensor:
    """First products of a gate over angles: (2 a, 128)."""
    left, right = linear(e[: angles.n_short], bond_in).split(2 * _DIM, dim=1)
    atoms = linear(v, gate.parts[3], gate.bias)
    return left[angles.left] + right[angles.right] + linear(a, gate.parts[2]) + atoms[angles.center]


def _radial(lengths: Tensor, frequencies: Tensor, cutoff: float) -> Tensor:
    """Bessel functions of bond lengths (b, 1) under a polynomial envelope that ends at the cutoff: (b, 31)."""
    x = lengths / cutoff
    a, b, c = -(_P + 1) * (_P + 2) / 2, _P * (_P + 2), -_P * (_P + 1) / 2
    envelope = 1 + x**_P * (a + b * x + c * x**2)
    envelope = torch.where(x < 1, envelope, torch.zeros_like(x))
    return (envelope * math.sqrt(2 / cutoff) * torch.sin(frequencies * x) / lengths).float()


def _fourier(cosine: Tensor, frequencies: Tensor) -> Tensor:
    """1/sqrt(2), sines and cosines of multiples of an angle, over sqrt(pi): (a, 31)."""
    angle = torch.acos(cosine * (1 - 1e-6))[:, None] * frequencies  # the factor keeps the derivative of acos finite
    constant = torch.full_like(cosine, 1 / math.sqrt(2))[:, None]
    return torch.cat([constant, torch.sin(angle), torch.cos(angle)], dim=1).float() / math.sqrt(math.pi)
