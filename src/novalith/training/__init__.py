"""The one training loop of the project."""
