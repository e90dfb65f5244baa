"""Rules: one a file, each a question to a material answered by a `Verdict` with its reason and source."""
