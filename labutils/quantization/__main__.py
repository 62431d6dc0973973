"""The command `python -m labutils.quantization`: measure and write the records of notebook 10."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from labutils import vocoders
from labutils.engines import runs
from labutils.quantization import experiments, on_gpu

_DONE = {
    "sensitivity": (
        "each layer alone in INT8, on the processor (a minute)",
        [(experiments.sensitivities, {"target": t}) for t in ("onnxruntime", "tensorrt")],
    ),
    "calibration": ("calibration sets and methods", [(experiments.calibration, {})]),
    "engines": ("TensorRT engines with INT8, on an NVIDIA GPU", [(on_gpu.int8_engines, {})]),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is named; returns 0, or 1 where something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m labutils.quantization")
    words = "; ".join(f"{name}: {what}" for name, (what, _) in _DONE.items())
    parser.add_argument("what", choices=sorted(_DONE), help=words)
    parser.add_argument("--vocoder", default="hifigan-small", choices=sorted(vocoders.PRESETS))
    parser.add_argument("--save", type=Path, required=True, help="folder for the records")
    parser.add_argument("--seconds", type=float, default=500.0, help="no engine begins later")
    options = parser.parse_args(arguments)
    runs.use(options, "labutils.quantization")
    chosen = [
        (made, {"vocoder": options.vocoder} | given) for made, given in _DONE[options.what][1]
    ]
    return runs.measure_all(chosen, options.save)


if __name__ == "__main__":
    raise SystemExit(main())
