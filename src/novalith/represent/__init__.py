"""Crystals, compositions and genes as arrays, and back, with a stated round-trip error."""
