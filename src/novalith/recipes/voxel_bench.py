"""The figures on voxel images: what encoding and decoding alone loses, and what a crystal costs in memory and time."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from novalith.data.door_checks import RefusalError
from novalith.data.door_cif import read_cif
from novalith.data.library import Library
from novalith.data.plain_cif import read_plain_cif
from novalith.materials import Crystal, Verdict
from novalith.recipes.bench_tables import Table, existing, table_of_records
from novalith.recipes.voxel_round_trip import RoundTrip, round_trip
from novalith.represent.density_species import DensitySpecies, primitive
from novalith.represent.point_slots import PointSlots
from novalith.represent.registry import CODECS, cell_for, codec_for
from novalith.represent.voxels import VoxelCodec

#: What a decoder must reach without a network: edges (Å), angles (degrees), atoms (Å).
LIMITS = (0.05, 0.5, 0.05)
#: Largest crystal that is tried; every image takes fewer sites.
_MOST_SITES = 200
_TABLE = "mp_structures.parquet"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class VoxelBench:
    """What to run.

    Attributes:
        data: folder of the public tables; None for the bundled ones.
        keep: folder for models, training sets and results; what it holds is not made again.
        n: how many crystals are tried or drawn.
        size: of the networks.
        epochs: None for the defaults.
        workers: relaxations at a time.
        seed: of everything random.
    """

    data: Path | None
    keep: Path
    n: int = 500
    size: str = "default"
    epochs: int | None = None
    workers: int = 1
    seed: int = 0


@dataclass
class _Tally:
    """What happened to the crystals tried with one codec."""

    tried: int = 0
    outside: Counter[str] = field(default_factory=Counter)
    trips: list[RoundTrip] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    encode_s: float = 0.0
    decode_s: float = 0.0
    numbers: int = 0
    bytes: int = 0


def tables(bench: VoxelBench, tell: Tell) -> list[Table]:
    """Errors of every representation without a network, and memory and time of a crystal in it."""
    source = "bundled crystals" if bench.data is None else _TABLE
    tallies = {}
    for name in CODECS:
        tell(f"Encoding and decoding {bench.n} crystals as {name}")
        tallies[name] = _tally(name, bench)
        for sentence in tallies[name].failed:
            tell(f"{name}: {sentence}")
    title = f"Encode and decode without a network, {bench.n} random crystals of {source} inside the limits of each"
    return [
        table_of_records(f"{title}, seed {bench.seed}", [_error_record(n, t) for n, t in tallies.items()]),
        table_of_records(
            "Memory and processor time of one crystal, mean; arrays as encoded, one thread",
            [_cost_record(n, t, tallies[PointSlots.name]) for n, t in tallies.items()],
        ),
        table_of_records(
            "Crystals tried and found outside of the limits",
            [
                {"representation": n, "crystals": k, "reason": reason}
                for n, t in tallies.items()
                for reason, k in t.outside.most_common()
            ],
        ),
    ]


def random_crystals(data: Path | None, seed: int) -> Iterator[tuple[str, Crystal]]:
    """Known crystals in random order: of a folder's table of the Materials Project, or the bundled ones."""
    rng = np.random.default_rng(seed)
    if data is None:
        known = Library().structures
        for i in rng.permutation(len(known)):
            yield known[i].id, known[i].crystal
        return
    import pyarrow.parquet as pq

    table = pq.read_table(existing(data / _TABLE), columns=["material_id", "cif"])
    for i in rng.permutation(table.num_rows):
        id_, text = (table[c][int(i)].as_py() for c in ("material_id", "cif"))
        try:
            crystal = read_plain_cif(text, id_, _MOST_SITES)
            found = [crystal] if crystal else [p.outcome for p in read_cif(text, id_, _MOST_SITES)]
        except RefusalError:
            continue  # larger than every limit here
        yield from ((id_, c) for c in found[:1] if isinstance(c, Crystal))


def _tally(name: str, bench: VoxelBench) -> _Tally:
    rng, tally = np.random.default_rng(bench.seed), _Tally()
    for id_, crystal in random_crystals(bench.data, bench.seed):
        if len(tally.trips) + len(tally.failed) == bench.n:
            break
        codec = _codec(name, crystal, rng)
        given = cell_for(codec)(crystal)
        tally.tried += 1
        said = codec.check(given)
        if said.passed:
            _try(tally, codec, id_, given)
        else:
            tally.outside[re.sub(r"[0-9.]*[0-9]", "#", said.reason.split(";")[0])] += 1
    return tally


def _codec(name: str, crystal: Crystal, rng: np.random.Generator) -> VoxelCodec:
    """Points in slots for this crystal; a repeating box at a random offset."""
    if name == DensitySpecies.name:
        x, y, z = rng.random(3) * 10.0
        return DensitySpecies((float(x), float(y), float(z)))
    return codec_for(name, [crystal])


def _try(tally: _Tally, codec: VoxelCodec, id_: str, given: Crystal) -> None:
    start = time.process_time()
    arrays = codec.encode(given)
    tally.encode_s += time.process_time() - start
    if isinstance(arrays, Verdict):
        tally.failed.append(f"{id_}: {arrays.reason}")
        return
    tally.numbers += sum(a.size for a in arrays.values())
    tally.bytes += sum(a.nbytes for a in arrays.values())
    start = time.process_time()
    back = codec.decode(arrays)
    tally.decode_s += time.process_time() - start
    if isinstance(back, Verdict):
        tally.failed.append(f"{id_}: {back.reason}")
        return
    repeating = isinstance(codec, DensitySpecies)
    trip = round_trip(primitive(given) if repeating else given, back, same_cell=not repeating)
    tally.trips.append(trip)
    if not trip.within(*LIMITS):
        tally.failed.append(
            f"{id_}: edges {trip.edge_a:.3g} Å, angles {trip.angle_deg:.3g}°, atoms {trip.atom_a:.3g} Å"
        )


def _error_record(name: str, tally: _Tally) -> dict[str, Any]:
    inside = max(1, tally.tried - sum(tally.outside.values()))
    edges, angles, atoms = LIMITS
    trips: Sequence[RoundTrip] = tally.trips
    good = [t for t in trips if t.within(*LIMITS)]
    return {
        "representation": name,
        "tried": tally.tried,
        "inside": inside,
        "decoded": len(trips),
        f"edges <= {edges:g} A": sum(t.edge_a <= edges for t in trips) / inside,
        f"angles <= {angles:g} deg": sum(t.angle_deg <= angles for t in trips) / inside,
        f"atoms <= {atoms:g} A": sum(t.atom_a <= atoms for t in trips) / inside,
        "all three": len(good) / inside,
        "largest edge, A": f"{max((t.edge_a for t in good), default=0.0):.1e}",
        "largest angle, deg": f"{max((t.angle_deg for t in good), default=0.0):.1e}",
        "largest atom, A": f"{max((t.atom_a for t in good), default=0.0):.1e}",
    }


def _cost_record(name: str, tally: _Tally, points: _Tally) -> dict[str, Any]:
    encoded = max(1, tally.tried - sum(tally.outside.values()))
    of_points = points.bytes / max(1, points.tried - sum(points.outside.values()))
    return {
        "representation": name,
        "numbers": round(tally.numbers / encoded),
        "bytes": round(tally.bytes / encoded),
        "ratio to points": round(tally.bytes / encoded / max(1.0, of_points)),
        "encode, ms": round(1e3 * tally.encode_s / encoded, 2),
        "decode, ms": round(1e3 * tally.decode_s / encoded, 2),
    }
