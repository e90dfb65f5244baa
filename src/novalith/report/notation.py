"""How formulas, space groups and numbers are written for readers, as HTML that is safe by construction.

Markup is built only from parts that were checked against a closed alphabet; anything else is escaped and shown as text.
"""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

from novalith.data.targets import TARGETS
from novalith.materials import ATOMIC_NUMBERS

_FORMULA_PART = re.compile(r"([A-Z][a-z]?)|([()])|(\d+(?:\.\d+)?)")
_SPACEGROUP = re.compile(r"[ABCFIPR](?:[-_/]|\d|[abcdemn])*")
_SPACEGROUP_PART = re.compile(r"-(\d)|_(\d)|([A-Za-z0-9/])")
_SUBSCRIPT_DIGITS = str.maketrans("0123456789.", "₀₁₂₃₄₅₆₇₈₉.")

MINUS = "−"


def _formula_parts(formula: str) -> list[tuple[str, str]] | None:
    """(symbol or bracket, amount) pairs, or None where the text is not a formula."""
    parts: list[tuple[str, str]] = []
    position = 0
    while position < len(formula):
        match = _FORMULA_PART.match(formula, position)
        if match is None:
            return None
        symbol, bracket, amount = match.groups()
        if symbol and symbol not in ATOMIC_NUMBERS:
            return None
        parts.append((symbol or bracket or "", amount or ""))
        position = match.end()
    return parts


def formula_html(formula: str) -> Markup:
    """A formula with its amounts as subscripts; text that is not a formula comes out escaped.

    >>> formula_html("Li3PO4")
    Markup('Li<sub>3</sub>PO<sub>4</sub>')
    """
    parts = _formula_parts(formula)
    if parts is None:
        return escape(formula)
    return Markup("").join(
        Markup("<sub>{}</sub>").format(amount) if amount else Markup("{}").format(symbol) for symbol, amount in parts
    )


def formula_text(formula: str) -> str:
    """A formula with subscript characters, for labels in figures; text that is not a formula comes out unchanged.

    >>> formula_text("Li3PO4")
    'Li₃PO₄'
    """
    parts = _formula_parts(formula)
    if parts is None:
        return formula
    return "".join(symbol or amount.translate(_SUBSCRIPT_DIGITS) for symbol, amount in parts)


def spacegroup_html(symbol: str) -> Markup:
    """A Hermann-Mauguin symbol with bars over rotoinversions and subscripts on screw axes.

    >>> spacegroup_html("P2_1/c")
    Markup('<i>P</i>2<sub>1</sub>/<i>c</i>')
    """
    if not _SPACEGROUP.fullmatch(symbol):
        return escape(symbol)
    pieces = []
    for bar, screw, plain in _SPACEGROUP_PART.findall(symbol):
        if bar:
            pieces.append(Markup('<span class="bar">{}</span>').format(bar))
        elif screw:
            pieces.append(Markup("<sub>{}</sub>").format(screw))
        else:
            pieces.append(Markup("<i>{}</i>").format(plain) if plain.isalpha() else escape(plain))
    return Markup("").join(pieces)


def number(value: float, digits: int) -> str:
    """A number with a fixed number of decimals and a true minus sign; a rounded zero has no sign.

    >>> number(-0.0312, 3)
    '−0.031'
    """
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def mev(ev: float) -> str:
    """An energy per atom given in eV as meV with one decimal."""
    return number(1000 * ev, 1)


def significant(value: float, digits: int = 3) -> str:
    """A number with a fixed number of significant digits and a true minus sign, never in powers of ten.

    >>> significant(123.46), significant(0.04512, 2)
    ('123', '0.045')
    """
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return number(value, min(decimals, 6))


def property_name(name: str) -> str:
    """The name of a property in words; a name that is none comes out unchanged.

    >>> property_name("band_gap")
    'Band gap'
    """
    return name.replace("_", " ").capitalize() if name in TARGETS else name


def property_unit(name: str) -> str:
    """The unit of a property, empty where it has none.

    >>> property_unit("bulk_modulus")
    'GPa'
    """
    return TARGETS[name].unit if name in TARGETS else ""
