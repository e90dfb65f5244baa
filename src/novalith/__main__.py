"""`python -m novalith` is `novalith`."""

from novalith.cli.main import run

run()
