"""Write tensorrt_names.json: what TensorRT has of the names that popular tutorials use.

    python data/make_tensorrt_names.py --api FOLDER

FOLDER holds one api-VERSION.json for each version: {"version": "8.6.1", "module": {name: {"kind":
..., "signature": ..., "members": {...}}}}, every public name of the official Python bindings,
read from their wheels. Only the answers are kept.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

OUT = Path(__file__).parent / "tensorrt_names.json"

# As tutorials write it; under which type, or in the module itself, it is looked for; what does the
# job.
CLAIMS = (
    (
        "engine.get_binding_shape(1).volume()",
        "ICudaEngine.get_binding_shape Dims.volume",
        "context.get_tensor_shape(name) after set_input_shape, then trt.volume(shape)",
    ),
    (
        "builder.max_batch_size = 8",
        "Builder.max_batch_size",
        "the batch is the first dimension of a profile; 8.6 ignores the attribute",
    ),
    (
        "config.max_workspace_size = 1 << 30",
        "IBuilderConfig.max_workspace_size",
        "config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 30), on 8.6 too",
    ),
    (
        "context.execute_async(context, data)",
        "IExecutionContext.execute_async",
        "set_tensor_address, then execute_async_v3(stream); 8.6's takes other arguments",
    ),
    (
        "context.enqueue(...)",
        "IExecutionContext.enqueue",
        "context.execute_async_v3(stream); enqueueV3 is its C++ name",
    ),
    (
        "trt.create_inference_engine(...)",
        "tensorrt.create_inference_engine Builder.create_inference_engine",
        "builder.build_serialized_network, then runtime.deserialize_cuda_engine",
    ),
    (
        "engine.precision_tuning = True",
        "ICudaEngine.precision_tuning IBuilderConfig.precision_tuning",
        "types in the ONNX graph; an engine never changes",
    ),
    (
        "engine.dynamic_batching = True",
        "ICudaEngine.dynamic_batching IBuilderConfig.dynamic_batching",
        "a profile with several batch sizes, and a server that gathers requests",
    ),
    (
        "config.max_dynamic_batch_size = 16",
        "IBuilderConfig.max_dynamic_batch_size Builder.max_dynamic_batch_size "
        "ICudaEngine.max_dynamic_batch_size",
        "the largest batch of a profile, and a server that gathers requests",
    ),
    (
        "engine.quantization(...)",
        "ICudaEngine.quantization Builder.quantization",
        "Q/DQ nodes in the ONNX graph, before the build",
    ),
    (
        "engine.prune(...)",
        "ICudaEngine.prune Builder.prune",
        "prune the model and fine-tune it, before the export",
    ),
    (
        "engine.simplify(...)",
        "ICudaEngine.simplify Builder.simplify",
        "onnxsim on the ONNX graph; the builder folds constants itself",
    ),
    (
        "engine.fuse(...)",
        "ICudaEngine.fuse Builder.fuse",
        "nothing to do: the builder fuses, the inspector shows what",
    ),
    (
        "engine.cache_memory = True",
        "ICudaEngine.cache_memory IExecutionContext.cache_memory",
        "keep contexts and buffers, and use them again",
    ),
    (
        "engine.use_fbcedram = True",
        "ICudaEngine.use_fbcedram IBuilderConfig.use_fbcedram",
        "nothing: no such memory",
    ),
    (
        "context.real_time = True",
        "IExecutionContext.real_time ICudaEngine.real_time",
        "stream priorities, CUDA graphs, inputs of bounded length",
    ),
    (
        "context.num_threads = 4",
        "IExecutionContext.num_threads ICudaEngine.num_threads",
        "one context and one stream for each query at once; builder.max_threads for building",
    ),
    (
        "trt.QuantParams(...)",
        "tensorrt.QuantParams",
        "Q/DQ nodes in the ONNX graph",
    ),
    (
        "trt.PruneParams(...)",
        "tensorrt.PruneParams",
        "prune the model before the export; BuilderFlag.SPARSE_WEIGHTS for 2:4",
    ),
    (
        "trt.SimplifyParams(...)",
        "tensorrt.SimplifyParams",
        "onnxsim on the ONNX graph",
    ),
    (
        "trt.FuseParams(...)",
        "tensorrt.FuseParams",
        "nothing to do: the builder fuses",
    ),
    (
        "trt.CompressParams(...)",
        "tensorrt.CompressParams",
        "Q/DQ nodes, or BuilderFlag.STRIP_PLAN for plans without weights (10, 11)",
    ),
    (
        "trt.OptimizeParams(...)",
        "tensorrt.OptimizeParams",
        "config.builder_optimization_level",
    ),
    (
        "trt.register_plugin(Class)",
        "tensorrt.register_plugin IPluginRegistry.register_plugin",
        "trt.get_plugin_registry().register_creator(creator, namespace)",
    ),
    (
        "trt.register_layer(...)",
        "tensorrt.register_layer INetworkDefinition.register_layer",
        "a plugin (10 and later also in Python)",
    ),
    (
        "trt.frozen_graph_from_tensorflow(...)",
        "tensorrt.frozen_graph_from_tensorflow",
        "export to ONNX, then trt.OnnxParser",
    ),
    (
        "trt.DeviceType.GPU",
        "DeviceType.GPU",
        "it exists and is the default; the other is DLA",
    ),
    (
        "trt.Logger.SetLogLevel(...)",
        "Logger.SetLogLevel ILogger.SetLogLevel",
        "trt.Logger(trt.Logger.WARNING), or logger.min_severity",
    ),
)


def has(module, owner, name):
    """Whether a type of the bindings, or the module "tensorrt" itself, has this name."""
    members = module if owner == "tensorrt" else module.get(owner, {}).get("members", {})
    return name in members


def elsewhere(module, name):
    """The types that have a member of this name."""
    return sorted(owner for owner, entry in module.items() if name in entry.get("members", {}))


def answers(module, searched):
    """For each place, "Type.name": whether it is there, and which other types have the name."""
    asked = {place.split(".")[0] for place in searched}
    found = {}
    for place in searched:
        owner, name = place.split(".")
        others = [other for other in elsewhere(module, name) if other not in asked]
        found[place] = {"there": has(module, owner, name), "elsewhere": others}
    return found


def make(folder):
    """The whole extract. Raises SystemExit for a folder without recorded versions."""
    files = sorted(folder.glob("api-*.json"), key=lambda file: _number(file.stem[4:]))
    if not files:
        raise SystemExit(f"{folder}: no api-VERSION.json in it")
    apis = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    claims = [
        {
            "claim": claim,
            # "a.b().c()" needs every name; otherwise one of the places is enough.
            "needs_all": len({place.split(".")[1] for place in searched.split()}) > 1,
            "instead": instead,
            "places": {api["version"]: answers(api["module"], searched.split()) for api in apis},
        }
        for claim, searched, instead in CLAIMS
    ]
    return {"versions": [api["version"] for api in apis], "claims": claims}


def _number(version):
    return [int(part) for part in version.split(".")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--api", type=Path, required=True, help="folder of the recorded API")
    data = make(parser.parse_args().api)
    lines = ",\n".join(json.dumps(claim, ensure_ascii=False) for claim in data["claims"])
    text = f'{{"versions": {json.dumps(data["versions"])},\n"claims": [\n{lines}\n]}}\n'
    handle, temporary = tempfile.mkstemp(dir=OUT.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, OUT)


if __name__ == "__main__":
    main()
