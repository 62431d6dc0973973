"""Runners with CUDA graphs, on a stand-in for the capture, and with torch.compile: no GPU."""

import numpy as np
import pytest
import torch
from tiny_config import make_mel
from tiny_network import Tiny, tiny_model

from labutils.runners import CompiledRunner, GraphRunner, RunnerError, torch_graph


@pytest.fixture
def model():
    return tiny_model()


class Recorder:
    """Stands in for capture_graph: the replay runs the network eagerly on the fixed input."""

    def __init__(self):
        self.captured, self.replays = [], 0

    def __call__(self, forward, mel, pool):
        audio = forward(mel).clone()
        self.captured.append((tuple(mel.shape), pool))

        def replay():
            self.replays += 1
            audio.copy_(forward(mel))

        return torch_graph.Captured(mel, audio, replay, pool or "the pool")


@pytest.fixture
def recorder():
    return Recorder()


def graph_runner(model, recorder, **more):
    return GraphRunner(model, device="cpu", dtype="float32", capture=recorder, **more)


def test_a_graph_per_shape_in_one_pool(model, recorder):
    with graph_runner(model, recorder) as runner:
        for batch, frames in ((1, 7), (2, 7), (1, 7), (2, 9)):
            mel = make_mel(batch, frames=frames, seed=frames)
            with torch.inference_mode():
                expected = model(torch.from_numpy(mel))[:, 0].numpy()
            np.testing.assert_array_equal(runner.infer(mel), expected)
        assert [shape for shape, _ in recorder.captured] == [(1, 5, 7), (2, 5, 7), (2, 5, 9)]
        assert [pool for _, pool in recorder.captured] == [None, "the pool", "the pool"]
        assert runner.shapes == [(2, 7), (1, 7), (2, 9)]
        assert "CUDA graph" in runner.name


def test_the_graph_not_used_for_longest_goes(model, recorder):
    with graph_runner(model, recorder, max_graphs=2) as runner:
        for frames in (4, 5, 4, 6):
            runner.infer(make_mel(frames=frames))
        assert runner.shapes == [(1, 4), (1, 6)]


def test_prepared_calls_of_one_shape_do_not_mix_their_inputs(model, recorder):
    first, second = make_mel(seed=1), make_mel(seed=2)
    with graph_runner(model, recorder) as runner:
        expected = [runner.infer(first), runner.infer(second)]
        calls = [runner.prepare(first), runner.prepare(second)]
        for index in (0, 1, 1, 0):
            np.testing.assert_array_equal(calls[index]()[:, 0].numpy(), expected[index])
        before = recorder.replays
        calls[0]()
        assert recorder.replays == before + 1 and len(recorder.captured) == 1


def test_a_closed_graph_runner_refuses(model, recorder):
    runner = graph_runner(model, recorder)
    launch = runner.prepare(make_mel())
    runner.close()
    with pytest.raises(RunnerError, match="closed"):
        launch()
    assert runner.shapes == []


def test_bad_construction(model):
    with pytest.raises(RunnerError, match="CUDA graphs need an NVIDIA GPU"):
        GraphRunner(model, device="cpu")
    with pytest.raises(ValueError, match='mode "fast" is not one of default'):
        CompiledRunner(model, mode="fast")
    with pytest.raises(ValueError, match="keep 1 or more"):
        GraphRunner(model, device="cpu", max_graphs=0, capture=lambda *a: None)


def test_without_a_mode_nothing_is_compiled(model):
    with CompiledRunner(model, mode=None) as runner:
        assert type(runner._model) is Tiny and "compiled" not in runner.name
