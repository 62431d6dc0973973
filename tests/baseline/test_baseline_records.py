"""The record of the baseline, made on the processor: what it holds, its command, its sources."""

import pytest
import torch
from tiny_config import make_mel

from labutils import baseline, records, vocoders
from labutils.baseline import trials, variants
from labutils.baseline.variants import Variant


@pytest.fixture
def experiment(model, tmp_path, monkeypatch):
    """The experiment on the processor with a tiny network, and a folder of records of its own."""
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    monkeypatch.setattr(variants, "GPU", (Variant("FP32"), Variant("BF16", "bfloat16")))
    monkeypatch.setattr(vocoders, "create", lambda name: model)
    monkeypatch.setattr(baseline, "FRAMES", {"melgan": 7})
    model.config.__dict__["mel"] = vocoders.preset("melgan").mel
    monkeypatch.setattr(
        vocoders, "speech_like_mel", lambda mel, f, batch: torch.from_numpy(make_mel(batch, f))
    )
    on_cpu = trials.rows
    monkeypatch.setattr(trials, "rows", lambda *a, device, **k: on_cpu(
        *a, device="cpu", **k, runs=3, max_seconds=0.1))  # fmt: skip
    made = records.Experiment(baseline.measured.__wrapped__, "03-baseline")
    monkeypatch.setattr(baseline, "measured", made)
    return made


def test_the_record_holds_rows_and_baselines_and_is_read_again(experiment, tmp_path):
    done = experiment.measure(vocoder="melgan", save=tmp_path)
    assert done["complete"] and [r["batch"] for r in done["rows"]] == [1, 8, 1, 8]
    assert done["weights"] == "random, seed 0"
    for batch in (1, 8):
        assert baseline.of("melgan", batch) == baseline.best(done["rows"], batch)
    assert baseline.of("hifigan-v1") == {}
    path = baseline.picture(["melgan", "hifigan-v1"], [1, 8], tmp_path / "bars.png").save(
        tmp_path / "again.png"
    )
    assert path.stat().st_size > 10_000 and (tmp_path / "bars.png").exists()


def test_the_command_writes_the_record(experiment, tmp_path, monkeypatch):
    monkeypatch.setenv(baseline.SECONDS, "1")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    arguments = ["--vocoder", "melgan", "--save", str(tmp_path), "--seconds", "30"]
    assert baseline.main(arguments) == 0
    (path,) = tmp_path.glob("*.json")
    assert path.name.startswith("03-baseline--vocoder=melgan.")
    assert baseline.main([*arguments[:-1], "0"]) == 1


def test_the_command_without_a_gpu_says_so(tmp_path, caplog, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setenv(baseline.SECONDS, "1")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    assert baseline.main(["--vocoder", "melgan", "--save", str(tmp_path)]) == 1
    assert "needs cuda" in caplog.text and list(tmp_path.iterdir()) == []


def test_a_record_made_by_the_command_is_not_stale_in_a_notebook():
    """Functions of a module that runs as a command are called __main__: none may be covered."""
    covered = set(baseline.measured.source["covers"])
    assert {
        "labutils.baseline.variants",
        "labutils.baseline.trials",
        "labutils.baseline.layouts",
    } < covered
    assert all(name.startswith("labutils.") for name in covered)
    assert "labutils.baseline" not in covered
