"""Stability: elemental references and convex hulls, one energy scale at a time."""
