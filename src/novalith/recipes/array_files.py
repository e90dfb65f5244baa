"""Crystals written as arrays of a representation, and read back: in = done + set aside, each with its reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from novalith.data.door import read_structures
from novalith.data.formula_csv import csv_rows, safe_cell
from novalith.data.writers import cif_text
from novalith.errors import EmptyResultError
from novalith.materials import Verdict
from novalith.represent.point_cloud import cell_parameters
from novalith.represent.registry import cell_for, codec_for, codec_of_settings, codec_settings
from novalith.store.arrays import ArrayFile, array_file
from novalith.store.files import make_folder, write_atomic

Tell = Callable[[str], None]

#: Table beside the structures of `decode_file`.
TABLE = "decoded.csv"
HEADER = ("id", "formula", "atoms", "a", "b", "c", "alpha", "beta", "gamma", "file", "reason")


@dataclass(frozen=True)
class ArrayCounts:
    """What became of the structures or arrays given: given = done + set_aside.

    Attributes:
        given: structures found, or ids of a file of arrays.
        done: encoded, or decoded.
        reasons: rule -> how many were set aside by it.
    """

    given: int
    done: int
    reasons: Mapping[str, int]

    @property
    def set_aside(self) -> int:
        """Structures or arrays without an answer."""
        return self.given - self.done

    @property
    def told(self) -> str:
        """How many were set aside, rule by rule."""
        return f"{self.set_aside} set aside" + (f" ({_listed(self.reasons)})" if self.reasons else "")


def encode_file(structures: Path, representation: str, out: Path, tell: Tell = lambda _: None) -> ArrayCounts:
    """Encode all structures of a file or folder into one NPZ file.

    Args:
        structures: what `novalith.data.door.read_structures` reads.
        representation: a name of `novalith.represent.registry`.
        out: the file to write; an old one is replaced when all is done.
        tell: told of every structure that is set aside, and of what was read otherwise than written.

    Raises:
        InputError: it holds no structures, or there is no such representation.
        StorageError: a file cannot be read or written.
        EmptyResultError: not one structure could be encoded; nothing was written.
    """
    reading = read_structures(structures)
    codec = codec_for(representation, [crystal for _, crystal in reading.accepted])
    prepared = cell_for(codec)
    rules: Counter[str] = Counter()
    for name, note in reading.notes:
        tell(f"{name}: {note}")
    for name, said in reading.refused:
        rules[said.rule] += 1
        tell(f"{name}: {said.reason}")
    given = len(reading.accepted) + len(reading.refused)
    done = 0
    with array_file(out, {"representation": codec.name, "settings": codec_settings(codec)}) as write:
        for name, crystal in reading.accepted:
            arrays = codec.encode(prepared(crystal))
            if isinstance(arrays, Verdict):
                rules[arrays.rule] += 1
                tell(f"{name}: {arrays.reason}")
            else:
                write(name, arrays)
                done += 1
        if not done:
            raise EmptyResultError(
                f"None of {given} structures could be encoded as {representation!r} ({_listed(rules)}); nothing was "
                "written."
            )
    return ArrayCounts(given, done, dict(rules))


def decode_file(arrays: Path, out: Path, tell: Tell = lambda _: None) -> ArrayCounts:
    """Decode a file of `encode_file` into CIF files (P1) and a table with the reason of every failure.

    Args:
        arrays: NPZ file with its representation in it.
        out: folder; files of the same names are replaced.
        tell: told of everything that has no crystal.

    Raises:
        StorageError: a file cannot be read or written.
        CorruptDataError: the file is not one of ours, or damaged.
        EmptyResultError: it holds nothing.
    """
    source = ArrayFile(arrays)
    if not len(source):
        raise EmptyResultError(f"{arrays} holds no arrays.")
    codec = codec_of_settings(str(source.header.get("representation")), source.header.get("settings", {}))
    make_folder(out)
    rules: Counter[str] = Counter()
    taken: set[str] = set()
    with csv_rows(out / TABLE, HEADER) as write:
        for i, id_ in enumerate(source.ids):
            crystal = codec.decode(source.arrays(i))
            if isinstance(crystal, Verdict):
                rules[crystal.rule] += 1
                tell(f"{id_}: {crystal.reason}")
                write((safe_cell(id_), *[""] * 9, crystal.reason))
                continue
            file = _file_name(id_, taken)
            write_atomic(out / file, cif_text(crystal, symprec=None, name=id_, notes=[f"decoded from {codec.name}"]))
            numbers = np.concatenate(cell_parameters(np.asarray(crystal.lattice)))
            shown = [f"{x:.5f}" for x in numbers]
            write((safe_cell(id_), crystal.composition.formula, crystal.n_atoms, *shown, file, ""))
    source.close()
    return ArrayCounts(len(source), len(source) - sum(rules.values()), dict(rules))


def _file_name(id_: str, taken: set[str]) -> str:
    """A file name that an id cannot lead out of the folder, different from those taken."""
    stem = re.sub(r"[^A-Za-z0-9.#_-]+", "_", id_).strip("._")[:100] or "crystal"
    name, k = f"{stem}.cif", 2
    while name.lower() in taken:
        name, k = f"{stem}_{k}.cif", k + 1
    taken.add(name.lower())
    return name


def _listed(rules: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {number}" for rule, number in sorted(rules.items()))
