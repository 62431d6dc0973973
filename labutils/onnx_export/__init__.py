"""From a generator in PyTorch to one ONNX file of any batch and length, and its proofs.

report = export(model, "vocoder.onnx")              # float32, opset 17
parity(model, "vocoder.onnx", lengths=[5, 100])     # truthy where it agrees with PyTorch
tensorrt_ready("vocoder.onnx")                      # what TensorRT 8.6, 10 and 11 say to it
to_fp16("vocoder.onnx", "vocoder-fp16.onnx")
"""

from labutils.onnx_export.comparing import ParityReport, parity
from labutils.onnx_export.evaluator import evaluate
from labutils.onnx_export.exporters import EXPORTERS
from labutils.onnx_export.files import OnnxError
from labutils.onnx_export.half import first_layers, last_layers, to_fp16
from labutils.onnx_export.readiness import VERSIONS, Readiness, tensorrt_ready
from labutils.onnx_export.rounding import keep_sums
from labutils.onnx_export.writing import ExportReport, export

__all__ = [
    "EXPORTERS",
    "VERSIONS",
    "ExportReport",
    "OnnxError",
    "ParityReport",
    "Readiness",
    "evaluate",
    "export",
    "first_layers",
    "keep_sums",
    "last_layers",
    "parity",
    "tensorrt_ready",
    "to_fp16",
]
