"""What reported fields say about another field, as numbers: counts, contexts and element features.

A field of k elements is described by

1. how often its elements, pairs and triples occur in reported fields of its arity, of smaller and of larger ones;
2. what is reported of its sub-fields, and of neighbours of its sub-fields;
3. its *contexts*: for each element e, the other k - 1 elements T, and the elements y for which T + y is reported.
   With a similarity s(e, y), the sum over y of s(e, y) counts the reported fields that one substitution leads to;
4. features of the elements, ordered by electronegativity, with their mean and spread.

Values over pairs, triples or contexts of one field are sorted, so that no order of the elements differs from another.

Two similarities are used. One is learned from the lists: elements are alike that occur in the same contexts,
s(x, y) = W_xy / sqrt((W_xx + 3)(W_yy + 3)) with W = sum over contexts of A_x A_y / sqrt(|A|), A the membership of the
context; the 3 keeps rare elements from being alike by chance. The other compares element properties,
s = exp(-2 d2), d2 the mean squared difference of standardised features.

A field that is itself reported is described as if it were not: its own entry is taken out of the counts of its arity
and of its contexts. **This is not enough for training**: entries taken out one at a time leave a trace (the rest of the
list still says that one is missing), and a model trained on them learns the trace. Describe training fields with the
evidence of the *other folds*: see `novalith.recipes.field_training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ELEMENTS, PhaseField
from novalith.represent.phase_field import Indices, canonical, chemistry_features, encode_fields

Features = NDArray[np.float32]

N_ELEMENTS = len(ELEMENTS)

#: Fields of more elements are mostly solid solutions; their sub-fields say little (validation: no gain beyond).
LARGEST_COUNTED = 8
#: Added to pair counts before the logarithm; pairs never seen together stay finite.
PAIR_PRIOR = 0.3
#: See the module's text: shrinks the similarity of rare elements.
SIMILARITY_PRIOR = 3.0
#: Number of eigenvectors of the pair statistics that embed the elements.
N_EMBEDDING = 12


@dataclass(frozen=True)
class ContextTable:
    """For sets of m elements: which element completes which m - 1 others.

    Attributes:
        keys: sorted keys of the contexts that occur.
        partners: (contexts, elements) how often the element completes the context.
        alike: (contexts, elements) sum of learned similarities between the element and the partners.
        nearest: (contexts, elements) the largest of these similarities.
        chemical: (contexts, elements) sum of property similarities.
    """

    keys: Indices
    partners: Features
    alike: Features
    nearest: Features
    chemical: Features

    def rows(self, contexts: Indices) -> Indices:
        """Row of each context (n, m - 1), or the last, empty row where a context never occurs."""
        wanted = _key(contexts)
        found = np.minimum(np.searchsorted(self.keys, wanted), max(len(self.keys) - 1, 0))
        if not len(self.keys):
            return np.zeros(len(wanted), dtype=np.int64)
        return np.where(self.keys[found] == wanted, found, len(self.keys))


@dataclass(frozen=True)
class Evidence:
    """Tables of what is reported.

    Attributes:
        n_fields: number of reported fields counted.
        elements: (elements,) fields that hold the element.
        pairs: arity -> (elements, elements) fields of that arity that hold the pair.
        triples: arity -> (elements, elements, elements) likewise.
        affinity: (elements, elements) log of how much more often a pair occurs than its elements would by chance.
        embedding: (elements, `N_EMBEDDING`) leading eigenvectors of the positive part of `affinity`.
        reported: m -> contexts of the reported fields of m elements.
        contained: m -> contexts of the m-element parts of larger reported fields.
    """

    n_fields: int
    elements: Features
    pairs: dict[int, Features]
    triples: dict[int, Features]
    affinity: Features
    embedding: Features
    reported: dict[int, ContextTable]
    contained: dict[int, ContextTable]


def gather_evidence(fields: Sequence[PhaseField], arity: int) -> Evidence:
    """Count what `fields` say, as far as a field of `arity` elements needs it.

    Args:
        fields: reported fields; those of more than `LARGEST_COUNTED` elements are passed over.
        arity: of the fields to be described, 2 to 5.
    """
    groups = {
        k: np.sort(encode_fields([f for f in fields if len(f) == k]), axis=1) for k in range(1, LARGEST_COUNTED + 1)
    }
    return gather_encoded({k: rows.reshape(len(rows), k) for k, rows in groups.items()}, arity)


def gather_encoded(groups: dict[int, Indices], arity: int) -> Evidence:
    """The same from arity -> (n, arity) element indices, each row ascending."""
    elements = np.zeros(N_ELEMENTS)
    for rows in groups.values():
        elements += np.bincount(rows.ravel(), minlength=N_ELEMENTS)
    pairs = {k: _pair_counts(rows) for k, rows in groups.items()}
    triples = {k: _triple_counts(groups[k]) for k in (3, arity)} | {
        k: _triple_counts(groups[k]) for k in groups if k > arity
    }
    together = sum(pairs.values(), np.zeros((N_ELEMENTS, N_ELEMENTS), np.float32))
    chance = np.maximum(np.outer(elements, elements), PAIR_PRIOR)
    affinity = np.log((together + PAIR_PRIOR) * max(elements.sum(), 1.0) / chance)
    similarity = learned_similarity(groups)
    reported = {m: _contexts(groups[m], similarity) for m in range(2, arity + 1)}
    contained = {m: _contexts(_parts(groups, m), similarity) for m in range(max(2, min(3, arity)), arity + 1)}
    return Evidence(
        int(sum(map(len, groups.values()))),
        elements.astype(np.float32),
        pairs,
        triples,
        affinity.astype(np.float32),
        _embedding(affinity),
        reported,
        contained,
    )


def _pair_counts(rows: Indices) -> Features:
    counts = np.zeros(N_ELEMENTS**2)
    for i, j in combinations(range(rows.shape[1]), 2):
        counts += np.bincount(rows[:, i] * N_ELEMENTS + rows[:, j], minlength=N_ELEMENTS**2)
    square = counts.reshape(N_ELEMENTS, N_ELEMENTS)
    return (square + square.T).astype(np.float32)


def _triple_counts(rows: Indices) -> Features:
    """Indexed by ascending triples only."""
    counts = np.zeros(N_ELEMENTS**3, dtype=np.float32)
    for triple in combinations(range(rows.shape[1]), 3):
        np.add.at(counts, _key(rows[:, triple]), 1)
    return counts


def _parts(groups: dict[int, Indices], m: int) -> Indices:
    """Every m-element part of the reported fields of more than m elements, with repeats."""
    parts = [rows[:, c] for k, rows in groups.items() if k > m for c in combinations(range(k), m)]
    return np.concatenate(parts) if parts else np.empty((0, m), dtype=np.int64)


def _key(rows: Indices) -> Indices:
    """One whole number a row, different for different rows."""
    key = rows[:, 0].astype(np.int64)
    for i in range(1, rows.shape[1]):
        key = key * N_ELEMENTS + rows[:, i]
    return key


def _membership(rows: Indices) -> tuple[Indices, Indices, Indices]:
    """Sorted keys of contexts, and (context row, completing element) of every occurrence."""
    m = rows.shape[1]
    completing = np.concatenate([rows[:, i] for i in range(m)])
    keys, position = np.unique(
        np.concatenate([_key(np.delete(rows, i, axis=1)) for i in range(m)]), return_inverse=True
    )
    return keys, position, completing


def learned_similarity(groups: dict[int, Indices]) -> Features:
    """Similarity of elements (0 to 1, zero on the diagonal) from the contexts of fields of two to five elements."""
    from scipy.sparse import csr_matrix, diags

    W = np.zeros((N_ELEMENTS, N_ELEMENTS))
    for m in range(2, 6):
        if not len(groups.get(m, ())):
            continue
        keys, position, completing = _membership(groups[m])
        A = csr_matrix((np.ones(len(position)), (position, completing)), shape=(len(keys), N_ELEMENTS))
        W += (A.T @ diags(np.asarray(A.sum(axis=1)).ravel() ** -0.5) @ A).toarray()
    norm = np.sqrt(np.diag(W) + SIMILARITY_PRIOR)
    similarity = W / np.outer(norm, norm)
    np.fill_diagonal(similarity, 0.0)
    return similarity.astype(np.float32)


def chemical_similarity() -> Features:
    """Similarity of elements (0 to 1, zero on the diagonal) from their properties."""
    x = chemistry_features().values
    similarity = np.exp(-2.0 * ((x[:, None] - x[None]) ** 2).mean(axis=-1))
    np.fill_diagonal(similarity, 0.0)
    return similarity.astype(np.float32)


def _contexts(rows: Indices, similarity: Features) -> ContextTable:
    from scipy.sparse import csr_matrix

    keys, position, completing = _membership(rows)
    # One row more than there are contexts: the empty one that unknown contexts point to.
    counts = csr_matrix((np.ones(len(position), np.float32), (position, completing)), shape=(len(keys) + 1, N_ELEMENTS))
    counts.sum_duplicates()
    member = counts.copy()
    member.data[:] = 1.0
    nearest = np.zeros((len(keys) + 1, N_ELEMENTS), np.float32)
    occurring = member.tocoo()
    order = np.argsort(occurring.row, kind="stable")
    if len(order):
        starts = np.flatnonzero(np.diff(occurring.row[order], prepend=-1))
        nearest[: len(keys)] = np.maximum.reduceat(similarity[occurring.col[order]], starts, axis=0)
    return ContextTable(keys, counts.toarray(), member @ similarity, nearest, member @ chemical_similarity())


def _embedding(affinity: NDArray[np.float64]) -> Features:
    positive = np.maximum(affinity, 0.0)
    values, vectors = np.linalg.eigh((positive + positive.T) / 2)
    leading = np.argsort(-np.abs(values))[:N_EMBEDDING]
    return (vectors[:, leading] * np.sqrt(np.abs(values[leading]))).astype(np.float32)


def describe_fields(evidence: Evidence, indices: Indices) -> Features:
    """Describe fields of one arity by the evidence: (n, k) element indices in any order -> (n, features).

    The arity must be the one that the evidence was gathered for.
    """
    rows = np.sort(indices, axis=1)
    arity = rows.shape[1]
    itself = evidence.reported[arity].partners[evidence.reported[arity].rows(rows[:, 1:]), rows[:, 0]]
    blocks = [
        *_pair_blocks(evidence, rows, itself),
        *_triple_blocks(evidence, rows, itself),
        *_subfield_blocks(evidence, rows),
        *_context_blocks(evidence, rows, itself),
        _chemistry_block(rows),
    ]
    return np.concatenate(blocks, axis=1, dtype=np.float32)


def _ordered(columns: Sequence[NDArray[np.float32]]) -> Features:
    stacked: Features = np.stack(columns, axis=1)
    stacked.sort(axis=1)
    return stacked


def _pair_blocks(evidence: Evidence, rows: Indices, itself: Features) -> list[Features]:
    arity = rows.shape[1]
    couples = [(rows[:, i], rows[:, j]) for i, j in combinations(range(arity), 2)]
    larger = sum((c for k, c in evidence.pairs.items() if k > arity), np.zeros((N_ELEMENTS, N_ELEMENTS), np.float32))
    tables = [np.log1p(larger), evidence.affinity, evidence.embedding @ evidence.embedding.T]
    tables += [np.log1p(evidence.pairs[k]) for k in (2, 3) if k < arity]
    blocks = [_ordered([table[a, b] for a, b in couples]) for table in tables]
    if arity > 2:
        blocks.append(_ordered([np.log1p(evidence.pairs[arity][a, b] - itself) for a, b in couples]))
    singles = [np.log1p(evidence.elements[rows[:, i]] - itself) for i in range(arity)]
    return [*blocks, _ordered(singles)]


def _triple_blocks(evidence: Evidence, rows: Indices, itself: Features) -> list[Features]:
    arity = rows.shape[1]
    keys = [_key(rows[:, triple]) for triple in combinations(range(arity), 3)]
    if not keys:
        return []
    larger = sum((c for k, c in evidence.triples.items() if k > arity), np.zeros(N_ELEMENTS**3, np.float32))
    blocks = [_ordered([np.log1p(larger[key]) for key in keys])]
    if arity > 3:
        blocks.append(_ordered([np.log1p(evidence.triples[arity][key] - itself) for key in keys]))
    return blocks


def _subfield_blocks(evidence: Evidence, rows: Indices) -> list[Features]:
    """For m = 2 .. k - 1: which m-element parts are reported, and how many neighbours of them are."""
    arity = rows.shape[1]
    blocks = []
    for m in range(2, arity):
        parts = [rows[:, c] for c in combinations(range(arity), m)]
        blocks += [_ordered(columns) for columns in zip(*(_part(evidence.reported[m], p) for p in parts), strict=True)]
        if m in evidence.contained:
            near = (_part(evidence.contained[m], p)[1] for p in parts)
            blocks.append(_ordered(list(near)))
    return blocks


def _part(table: ContextTable, part: Indices) -> tuple[Features, Features]:
    """Whether a part is in the table, and log(1 + neighbours by one substitution)."""
    neighbours = np.zeros(len(part), np.float32)
    for i in range(part.shape[1]):
        at = table.rows(np.delete(part, i, axis=1))
        neighbours += table.alike[at, part[:, i]]
    return table.partners[at, part[:, -1]], np.log1p(neighbours)


def _context_blocks(evidence: Evidence, rows: Indices, itself: Features) -> list[Features]:
    """The k contexts of the field itself, among reported fields and among parts of larger ones."""
    arity = rows.shape[1]
    table, larger = evidence.reported[arity], evidence.contained[arity]
    columns: dict[str, list[Features]] = {"alike": [], "nearest": [], "chemical": [], "partners": [], "larger": []}
    for i in range(arity):
        rest, own = np.delete(rows, i, axis=1), rows[:, i]
        at = table.rows(rest)
        columns["alike"].append(table.alike[at, own])
        columns["nearest"].append(table.nearest[at, own])
        columns["chemical"].append(table.chemical[at, own])
        columns["partners"].append(np.log1p(table.partners.sum(axis=1)[at] - itself))
        columns["larger"].append(larger.alike[(beyond := larger.rows(rest)), own])
    contained = np.log1p(larger.partners[beyond, own])
    sums = [np.log1p(sum(columns[name])) for name in ("alike", "chemical", "larger")]
    logs = [_ordered([np.log1p(c) for c in columns[name]]) for name in ("alike", "chemical", "larger")]
    return [*logs, _ordered(columns["nearest"]), _ordered(columns["partners"]), np.stack([*sums, contained], axis=1)]


def _chemistry_block(rows: Indices) -> Features:
    x = chemistry_features().values[canonical(rows)]
    return np.concatenate([x.reshape(len(x), -1), x.mean(axis=1), x.std(axis=1)], axis=1).astype(np.float32)
