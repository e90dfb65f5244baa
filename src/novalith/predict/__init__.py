"""Predictors: a value never travels without its uncertainty."""
