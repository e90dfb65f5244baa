"""Relaxation: potentials behind one adapter, a quasi-Newton relaxer, honest endings."""
