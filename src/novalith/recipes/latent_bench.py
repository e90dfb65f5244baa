"""The figures on the latent space of every model that the bench keeps: ways, neighbourhoods, and the search.

Every share is one of all codes that were decoded. A model with a condition is told the energy of the training crystal
that a code comes from, or the mean of two in the proportion of the way. *Valid* crystals pass the screens of cells and
distances. The search and the random draws it is held against decode equally many codes and are judged by the same
predictor, which no model was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError, InputError
from novalith.materials import Crystal, Verdict
from novalith.recipes.bench_tables import Table, table_of_records
from novalith.recipes.crystal_models import MODELS, CrystalModel, Floats, SampleRequest, load_crystal_model
from novalith.recipes.latent import Way, centre, spherical
from novalith.recipes.latent_search import Goal, Judge, SearchSettings, screened, search, structure_judge
from novalith.recipes.voxel_bench import VoxelBench
from novalith.store.checkpoint import checkpoint_kind

#: Places on a way, the ends among them.
SHARES = tuple(float(t) for t in np.linspace(0.0, 1.0, 9))
#: Spreads around a training crystal, in standard deviations of the codes.
SPREADS = (0.0, 0.1, 0.25, 0.5, 1.0)
#: What the search looks for.
GOAL = Goal("formation_energy", "min")
#: Ways tried to find one whose every code decodes, for the picture.
WAYS_TRIED = 12


def kept_models(keep: Path) -> Iterator[tuple[str, CrystalModel]]:
    """(file name without its ending, model) of every checkpoint of a model with codes below a folder.

    Raises:
        InputError: there is none.
    """
    paths = [p for p in sorted(keep.rglob("*.safetensors")) if checkpoint_kind(p) in MODELS]
    if not paths:
        raise InputError(
            f"{keep} holds no checkpoint of {', '.join(MODELS)}. Put one there, or run one of these parts first."
        )
    return ((path.stem, load_crystal_model(path)) for path in paths)


def tables(bench: VoxelBench, tell: Callable[[str], None]) -> list[Table]:
    """Ways, neighbourhoods and searches of every model kept."""
    ways: list[dict[str, Any]] = []
    around: list[dict[str, Any]] = []
    searches: list[dict[str, Any]] = []
    for name, model in kept_models(bench.keep):
        rng = np.random.default_rng(bench.seed)
        tell(f"{name}: ways between training crystals")
        ways += way_records(name, model, max(2, bench.n // 10), rng=rng)
        tell(f"{name}: neighbourhoods of training crystals")
        around += neighbourhood_records(name, model, bench.n, rng=rng)
        tell(f"{name}: the search against random draws")
        searches += search_records(name, model, structure_judge(GOAL.target), effort(bench.n), rng=rng)
    return [
        table_of_records("Spherical ways between two training crystals drawn at random", ways),
        table_of_records("Codes drawn around training crystals", around),
        table_of_records("Lowest predicted formation energy (eV/atom) in the latent space", searches),
    ]


def effort(n: int) -> SearchSettings:
    """A search that decodes about `n` codes."""
    full = SearchSettings()
    return SearchSettings(full.generations, max(8, n // full.generations), full.parents, full.step)


def way_records(name: str, model: CrystalModel, n: int, *, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Shares that decode at the ends and between them, over `n` ways."""
    ways = [_random_way(model, rng=rng) for _ in range(n)]
    outcomes = [outcome for codes, energies in ways for outcome in _decoded(model, codes, energies)]
    inner = np.tile([0.0 < t < 1.0 for t in SHARES], n)
    records = []
    for where, chosen in (("at the ends", ~inner), ("between", inner)):
        some = [o for o, c in zip(outcomes, chosen, strict=True) if c]
        records.append({"model": name, "where": where, "ways": n} | _shares(some))
    return records


def _random_way(model: CrystalModel, *, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Codes between two training crystals, and the energies between theirs."""
    rows = rng.choice(len(model.training_codes), 2, replace=False)
    a, b = np.asarray(model.training_codes[rows], dtype=np.float32)
    first, last = (float(e) for e in model.training_labels[GOAL.target][rows])
    energies = np.array([(1 - t) * first + t * last for t in SHARES], dtype=np.float32)
    return spherical(a, b, SHARES, centre(model)), energies


def _decoded(model: CrystalModel, codes: Floats, energies: NDArray[np.floating[Any]]) -> list[Crystal | Verdict]:
    """What codes decode to, each told its own energy where the model has such a condition."""
    if GOAL.target not in model.targets:
        return model.decode(codes, SampleRequest())
    requests = (SampleRequest(targets={GOAL.target: float(energy)}) for energy in energies)
    return [model.decode(code[None], request)[0] for code, request in zip(codes, requests, strict=True)]


def richest_way(model: CrystalModel, *, rng: np.random.Generator) -> Way:
    """Of some ways between training crystals, the one with the most valid crystals, and of those the most formulas."""
    ways = []
    for _ in range(WAYS_TRIED):
        codes, _ = _random_way(model, rng=rng)  # the images of a strip have one condition
        ways.append(Way(SHARES, codes, tuple(model.decode(codes, SampleRequest()))))
    return max(ways, key=_richness)


def _richness(way: Way) -> tuple[int, int]:
    crystals = [o for o in screened(way.outcomes) if isinstance(o, Crystal)]
    return len(crystals), len({c.composition.formula for c in crystals})


def neighbourhood_records(name: str, model: CrystalModel, n: int, *, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Shares that decode, are valid, keep the formula of the base, or have one that the model was not trained on."""
    scale = np.asarray(model.training_codes, dtype=np.float32).std(axis=0)
    known = set(model.training_formulas)
    records = []
    for spread in SPREADS:
        rows = rng.integers(len(model.training_codes), size=n)
        base = np.asarray(model.training_codes[rows], dtype=np.float32)
        noise = rng.standard_normal(base.shape).astype(np.float32)
        codes = base + np.float32(spread) * scale * noise
        outcomes = _decoded(model, codes, model.training_labels[GOAL.target][rows])
        pairs = [
            (o.composition.formula, model.training_formulas[r])
            for o, r in zip(outcomes, rows, strict=True)
            if isinstance(o, Crystal)
        ]
        records.append(
            {"model": name, "spread": spread}
            | _shares(outcomes)
            | {
                "formula of the base": sum(found == own for found, own in pairs) / n,
                "formula not trained on": sum(found not in known for found, _ in pairs) / n,
            }
        )
    return records


def search_records(
    name: str, model: CrystalModel, judge: Judge, how: SearchSettings, *, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """The optimum that the search finds, and the best of equally many random draws."""
    decoded = how.generations * how.population
    records: list[dict[str, Any]] = [{"model": name, "way": "search", "codes": decoded, "counted": 0}]
    try:
        found = search(model, GOAL, judge, settings=how, rng=rng).found
        records[0] |= {"counted": len(found)} | _told(found[0].value, found[0].uncertainty, found[0].crystal)
    except EmptyResultError as error:
        records[0]["note"] = str(error)
    drawn = [o for o in screened(model.sample(decoded, SampleRequest(), rng=rng)) if isinstance(o, Crystal)]
    if not drawn:
        return [*records, {"model": name, "way": "random draws", "codes": decoded, "counted": 0}]
    said = judge(drawn)
    losses = GOAL.losses(said)
    place = int(np.argmin(losses))
    counted = int(np.isfinite(losses).sum())
    records.append({"model": name, "way": "random draws", "codes": decoded, "counted": counted})
    if counted:
        records[-1] |= _told(float(said.value[place]), float(said.uncertainty[place]), drawn[place])
    lowest = int(np.argmin(model.training_labels[GOAL.target]))
    value, formula = float(model.training_labels[GOAL.target][lowest]), model.training_formulas[lowest]
    return [*records, {"model": name, "way": "training crystals, by label", "best": value, "formula": formula}]


def _told(value: float, uncertainty: float, crystal: Crystal) -> dict[str, Any]:
    return {"best": value, "uncertainty": uncertainty, "formula": crystal.composition.formula}


def _shares(outcomes: Sequence[Crystal | Verdict]) -> dict[str, Any]:
    n = max(1, len(outcomes))
    decoded = sum(isinstance(o, Crystal) for o in outcomes)
    valid = sum(isinstance(o, Crystal) for o in screened(outcomes))
    return {"codes": len(outcomes), "decoded": decoded / n, "valid": valid / n}
