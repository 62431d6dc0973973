"""The network whose variants the tests of the baseline measure."""

import pytest
from tiny_network import tiny_model


@pytest.fixture
def model():
    return tiny_model()
