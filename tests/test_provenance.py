"""Where a figure comes from: the commit, the GPU, and the words of a caption."""

import subprocess

from labutils import environment
from labutils.records import provenance


def test_commit_of_a_checkout_and_of_a_copy_without_history(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip

    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setenv("LABUTILS_COMMIT", "abc123")
    facts = provenance.collect()
    assert (facts["commit"], facts["dirty"]) == ("abc123", None)
    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "one")
    facts = provenance.collect()
    assert len(facts["commit"]) == 40 and facts["dirty"] is False
    (tmp_path / "file").write_text("2")
    assert provenance.collect()["dirty"] is True


def test_gpu_provenance(monkeypatch):
    torch = environment.require("torch")
    monkeypatch.setattr(environment, "has", lambda need: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    properties = type("Properties", (), {"total_memory": 141 * 2**30})
    for name, value in {
        "get_device_name": "NVIDIA H200",
        "device_count": 2,
        "get_device_properties": properties,
        "get_device_capability": (9, 0),
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *a, value=value: value)
    gpu = provenance.machine.Gpu("NVIDIA H200", "580.65", 140.4, sm_clock=1980.0)
    monkeypatch.setattr(provenance.machine, "gpus", lambda: [gpu])
    monkeypatch.setattr(provenance.machine, "driver_cuda", lambda: "13.0")
    monkeypatch.setattr(
        provenance, "version_of", lambda name: {"torch": "2.11.0+cu130"}.get(name, "8.6.1")
    )
    facts = provenance.collect(needs=["tensorrt"], tactic_sources="none")
    assert facts["machine"] == "NVIDIA H200" and facts["gpu"]["count"] == 2
    assert facts["gpu"]["driver"] == "580.65" and facts["gpu"]["clocks"]["sm"] == 1980
    assert facts["cuda"] == {"torch": "13.0", "driver": "13.0"}
    assert facts["tensorrt"]["bindings"] == "8.6.1"
    assert facts["tensorrt"]["tactic_sources"] == "none"
    words = provenance.describe(facts, needs=["tensorrt"], full=False)
    assert words.startswith("2 x NVIDIA H200, TensorRT 8.6.1, torch 2.11.0, ")
