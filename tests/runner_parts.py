"""What tests of the runners of engines share: a tiny configuration, streams and the fake GPU."""

import contextlib
import itertools

import torch
from fake_gpu import FakeEngine, expected_audio, install_pycuda
from tiny_config import TinyConfig

from labutils.runners import tensorrt_runner
from labutils.runners.torch_graph import Captured
from labutils.trt import Profile, versions

TWO = (Profile((2, 4, 8), (1, 1, 4)), Profile((6, 10, 20), (1, 1, 2)))


CONFIG = TinyConfig()


def aligned(array, beyond=0):
    """A tensor of float32 that starts where torch's tensors on a GPU do, `beyond` bytes after."""
    room = torch.zeros(array.size + 128 + beyond // 4)
    start = (-room.data_ptr() % 512 + beyond) // 4
    return room[start : start + array.size].view(array.shape).copy_(torch.from_numpy(array))


class FakeStream:
    """Of torch; `log` notes who waits for whom."""

    numbers, log = itertools.count(7), []

    def __init__(self, device=None, handle=None):
        self.cuda_stream = next(self.numbers) if handle is None else handle

    def wait_stream(self, other):
        self.log.append((self.cuda_stream, "waits for", other.cuda_stream))

    def synchronize(self):
        pass


class Gpu:
    """The fakes of one test: `engine(...)` makes an engine, `handles` are those it ran on."""

    def __init__(self, driver):
        self.driver, self.handles, self.captures = driver, [], []
        self.current = FakeStream(handle=0)

    def engine(self, profiles=None, **options):
        return FakeEngine(CONFIG, profiles, launch=self.launch, **options)

    def launch(self, handle, work):
        self.handles.append(handle)
        stream = self.driver.streams.get(handle)
        work() if stream is None else stream.queue.append(work)

    def capture(self, forward, mel, pool=None):
        self.captures.append(tuple(mel.shape))
        before, self.current = self.current, FakeStream()
        audio = forward(mel)
        side, self.current = self.current, before
        assert self.handles[-1] == side.cuda_stream  # on the stream that is captured

        def replay():
            self.handles.append("replay")
            hop = CONFIG.hop_length
            audio.copy_(torch.from_numpy(expected_audio(mel.numpy(), hop)).view_as(audio))

        return Captured(mel, audio, replay)


def install_gpu(monkeypatch):
    """Put the fakes in place of pycuda, of torch's GPU and of TensorRT's contexts; gives a Gpu."""
    fakes = Gpu(install_pycuda(monkeypatch))
    make = "create_execution_context_without_device_memory"
    monkeypatch.setattr(versions, "context_without_memory", lambda e: getattr(e, make)())
    monkeypatch.setattr(tensorrt_runner, "_gpu", lambda device: torch.device("cpu"))
    FakeStream.log.clear()
    for name, fake in {
        "Stream": FakeStream,
        "device": lambda device: contextlib.nullcontext(),
        "current_stream": lambda device=None: fakes.current,
        "synchronize": lambda device=None: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return fakes
