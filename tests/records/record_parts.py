"""What tests of records share: an experiment, and records of other machines."""

import json

from labutils.records import experiment


@experiment("speed")
def speed(frames=100, dtype="float32"):
    """Any docstring."""
    return [{"model": "melgan", "frames": frames, "ms": 4.7361}, {"model": "v1", "ms": 19.6}]


def make_record(folder, instance, *, file, machine="nvidia-h200", date="2026-11-20", **changes):
    """Write a record as another machine would have."""
    record = {
        "format": 1,
        "experiment": instance.name,
        "arguments": {},
        "machine": machine,
        "data": {"ms": 2.34},
        "provenance": {
            "date": f"{date}T10:00:00+00:00",
            "machine": machine.upper().replace("-", " "),
            "gpu": {"count": 1},
            "packages": {"torch": "2.11.0+cu130", "tensorrt": "8.6.1"},
        },
        "source": instance.source,
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(record))
