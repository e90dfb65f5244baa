"""Generators: arrays and an optional condition in, arrays out."""
