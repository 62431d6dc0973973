"""Memory, copies, streams and events of an NVIDIA GPU through pycuda, in torch's own context.

    with cuda.Buffers() as own:
        stream = own.stream()
        mel = own.pinned((1, 80, 400), "float32")   # host memory that the GPU reads by itself
        mel_gpu = own.device_buffer(mel.nbytes)
        mel_gpu.upload(mel.array, stream)           # returns at once
        stream.synchronize()                        # now it is there
    # all of it is free again, whatever happened in the block

pycuda is imported by the first call that needs it. Threads may share these objects; what runs on
one stream runs in order.
"""

from labutils.cuda.buffers import Buffers
from labutils.cuda.context import CudaError, OutOfMemoryError, activate, memory_info
from labutils.cuda.memory import DeviceBuffer, PinnedArray
from labutils.cuda.queues import Event, Stream

__all__ = [
    "Buffers",
    "CudaError",
    "DeviceBuffer",
    "Event",
    "OutOfMemoryError",
    "PinnedArray",
    "Stream",
    "activate",
    "memory_info",
]
