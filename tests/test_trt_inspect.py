"""The inspector's JSON of 8.6, 10 and 11; layers as rows and pictures; a fake engine's times."""

import contextlib
import json
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from labutils.trt import Profile, bound, inspect, layer_json

# The shape of the JSON that 8.6 and 10 write, and of 11's: the same two layers.
OLD = {
    "Layers": [
        {
            "Name": "Reformatting CopyNode for Input Tensor 0 to conv_pre/Conv",
            "LayerType": "Reformat",
            "Inputs": [{"Name": "mel", "Dimensions": [1, 80, 400],
                        "Format/Datatype": "Row major linear FP32"}],
            "Outputs": [{"Name": "copy", "Dimensions": [1, 80, 400],
                         "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
            "TacticValue": "0x00000000000003ea",
        },
        {
            "Name": "conv_pre/Conv + PWN(leaky/LeakyRelu)",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "copy", "Dimensions": [1, 80, 400, 1], "Format/Datatype": "Half"}],
            "Outputs": [{"Name": "out", "Dimensions": [1, 32, 400, 1], "Format/Datatype": "Half"}],
            "TacticName": "sm80_xmma_fprop_implicit_gemm_f16",
            "Metadata": "[ONNX Layer: conv_pre/Conv]\x1e[ONNX Layer: leaky/LeakyRelu]",
        },
    ],
    "Bindings": ["mel", "audio"],
}  # fmt: skip
NEW = json.loads(json.dumps(OLD))
del NEW["Bindings"]
NEW["I/O Tensors"] = [
    {"Name": "mel", "IOMode": "Input", "DataType": "Float", "Dimensions": [-1, 80, -1]},
    {"Name": "audio", "IOMode": "Output", "DataType": "Float", "Dimensions": [-1, 1, -1]},
]
for _layer in NEW["Layers"]:
    for _tensor in (*_layer["Inputs"], *_layer["Outputs"]):
        _words = _tensor.pop("Format/Datatype")
        _tensor["Format"] = "Channel major format where channel % 8 == 0 (kCHW8)"
        _tensor["DataType"] = "Float" if "FP32" in _words else "Half"


@pytest.mark.parametrize("data", [OLD, NEW], ids=["8.6 and 10", "11"])
def test_both_forms_of_the_json_give_the_same_rows(data, tmp_path):
    found = inspect.layers(data)
    copy, conv = found.rows
    assert (copy["kind"], copy["precision"], copy["nodes"]) == ("Reformat", "FP32 to FP16", [])
    assert copy["shapes"] == "1x80x400" and copy["tactic"] == "0x00000000000003ea"
    assert conv["nodes"] == ["conv_pre/Conv", "leaky/LeakyRelu"] and conv["precision"] == "FP16"
    assert conv["shapes"] == "1x80x400x1 to 1x32x400x1"
    assert found.kinds() == {"Reformat": 1, "CaskConvolution": 1}
    assert found.precisions() == {"FP32 to FP16": 1, "FP16": 1}
    assert [tensor["name"] for tensor in found.io] == ["mel", "audio"]
    path = tmp_path / "layers.json"
    path.write_text(json.dumps(data))
    bare = json.dumps(data).replace("\\u001e", "\x1e")  # as some versions write it
    assert inspect.layers(bare).rows == found.rows
    assert inspect.layers(path).rows == inspect.layers(json.dumps(data)).rows == found.rows
    assert "2 layers do the work of 2 ONNX nodes" in found._repr_html_()


def test_the_generation_of_gpus_is_read_from_names_of_kernels():
    tactics = [
        "sm80_xmma_fprop_implicit",
        "sm_100_gemm",
        "sm80_xmma_deconv",
        "0x3ea",
        "fused_sm75_",
    ]
    found = inspect.Layers([{"tactic": tactic} for tactic in tactics])
    assert found.generations() == {"8.0": 2, "10.0": 1}


def test_the_format_of_sums_is_read_from_names_of_kernels():
    tactics = [
        "sm80_xmma_fprop_implicit_gemm_indexed_f16f16_f16f16_f16_nhwckrsc_nhwc_tilesize64x32x64",
        "sm80_xmma_deconv_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc",
        "sm80_xmma_fprop_implicit_gemm_f16f16_f16f32_f16_nhwckrsc_nhwc",
        "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32_nchw_vect_c_32",
        "0x0000000000000013",
    ]
    found = inspect.Layers([{"tactic": tactic} for tactic in tactics])
    assert found.sums() == {"f16": 2, "f32": 1, "i32": 1}


def test_a_node_is_found_in_the_layer_that_took_it_in():
    found = inspect.layers(OLD)
    assert found.fused("leaky/LeakyRelu") is found.rows[1]
    with pytest.raises(inspect.InspectError, match="did you mean conv_pre/Conv"):
        found.fused("conv_pre/Convv")


def test_an_engine_that_keeps_names_only_says_so():
    found = inspect.layers({"Layers": ["a/Conv + b/Add", "c/Tanh"], "Bindings": ["mel"]})
    assert not found.detailed and found.rows[0]["nodes"] == ["a/Conv", "b/Add"]
    assert found.rows[0]["kind"] == "?" and "detailed=True" in found._repr_html_()


def test_formats_that_depend_on_the_shape_are_unknown():
    assert layer_json.precision("N/A due to dynamic shapes") == "?"
    for text, name in (
        ("Row major Int8 format", "INT8"),
        ("Thirty-two wide channel vectorized row major Int8 format", "INT8"),
        ("BFloat16", "BF16"),
        ("Float", "FP32"),
        ("FP8", "FP8"),
        ("Int64", "INT64"),
        ("UInt8", "UINT8"),
        ("Channel major FP16 format where channel % 8 == 0", "FP16"),
    ):
        assert layer_json.precision(text) == name


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("/conv_pre/Conv", ["/conv_pre/Conv"]),
        ("PWN(/a/LeakyRelu)", ["/a/LeakyRelu"]),
        ("PWN(PWN(/a/Sin), PWN(/a/Pow, /a/Mul))", ["/a/Sin", "/a/Pow", "/a/Mul"]),
        ("(Unnamed Layer* 3) [Shuffle] + /a/Conv + (Unnamed Layer* 5) [Shuffle]", ["/a/Conv"]),
        ("/a/Conv || /b/Conv", ["/a/Conv", "/b/Conv"]),
        ("Reformatting CopyNode for Output Tensor 0 to /a/Conv", []),
        ("{ForeignNode[/a/Sin.../b/Mul]}", ["/a/Sin", "/b/Mul"]),
    ],
)
def test_names_of_fused_layers_are_taken_apart(name, nodes):
    assert layer_json.onnx_nodes(name) == nodes


def test_what_is_no_inspectors_json_is_refused(tmp_path):
    engine = tmp_path / "a.plan"
    engine.write_bytes(b"\xff\xfe\x00ftrt\x80")
    for bad, words in (
        ("{", "holds no JSON"),
        ('{"a": 1}', 'no list "Layers"'),
        (tmp_path / "none.json", "no such file"),
        (engine, "load_engine"),
        (3, "expected an engine or JSON, got int"),
    ):
        with pytest.raises(inspect.InspectError, match=words):
            inspect.layers(bad)


def test_the_picture_is_as_wide_as_the_time():
    found = inspect.layers(OLD)
    times = {row["name"]: ms for row, ms in zip(found.rows, (1.0, 3.0), strict=True)}
    ax = inspect.picture(found, times).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [1.0, 3.0]
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    shown = inspect.picture(found, by="kind", title="V2")
    assert [bar.get_width() for bar in shown.axes[0].patches] == [1.0, 1.0]
    assert (
        shown.alt == "V2, 2 layers: Reformat 50 % of the layers, CaskConvolution 50 % of the layers"
    )
    with pytest.raises(ValueError, match="another engine"):
        inspect.picture(found, {"x": 1.0})
    with pytest.raises(ValueError, match="choose"):
        inspect.picture(found, by="colour")
    assert [row["%"] for row in found.table(times)] == [25.0, 75.0]


# A fake TensorRT and a fake GPU: what is called in which order


class FakeContext:
    def __init__(self, freed):
        self.calls, self.addresses, self._profiler, self.shape = [], {}, None, None
        self.freed = freed

    @property
    def profiler(self):
        if self._profiler is not None:
            assert self._profiler() is not None, "the profiler was freed before its context"
        return self._profiler and self._profiler()

    @profiler.setter
    def profiler(self, profiler):
        self._profiler = weakref.ref(profiler)  # TensorRT keeps a bare pointer

    def __del__(self):
        self.freed.append("context")

    def set_input_shape(self, name, shape):
        self.shape = shape
        return shape[2] != 13

    def infer_shapes(self):
        return []

    def get_tensor_shape(self, name):
        return (self.shape[0], 1, 4 * self.shape[2])

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def execute_async_v3(self, handle):
        assert len(self.addresses) == 2 and handle == 7
        self.calls.append(self.shape)
        if self.profiler is not None:
            for name, ms in (("conv", len(self.calls)), ("act", 0.5), ("act", 0.25)):
                self.profiler.report_layer_time(name, ms)
        return len(self.calls) < 100


class Tensor:
    def __init__(self, shape, dtype):
        self.shape, self.dtype, self.filled = shape, dtype, None

    def data_ptr(self):
        return id(self)

    def copy_(self, other, non_blocking=False):
        self.filled = other

    def uniform_(self, low, high):
        self.filled = "random"


@pytest.fixture
def gpu(monkeypatch):
    """An engine whose contexts write down what they are asked."""
    stream = SimpleNamespace(
        cuda_stream=7, synchronize=lambda: None, wait_stream=lambda other: None
    )
    torch = SimpleNamespace(
        cuda=SimpleNamespace(
            Stream=lambda: stream,
            current_stream=lambda: None,
            stream=lambda s: contextlib.nullcontext(),
        ),
        empty=lambda shape, dtype, device: Tensor(shape, dtype),
        from_numpy=lambda array: array,
        as_tensor=lambda array: array,
    )

    class Inspector:
        execution_context = None

        def get_engine_information(self, form):
            assert form == "json" and self.execution_context.shape == (1, 80, 16)
            return json.dumps(OLD)

    freed = []

    class Profiler:
        def __del__(self):
            freed.append("profiler")

    trt = SimpleNamespace(IProfiler=Profiler, LayerInformationFormat=SimpleNamespace(JSON="json"))
    packages = {"torch": torch, "tensorrt": trt}
    monkeypatch.setattr(bound, "require", packages.get)
    monkeypatch.setattr(inspect, "require", packages.get)
    contexts = []

    def new_context(profile=0, stream=0):
        contexts.append(context := FakeContext(freed))
        contexts[-1] = context.calls
        return context

    return SimpleNamespace(
        engine=SimpleNamespace(create_engine_inspector=Inspector),
        input="mel", output="audio", n_mels=80, profiles=[Profile(frames=(8, 16, 32))],
        dtype=lambda name: np.dtype("float32"), new_context=new_context, calls=contexts,
        freed=freed,
    )  # fmt: skip


def test_an_engine_is_asked_for_one_shape(gpu):
    assert inspect.layers(gpu).rows == inspect.layers(OLD).rows


def test_layer_times_are_medians_after_a_warm_up(gpu):
    times = inspect.layer_times(gpu, np.zeros((1, 80, 9), np.float32), runs=5)
    assert times == {"conv": 6.0, "act": 0.75}  # runs 4 to 8; two layers of one name
    assert len(gpu.calls[0]) == 8
    with pytest.raises(ValueError, match="0 runs"):
        inspect.layer_times(gpu, np.zeros((1, 80, 9), np.float32), runs=0)


def test_the_context_goes_before_the_profiler_that_it_points_to(gpu):
    inspect.layer_times(gpu, np.zeros((1, 80, 9), np.float32), runs=2)
    assert gpu.freed == ["context", "profiler"]
    gpu.freed.clear()
    with pytest.raises(bound.BoundError, match="execute_async_v3 failed") as caught:
        inspect.layer_times(gpu, np.zeros((1, 80, 9), np.float32), runs=200)
    assert gpu.freed == ["context"] and caught.value is not None
