"""TensorRT engines: built, kept, loaded, with what differs between 8.6, 10 and 11 in one place.

options = BuildOptions(profiles=(Profile(frames=(32, 400, 1000)),))
cached = EngineCache("engines").get("vocoder-fp16.onnx", options)  # built once, then read
with load_engine(cached) as engine: ...                            # for a runner

Without TensorRT all of this can be imported; what needs it says how to install it.
"""

from labutils.trt.build import BuildError, BuildOptions, BuiltEngine, build
from labutils.trt.cache import CachedEngine, EngineCache
from labutils.trt.engine import Engine, EngineError, load_engine
from labutils.trt.messages import Messages
from labutils.trt.profiles import Profile, ProfileError

__all__ = [
    "BuildError",
    "BuildOptions",
    "BuiltEngine",
    "CachedEngine",
    "Engine",
    "EngineCache",
    "EngineError",
    "Messages",
    "Profile",
    "ProfileError",
    "build",
    "load_engine",
]
