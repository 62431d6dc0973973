"""What tests of quantization share: a tiny vocoder of each family, exported and calibrated."""

import numpy as np
from tiny_vocoders import tiny

from labutils import quantization, runners
from labutils.onnx_export import export

FAMILIES = ("hifigan", "melgan", "bigvgan")


class Case:
    def __init__(self, family, folder):
        preset = {"hifigan": "hifigan-v2", "melgan": "melgan", "bigvgan": "bigvgan-v2-24khz"}
        self.model = tiny(preset[family])
        self.path = export(self.model, folder / f"{family}.onnx", exporter="legacy").path
        random = np.random.default_rng(0)
        self.mels = [random.normal(-4, 2, (1, 10, 24)).astype(np.float32) for _ in range(3)]
        self.ranges = quantization.calibrate(self.path, self.mels)
        self.layers = quantization.layers_of(self.path)

    def sound(self, path, mel=None):
        with runners.OnnxRunner(path, self.model.config, threads=1) as runner:
            return runner.infer(self.mels[0] if mel is None else mel)[0]


def quantized(case, tmp_path, **how):
    return quantization.quantize(case.path, tmp_path / "int8.onnx", case.ranges, **how)
