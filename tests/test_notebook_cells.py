"""Cells of notebooks that otherwise only a GPU reaches, run on a GPU made of host memory."""

from contextlib import contextmanager
from types import SimpleNamespace

import fake_gpu
import nbformat
import numpy as np
import pytest
from tiny_config import TinyConfig

from labutils import ROOT
from labutils.cuda import Buffers


def cells(notebook, *marks):
    """The code cells that hold these marks, in the notebook's order, as one program."""
    nodes = nbformat.read(ROOT / "notebooks" / notebook, as_version=4).cells
    found = [node.source for node in nodes if node.cell_type == "code"]
    found = [source for source in found if any(mark in source for mark in marks)]
    assert len(found) == len(marks), f"{notebook}: one code cell for each of {marks}"
    return "\n\n".join(found)


@pytest.fixture
def without_waiting(monkeypatch):
    """Notebook 06's cell after its clean-up, which leaves three names in `hand`."""
    driver = fake_gpu.install_pycuda(monkeypatch)
    config = TinyConfig()
    mels = np.random.default_rng(0).standard_normal((2, 1, config.n_mels, 6)).astype(np.float32)
    engine = fake_gpu.FakeEngine(
        config, launch=lambda handle, work: driver.streams[handle].queue.append(work)
    )

    @contextmanager
    def load_engine(plan):
        assert plan == b"plan"

        def new_context():
            context = fake_gpu.FakeContext(engine)
            context.profile = 0
            return context

        yield SimpleNamespace(new_context=new_context)

    sound = fake_gpu.expected_audio(mels[0], config.hop_length)[:, None]
    names = {
        "np": np, "Buffers": Buffers, "load_engine": load_engine,
        "log_mel": mels[0], "other_mel": mels[1],
        "hand": SimpleNamespace(audio=sound, messages=None, plan=b"plan"),
        "step": lambda *args, **options: lambda function: function,
    }  # fmt: skip
    program = cells("06_running_engines_with_pycuda.ipynb", "def one_after_the_other", "06-no-wait")
    exec(compile(program, "notebook 06", "exec"), names)
    return names["without_waiting"]


def test_pinned_memory_read_at_once_holds_the_sentence_before(without_waiting):
    found = {(row["memory"], row["read"]): list(row.values())[2:] for row in without_waiting()}
    right, before = [100.0, 0.0], [0.0, 100.0]
    assert found == {
        ("pinned", "at once"): before,
        ("pinned", "after waiting"): right,
        ("pageable", "at once"): right,
        ("pageable", "after waiting"): right,
    }
