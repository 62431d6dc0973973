"""A stand-in for TensorRT 8.6, 10 or 11, to test on any machine what labutils.trt asks of it.

Its plans are JSON. It has the members that differ between the versions, and no member that the
version lacks: code that uses one fails here as it would there.
"""

import enum
import json
import types

MEMBERS = {  # what each version has of the enumerations that differ
    8: {
        "NetworkDefinitionCreationFlag": {"EXPLICIT_BATCH": 0},
        "BuilderFlag": {"FP16": 0, "INT8": 1, "TF32": 7, "SPARSE_WEIGHTS": 8,
                        "PREFER_PRECISION_CONSTRAINTS": 9},
        "PreviewFeature": {"PROFILE_SHARING_0806": 2},
        "TacticSource": {"CUBLAS": 0, "CUBLAS_LT": 1, "CUDNN": 2, "EDGE_MASK_CONVOLUTIONS": 3,
                         "JIT_CONVOLUTIONS": 4},
    },
    10: {
        "NetworkDefinitionCreationFlag": {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1},
        "BuilderFlag": {"FP16": 0, "INT8": 1, "TF32": 6, "SPARSE_WEIGHTS": 7,
                        "PREFER_PRECISION_CONSTRAINTS": 8},
        "PreviewFeature": {"PROFILE_SHARING_0806": 0},
        "TacticSource": {"CUBLAS": 0, "CUDNN": 2, "EDGE_MASK_CONVOLUTIONS": 3,
                         "JIT_CONVOLUTIONS": 4},
        "ExecutionContextAllocationStrategy": {"STATIC": 0, "ON_PROFILE_CHANGE": 1,
                                               "USER_MANAGED": 2},
    },
    11: {
        "NetworkDefinitionCreationFlag": {"STRONGLY_TYPED": 0},
        "BuilderFlag": {"TF32": 6, "SPARSE_WEIGHTS": 7},
        "PreviewFeature": {"ALIASED_PLUGIN_IO_10_03": 0},
        "TacticSource": {"EDGE_MASK_CONVOLUTIONS": 0, "JIT_CONVOLUTIONS": 1},
        "ExecutionContextAllocationStrategy": {"STATIC": 0, "ON_PROFILE_CHANGE": 1,
                                               "USER_MANAGED": 2},
    },
}  # fmt: skip
COMMON = {
    "MemoryPoolType": {"WORKSPACE": 0},
    "ProfilingVerbosity": {"LAYER_NAMES_ONLY": 0, "DETAILED": 1},
    "TensorIOMode": {"NONE": 0, "INPUT": 1, "OUTPUT": 2},
    "DataType": {"FLOAT": 0, "HALF": 1, "INT8": 2, "INT32": 3},
    "Severity": {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4},
}


def fake(version="8.6.1", *, parser_error=None, build_error=None, layers=("conv_pre/Conv",)):
    """The module. `parser_error` (index, text) and `build_error` (text) make it fail.

    Its `seen` holds what the last build was asked for.
    """
    major = int(version.split(".")[0])
    module = types.ModuleType("tensorrt")
    module.__version__ = version
    for name, members in (COMMON | MEMBERS[major]).items():
        setattr(module, name, enum.IntEnum(name, members))
    module.seen = {}

    def say(logger, severity, text):
        logger.log(module.Severity[severity], text)

    class ILogger:
        pass

    class Config:
        def __init__(self):
            module.seen |= {"flags": {"TF32"}, "profiles": [], "preview": [], "tactics": "default"}
            self.cache = None

        def set_flag(self, flag):
            module.seen["flags"].add(flag.name)

        def clear_flag(self, flag):
            module.seen["flags"].discard(flag.name)

        def set_memory_pool_limit(self, pool, nbytes):
            module.seen[pool.name] = nbytes

        def set_tactic_sources(self, bits):
            module.seen["tactics"] = bits
            return True

        def set_preview_feature(self, feature, on):
            module.seen["preview"].append(feature.name)

        def add_optimization_profile(self, profile):
            module.seen["profiles"].append(profile.shapes)
            return len(module.seen["profiles"]) - 1

        def create_timing_cache(self, data):
            return TimingCache(bytes(data))

        def set_timing_cache(self, cache, ignore_mismatch):
            self.cache = cache
            return cache.data != b"refused"

        def get_timing_cache(self):
            return self.cache

    class TimingCache:
        def __init__(self, data):
            self.data = data

        def combine(self, other, ignore_mismatch):
            lines = self.data.splitlines() + other.data.splitlines()
            self.data = b"\n".join(dict.fromkeys(lines))
            return True

        def serialize(self):
            return self.data

    class OptimizationProfile:
        def set_shape(self, name, low, best, high):
            if name != "mel":
                raise RuntimeError("Shape provided for min is inconsistent with other shapes.")
            self.shapes = (low, best, high)

    class Layer:
        def __init__(self, name):
            self.name, self.num_outputs, self.type = (
                name,
                1,
                types.SimpleNamespace(name="CONVOLUTION"),
            )

        def get_output(self, index):
            return types.SimpleNamespace(dtype=module.DataType.FLOAT)

        def __setattr__(self, key, value):
            if key == "precision":
                module.seen.setdefault("precisions", {})[self.name] = value.name
            super().__setattr__(key, value)

        def set_output_type(self, index, dtype):
            module.seen.setdefault("outputs", {})[self.name] = dtype.name

    class Network:
        def __init__(self):
            self.num_layers = len(layers)

        def get_layer(self, index):
            return Layer(layers[index])

    class Builder:
        def __init__(self, logger):
            self.logger = logger

        def create_network(self, bits=0):
            module.seen["network"] = bits
            return Network()

        def create_builder_config(self):
            return Config()

        def create_optimization_profile(self):
            return OptimizationProfile()

        def build_serialized_network(self, network, config):
            say(self.logger, "WARNING", "a warning of the builder")
            say(self.logger, "VERBOSE", "a verbose line")
            if config.cache is not None:
                config.cache.combine(TimingCache(b"conv 1 ms"), False)
            monitor = getattr(config, "progress_monitor", None)
            if monitor:
                monitor.phase_start("Timing", "", 2)
                if not all([monitor.step_complete("Timing", i) for i in range(2)]):
                    return None
                monitor.phase_finish("Timing")
            module.seen["level"] = config.builder_optimization_level
            module.seen["aux streams"] = getattr(config, "max_aux_streams", None)
            module.seen["verbosity"] = getattr(config, "profiling_verbosity", None)
            if build_error:
                say(self.logger, "ERROR", build_error)
                return None
            plan = {"version": version, "device": "here", "profiles": module.seen["profiles"]}
            return memoryview(b"plan" + json.dumps(plan).encode())

    class OnnxParser:
        def __init__(self, network, logger):
            self.num_errors = 1 if parser_error else 0

        def parse(self, data):
            return not parser_error

        def get_error(self, index):
            place, text = parser_error
            return types.SimpleNamespace(node=lambda: place, desc=lambda: text)

    class Context:
        active_optimization_profile = 0

        def set_optimization_profile_async(self, index, stream):
            self.active_optimization_profile = index
            return True

    class Engine:
        num_io_tensors = 2

        def __init__(self, plan, logger):
            self.profiles, self.logger = plan["profiles"], logger
            self.shape = tuple(plan.get("shape", (-1, 80, -1)))
            self.num_optimization_profiles = len(self.profiles)
            setattr(self, "device_memory_size" if major < 10 else "device_memory_size_v2", 12345)
            self.full = plan.get("full", False)

        def get_tensor_name(self, index):
            return ("mel", "audio")[index]

        def get_tensor_mode(self, name):
            return module.TensorIOMode.INPUT if name == "mel" else module.TensorIOMode.OUTPUT

        def get_tensor_shape(self, name):
            return self.shape

        def get_tensor_dtype(self, name):
            return module.DataType.FLOAT if name == "mel" else module.DataType.HALF

        def get_tensor_profile_shape(self, name, index):
            return [tuple(shape) for shape in self.profiles[index]]

        def create_execution_context(self, strategy="STATIC"):
            if self.full:
                say(self.logger, "ERROR", "Out of memory")
                return None
            return Context()

    class Runtime:
        def __init__(self, logger):
            self.logger = logger

        def deserialize_cuda_engine(self, data):
            texts = {
                "version": "Version tag does not match. Note: Current Version: 232",
                "device": "generated on an incompatible device, expecting compute 9.0",
                "magic": "assertion magicTagRead == kPLAN_MAGIC_TAG failed.",
                "short": "Serialization assertion failed. Size specified in header",
            }
            wrong = None
            if data[:4] != b"plan":
                wrong = "magic"
            else:
                try:
                    plan = json.loads(data[4:])
                    wrong = "version" if plan["version"] != version else None
                    wrong = "device" if plan["device"] != "here" else wrong
                except (ValueError, KeyError):
                    wrong = "short"
            if wrong:
                say(self.logger, "ERROR", texts[wrong])
                return None
            return Engine(plan, self.logger)

    module.ILogger, module.Builder, module.OnnxParser, module.Runtime = (
        ILogger,
        Builder,
        OnnxParser,
        Runtime,
    )
    if major >= 10:
        module.IProgressMonitor = type("IProgressMonitor", (), {})
    return module
