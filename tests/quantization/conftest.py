"""Each tiny vocoder is exported and calibrated once; what uses one is in the xdist group
"quantization", so that one worker makes them all."""

import pytest
from quantization_parts import Case


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """`case("melgan")` is the Case of that family, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("quantization"), {}

    def get(family="hifigan"):
        if family not in made:
            made[family] = Case(family, folder)
        return made[family]

    return get
