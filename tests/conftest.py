"""Settings of all tests: one thread per worker, no windows, kernels apart; and JupyterLab."""

import os
import sys

# Workers share the cores. Set before anything imports torch; the tests' kernels inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ):
        os.environ.setdefault(_name, "1")

import matplotlib
import pytest

matplotlib.use("Agg")  # not by MPLBACKEND: kernels would inherit it and show no figures


@pytest.fixture(scope="session", autouse=True)
def _own_ipython_folder(tmp_path_factory):
    """Kernels neither run the reader's IPython start-up files nor share a history database."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
        yield


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory):
    """A JupyterLab server with its own home. Tests that use it carry xdist_group("browser")."""
    from lab_browser import LabServer

    with LabServer(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def open_in_lab(lab_server):
    """`open_in_lab(path)` opens a copy of a notebook in a browser: a `lab_browser.NotebookPage`."""
    from lab_browser import Browser, chromium

    if not (program := chromium()):
        if os.environ.get("WORKBOOK_NEEDS_BROWSER"):
            pytest.fail("no Chromium here, and WORKBOOK_NEEDS_BROWSER is set")
        pytest.skip("no Chromium or Chrome here")
    # One browser a test: while Playwright runs, nothing else here may start an event loop.
    with Browser(program) as browser:
        yield lambda path: browser.open(lab_server, path)


@pytest.fixture
def tensorrt(monkeypatch):
    """`tensorrt("10.16.1", ...)` puts a stand-in of that version in TensorRT's place."""
    from fake_tensorrt import fake

    from labutils.trt import messages

    def install(version="8.6.1", **behaviour):
        module = fake(version, **behaviour)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        messages._logger.cache_clear()
        return module

    yield install
    messages._logger.cache_clear()
