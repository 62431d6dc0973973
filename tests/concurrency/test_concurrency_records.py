"""The experiments of notebook 08 with stand-ins for engines and GPUs: what their records hold."""

import contextlib
import itertools
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from labutils import records, vocoders
from labutils.concurrency import earlier, experiments, makers, measuring, mistakes, services
from labutils.concurrency.contexts import LentEngine
from labutils.engines import settings
from labutils.engines.building import Built
from labutils.roofline import Ceilings
from labutils.runners import TorchRunner
from labutils.trt import versions


def measured(made, folder, **given):
    """The record of an experiment without its needs."""
    experiment = records.Experiment(made.__wrapped__, made.name)
    return experiment.measure(save=folder, **given)


class Lane:
    def enqueue(self):
        self.ends = time.perf_counter() + 0.002

    def synchronize(self):
        time.sleep(max(0.0, self.ends - time.perf_counter()))


@contextlib.contextmanager
def lanes(engine, shape, count, *, graph=False):
    yield [Lane() for _ in range(count)]


class FakeEngine:
    n_mels, plan_bytes, scratch_bytes = 80, 10**6, 2 * 10**6

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


@pytest.fixture
def no_gpu(monkeypatch):
    asked = []

    def built(vocoder, given, *, batch=1, seconds=None):
        asked.append((vocoder, batch))
        return Built(Path("x.plan"), 7.0)

    monkeypatch.setenv(settings.SECONDS, "100")
    monkeypatch.setattr(experiments, "_built", built)
    monkeypatch.setattr(experiments, "load_engine", lambda path: FakeEngine())
    roof = Ceilings("cuda", 4000.0, {"float16": 600.0}, 2.0)
    monkeypatch.setattr(experiments, "ceilings", lambda *a, **k: roof)
    monkeypatch.setattr(measuring, "open_contexts", lanes)
    counter = itertools.count(0, 10**6)
    monkeypatch.setattr(measuring, "_gpu_bytes", lambda: next(counter))
    return asked


def test_contexts_in_every_way_and_batches_beside_them(no_gpu, monkeypatch, tmp_path):
    rows, batches = measuring.context_rows, measuring.batch_rows
    monkeypatch.setattr(measuring, "context_rows", lambda *a, **k: rows(*a, seconds=0.01, **k))
    monkeypatch.setattr(measuring, "batch_rows", lambda *a, **k: batches(*a, seconds=0.01, **k))
    done = measured(experiments.contexts, tmp_path, most=2)
    ways = [(r["way"], r["frames"], r["lanes"]) for r in done["rows"]]
    assert len(ways) == len(set(ways)) == 3 * 2 * (len(measuring.WAYS) + 1)
    assert all(row["times_real_time"] > 0 and "error" not in row for row in done["rows"])
    assert no_gpu == [("hifigan-v1", 1), ("hifigan-v1", 2)]
    assert set(done["ceilings"]) == {"32", "172", "862"}
    # The arithmetic of a frame does not depend on how many there are.
    assert done["ceilings"]["32"] == pytest.approx(done["ceilings"]["862"], rel=0.02)
    assert done["activation_mb"] == 2.0 and done["build_seconds"]["batch 1"] == 7.0


def test_contexts_stay_where_the_second_build_fails(no_gpu, monkeypatch, tmp_path):
    once = experiments._built

    def built(vocoder, given, *, batch=1, seconds=None):
        if batch > 1:
            raise TimeoutError("not built within 20 s")
        return once(vocoder, given)

    monkeypatch.setattr(experiments, "_built", built)
    rows = measuring.context_rows
    monkeypatch.setattr(measuring, "context_rows", lambda *a, **k: rows(*a, seconds=0.01, **k))
    done = measured(experiments.contexts, tmp_path, most=2)
    assert "not built within 20 s" in done["rows"][-1]["error"]
    assert sum("per_second" in row for row in done["rows"]) == 3 * 2 * len(measuring.WAYS)


def test_what_was_tried_to_share(no_gpu, monkeypatch, tmp_path):
    asked = []

    def isolated(task, *arguments, timeout):
        asked.append((task.rpartition(":")[2], *arguments))
        if arguments[-2:] == (True, True):
            raise mistakes.IsolatedError("its process ended with status -11: no word")
        return {"wrong": 0}

    monkeypatch.setattr(mistakes, "isolated", isolated)
    done = measured(experiments.shared, tmp_path)
    assert [call[0] for call in asked] == ["one_profile"] * 2 + ["one_context"] * 2 + [
        "two_contexts"
    ] * 3
    assert [call[1] for call in asked[2:]] == ["x.plan"] * 5
    assert [row.get("wrong") for row in done["sounds"]] == [0, 0, 0, None, 0]
    assert "status -11" in done["sounds"][3]["the process"]
    for task, *arguments in asked:  # the functions exist and take so many arguments
        assert getattr(mistakes, task).__code__.co_argcount == len(arguments)


def test_the_ledger_comes_from_a_process_of_its_own(no_gpu, monkeypatch, tmp_path):
    def isolated(task, plan, vocoder, frames):
        assert (task, plan) == ("labutils.concurrency.memory:who_holds", "x.plan")
        return [{"step": vocoder, "change (MB)": float(frames)}]

    monkeypatch.setattr(experiments, "isolated", isolated)
    done = measured(experiments.memory, tmp_path)
    assert list(done) == [{"step": "hifigan-v1", "change (MB)": 862.0}]


class Engine(TorchRunner):
    """In place of TensorRTRunner."""

    def __init__(self, path, config, **options):
        from tiny_vocoders import tiny

        super().__init__(tiny("hifigan-small"))
        self.options, self.held = options, []

    def infer(self, mel):
        if self.options.get("max_graphs", 0) > 16:
            self.held.append(mel)
        return np.zeros((1, mel.shape[2]), np.float32)

    def launch(self, mel):
        return torch.zeros(10)


def test_a_hunt_in_four_ways(no_gpu, monkeypatch, tmp_path):
    state = {"GPU": 0}

    def device_bytes(device):
        state["GPU"] += 10**6
        return state["GPU"]

    monkeypatch.setattr(services, "TensorRTRunner", Engine)
    monkeypatch.setattr(services, "device_bytes", device_bytes)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    done = measured(services.leak, tmp_path, runs=40)
    assert [row["GPU"]["calls"] for row in done.values()] == [40, 40, 300, 40]
    assert all(row["GPU"]["leaks"] for row in done.values())
    assert not any(row["torch's tensors"]["leaks"] for row in done.values())


def test_a_queue_over_devices_and_data_parallel(no_gpu, monkeypatch, tmp_path):
    config = vocoders.preset("hifigan-small")

    class Fake(TorchRunner):
        def __init__(self, *arguments, device="cpu", **options):
            from tiny_vocoders import tiny

            super().__init__(tiny("hifigan-small"))
            self.config = config

        def _infer(self, mel):
            return np.zeros((len(mel), config.output_length(mel.shape[2])), np.float32)

    monkeypatch.setattr(makers, "tensorrt_runner", Fake)
    monkeypatch.setattr(makers, "torch_runner", Fake)
    monkeypatch.setattr(services, "ProcessRunner", lambda make: make())
    monkeypatch.setattr(services, "data_parallel_row", lambda vocoder, mels, used, **k: {
        "way": "DataParallel", "GPUs": len(used), "per_second": 10.0 / len(used)})  # fmt: skip
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    done = measured(services.devices, tmp_path, vocoder="hifigan-small", frames=8, count=12)
    rows = done["rows"]
    assert [(row["GPUs"], row.get("workers")) for row in rows] == [
        (1, 1), (2, 2), (1, 1), (2, 2), (1, 2), (2, 4), (1, 1), (2, 2), (1, 2), (2, 4),
        (1, None), (2, None),
    ]  # fmt: skip
    assert all("error" not in row for row in rows)
    assert all(row["scaling"] == 1.0 for row in rows if row["GPUs"] == 1)
    assert rows[-1]["scaling"] == 0.5
    assert all(sum(row["done"].values()) == 12 for row in rows if "done" in row)


def test_contexts_on_lent_memory_get_it_before_their_profile(monkeypatch):
    order = []

    class Context:
        active_optimization_profile = -1

        def set_optimization_profile_async(self, profile, stream):
            order.append(("profile", profile, stream))
            return True

    engine = SimpleNamespace(scratch_bytes=100, engine="an engine", n_mels=80)
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda size, dtype, device: real(size, dtype=dtype))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: order.append("wait"))
    monkeypatch.setattr(versions, "context_without_memory", lambda engine: Context())
    monkeypatch.setattr(
        versions, "lend_memory", lambda c, address, nbytes: order.append(("lent", address, nbytes))
    )
    lent = LentEngine(engine)
    assert lent.n_mels == 80
    lent.new_context(profile=1, stream=5)
    lent.new_context(profile=1, stream=6)
    assert order[0] == order[3] == ("lent", lent.scratch.data_ptr(), 100)
    assert order[1:3] == [("profile", 1, 5), "wait"] and order[4] == ("profile", 1, 6)


def test_records_of_other_notebooks_are_read_without_their_cells(tmp_path, monkeypatch):
    found = earlier("03-launches")
    assert found.recorded and found.caption.startswith("recorded on ")
    assert earlier("03-batching").arguments["frames"] > 0
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    (tmp_path / "03-launches.here.json").write_text("{")
    none = earlier("03-launches")
    assert not none and "there is no record 03-launches yet" in none.caption
