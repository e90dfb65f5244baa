import pytest

from novalith.relax.potentials import load_potential


@pytest.fixture(scope="session")
def chgnet():
    return load_potential("chgnet")
