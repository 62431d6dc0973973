"""Which record is shown where an experiment can not be measured, and what is said without one."""

import pytest
from record_parts import make_record, speed

from labutils import environment
from labutils.records import Experiment, RecordError, experiment, measurement, provenance


@experiment("gpu-speed", needs=("cuda", "tensorrt"), covers=[measurement])
def gpu_speed(batch=1):
    return {"ms": 2.34}


def test_without_its_needs_the_record_is_shown(folder, no_gpu):
    make_record(folder, gpu_speed, file="gpu-speed.nvidia-h200.json", arguments={"batch": 1})
    result = gpu_speed()
    assert result.recorded and result.available and not result.stale
    assert result["ms"] == 2.34 and "ms" in result and dict(result) == {"ms": 2.34}
    assert result.caption == (
        "recorded on NVIDIA H200, TensorRT 8.6.1 (2023-05), "
        "torch 2.11.0+cu130 (2026-03), 2026-11-20"
    )
    assert result.note == "not measured here: needs an NVIDIA GPU and TensorRT"
    with pytest.raises(RecordError, match="needs cuda, tensorrt"):
        gpu_speed.measure()


def test_without_needs_and_record_nothing_crashes_until_a_figure_is_read(no_gpu):
    result = gpu_speed(batch=8)
    assert not result.available and not result and result.data is None
    assert "gpu-speed--batch=8" in result.caption
    assert "gpu-speed--batch=8" in result._repr_html_() and repr(result)
    with pytest.raises(RecordError, match="no figures of gpu-speed"):
        result["ms"]


def test_out_of_memory_shows_the_record_if_there_is_one(folder):
    class OutOfMemoryError(RuntimeError):
        """Named as torch's."""

    @experiment("big")
    def big():
        raise OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemoryError):
        big()
    make_record(folder, big, file="big.nvidia-h200.json")
    result = big()
    assert result.recorded and "ran out of memory" in result.note


def test_the_newest_record_is_shown_without_a_gpu(folder, no_gpu):
    make_record(folder, speed, file="speed.nvidia-h200.json", date="2026-11-20")
    make_record(folder, speed, file="speed.nvidia-l4.json", machine="nvidia-l4", date="2026-12-01")
    make_record(
        folder, speed, file="speed.nvidia-a10.json", machine="nvidia-a10", date="2025-01-01"
    )
    assert speed.recorded().provenance["machine"] == "NVIDIA L4"


def test_the_record_of_the_same_gpu_comes_before_newer_ones(folder, monkeypatch):
    monkeypatch.setattr(environment, "has", lambda need: True)
    monkeypatch.setattr(provenance, "machine_name", lambda: "NVIDIA H200")
    make_record(folder, speed, file="speed.nvidia-h200.json", date="2026-11-20")
    make_record(folder, speed, file="speed.nvidia-l4.json", machine="nvidia-l4", date="2026-12-01")
    assert speed.recorded().provenance["machine"] == "NVIDIA H200"


def test_an_experiment_is_not_answered_by_one_with_a_longer_name(folder):
    make_record(folder, speed, file="speed-long.nvidia-h200.json", experiment="speed-long")
    assert not speed.recorded().available
    make_record(folder, speed, file="speed.nvidia-h200.json", experiment="renamed")
    assert not speed.recorded().available


def test_a_parameter_added_later_keeps_old_records_for_its_default_only(folder):
    def before(frames):
        return 1

    def after(frames, batch=1):
        return 1

    Experiment(before, "grown").measure(5, save=folder)
    grown = Experiment(after, "grown")
    assert grown.recorded(5).available and grown.recorded(5).stale
    assert not grown.recorded(5, batch=8).available


def test_a_changed_default_does_not_pass_off_the_old_record(folder):
    def before(batch=1):
        return batch

    def after(batch=8):
        return batch

    Experiment(before, "changed").measure(save=folder)
    changed = Experiment(after, "changed")
    assert not changed.recorded().available
    assert changed.recorded(batch=1).data == 1
