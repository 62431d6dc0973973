"""INT8 for vocoders: what to quantise, with which ranges, and what it costs in sound.

ranges = calibrate("vocoder.onnx", segments(clips, config))     # what values the layers see
quantize("vocoder.onnx", "int8.onnx", ranges)                   # Q/DQ around the inner convolutions
rows = sensitivity("vocoder.onnx", ranges, score)               # one layer at a time
choose(rows, budget=30, measure=measure)                        # as much INT8 as the budget allows
"""

from labutils.quantization.calibration import METHODS, Ranges, SegmentReader, calibrate, segments
from labutils.quantization.dynamic import DynamicReport, dynamic_report, saved_bytes
from labutils.quantization.fp8 import fp8_layers
from labutils.quantization.layers import Layer, groups_of, layers_of, network_costs, select
from labutils.quantization.mixed import Choice, choose, combined_snr
from labutils.quantization.sensitivity import Sensitivity, sensitivity
from labutils.quantization.static import TARGETS, default_exclusions, placement, quantize

__all__ = [
    "METHODS",
    "TARGETS",
    "Choice",
    "DynamicReport",
    "Layer",
    "Ranges",
    "SegmentReader",
    "Sensitivity",
    "calibrate",
    "choose",
    "combined_snr",
    "default_exclusions",
    "dynamic_report",
    "fp8_layers",
    "groups_of",
    "layers_of",
    "network_costs",
    "placement",
    "quantize",
    "saved_bytes",
    "segments",
    "select",
    "sensitivity",
]
