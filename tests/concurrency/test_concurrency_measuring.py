"""Rows of contexts, runners and pools under load, and what the experiments of them need."""

import pytest
from concurrency_parts import SleepingLane, runner_of

from labutils.concurrency import command, experiments, measuring, services
from labutils.runners import RunnerError, TorchRunner


def test_rows_of_contexts_hold_errors_and_the_memory_that_was_taken(monkeypatch, model):
    opened = []

    class Fake:
        def __init__(self, engine, shape, count, graph=False):
            if count == 3:
                raise RuntimeError("no memory for a context")
            opened.append((shape, count, graph))
            self.lanes = [SleepingLane(0.001) for _ in range(count)]

        def __enter__(self):
            return self.lanes

        def __exit__(self, *error):
            return None

    taken = iter(range(0, 10**9, 10**6))
    monkeypatch.setattr(measuring, "open_contexts", Fake)
    monkeypatch.setattr(measuring, "_gpu_bytes", lambda: next(taken))
    engine = type("Engine", (), {"n_mels": 10})()
    ways = {"one": (False, False), "each": (True, True)}
    rows = list(measuring.context_rows(engine, model.config, 20, (1, 3), ways=ways, seconds=0.02))
    assert [(row["way"], row["lanes"]) for row in rows] == [
        ("one", 1), ("one", 3), ("each", 1), ("each", 3)
    ]  # fmt: skip
    assert rows[1]["error"].endswith("no memory for a context") and rows[0]["gpu_mb"] == 1.0
    assert opened == [((1, 10, 20), 1, False), ((1, 10, 20), 1, True)]
    late = list(
        measuring.context_rows(engine, model.config, 20, (1,), ways=ways, late=lambda: True)
    )
    assert all("not measured: time" in row["error"] for row in late)
    batch = list(measuring.batch_rows(engine, model.config, 20, (1, 4), seconds=0.02))
    assert opened[-1] == ((4, 10, 20), 1, True)
    calls = batch[1]["calls"]
    # The last call counts by its part.
    assert 4 * (calls - 1) / 0.02 < batch[1]["per_second"] <= 4 * calls / 0.02 * 1.0001


def test_rows_of_runners_and_pools(model, mels):
    rows = list(measuring.runner_rows(lambda: TorchRunner(model), mels[0], (1, 2), seconds=0.05))
    assert [row["lanes"] for row in rows] == [1, 2] and all(r["per_second"] > 0 for r in rows)
    make = {"a": runner_of(model), "b": runner_of(model)}
    row = measuring.pool_row(make, mels, audio_seconds=3.0, way="x")
    assert row["workers"] == 2 and row["seconds"] > 0
    assert sum(row["done"].values()) == len(mels)
    assert row["times_real_time"] == pytest.approx(3.0 / row["seconds"])

    def broken():
        raise RunnerError("no GPU here")

    row = measuring.pool_row({"a": broken}, mels, audio_seconds=3.0)
    assert "no GPU here" in row["error"] and "seconds" not in row


def test_experiments_say_what_they_need_and_the_command_names_them(tmp_path, capsys):
    every = (
        experiments.shared, experiments.contexts, experiments.memory, services.leak,
        services.devices,
    )  # fmt: skip
    for made in every:
        assert "tensorrt" in made.needs and made.name.startswith("08-")
    assert services.devices.needs == ("tensorrt", "2 gpus")
    with pytest.raises(SystemExit):
        command.main(["--save", str(tmp_path)])
    assert "--contexts" in capsys.readouterr().err
    if services.devices.missing():
        assert command.main(["--devices", "--save", str(tmp_path)]) == 1
        assert list(tmp_path.iterdir()) == []
