"""One interface for every way to run a vocoder: a context manager with `infer(mel) -> audio`."""

from labutils.runners.base import MelError, Runner, RunnerError, check_mel
from labutils.runners.bucketed_runner import BucketedRunner
from labutils.runners.onnx_runner import OnnxRunner
from labutils.runners.pycuda_runner import PycudaRunner
from labutils.runners.tensorrt_runner import TensorRTRunner
from labutils.runners.torch_graph import CompiledRunner, GraphRunner
from labutils.runners.torch_runner import TorchRunner

__all__ = [
    "BucketedRunner",
    "CompiledRunner",
    "GraphRunner",
    "MelError",
    "OnnxRunner",
    "PycudaRunner",
    "Runner",
    "RunnerError",
    "TensorRTRunner",
    "TorchRunner",
    "check_mel",
]
