"""Proposers of materials: substitution, prototypes, random symmetric crystals, search."""
