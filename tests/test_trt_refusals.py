"""Why a plan is refused: TensorRT's own messages, of 8.6 as recorded and of 10 as reported."""

import json

import pytest

from labutils import DATA
from labutils.trt import refusals
from labutils.trt.refusals import why_not

BUILD = "build the engine here, from the ONNX file"
VERSION = "it was built by another version of TensorRT"
DEVICE = "it was built for another GPU"
PLATFORM = "it was built on another operating system or kind of processor"
MAGIC = "it is no TensorRT engine, or its beginning is damaged"
CUT = "it is cut short or damaged"
MEMORY = "the GPU has no memory left for it"
PLUGIN = "it needs a plugin that is not loaded"
LEAN = "this TensorRT is the lean runtime, which runs version-compatible engines only"
NEW = "IRuntime::deserializeCudaEngine: Error Code"  # how 10 and 11 begin a message
LAST = (
    "4: [runtime.cpp::deserializeCudaEngine::66] Error Code 4: Internal Error (Engine "
    "deserialization failed.)"
)


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setattr(refusals.versions, "tell_version", lambda: "TensorRT 10.16.1")


@pytest.mark.parametrize(
    ("said", "reason", "advice"),
    [
        # recorded with 8.6
        ("1: [stdArchiveReader.cpp::StdArchiveReaderInitCommon::41] Error Code 1: Serialization "
         "(Serialization assertion safeVersionRead == safeSerializationVersion failed.Version tag "
         "does not match. Note: Current Version: 0, Serialized Engine Version: 1)", VERSION, BUILD),
        ("1: [runtime.cpp::parsePlan::315] Error Code 1: Serialization (Serialization assertion "
         "plan->header.size == blobSize failed.)", CUT, BUILD),
        ("1: [runtime.cpp::parsePlan::314] Error Code 1: Serialization (Serialization assertion "
         "plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)", MAGIC, BUILD),
        ("1: [defaultAllocator.cpp::allocate::21] Error Code 1: Cuda Runtime (out of memory)",
         MEMORY, "or use another GPU"),
        ("2: [executionContext.cpp::ExecutionContext::436] Error Code 2: OutOfMemory (no further "
         "information)", MEMORY, "or use another GPU"),
        # reported by others
        ("6: The engine plan file is generated on an incompatible device, expecting compute 8.6 "
         "got compute 7.5, please rebuild.", DEVICE, BUILD),
        ("The engine plan file is not compatible with this version of TensorRT, expecting library "
         "version 5.1.6 got 5.0.6, please rebuild.", VERSION, BUILD),
        (f"{NEW} 1: Serialization (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION"
         " failed.Version tag does not match. Note: Current Version: 237, Serialized Engine "
         "Version: 239)", VERSION, BUILD),
        (f"{NEW} 6: API Usage Error (The engine plan file is generated on an incompatible device, "
         "expecting compute 8.9 got compute 8.6, please rebuild.)", DEVICE, BUILD),
        (f"{NEW} 1: Serialization (Serialization assertion plan->header.pad == expectedPlatformTag "
         "failed.Platform specific tag mismatch detected. TensorRT plan files are only supported "
         "on the target runtime platform they were created on.)", PLATFORM, BUILD),
        (f"{NEW} 1: Serialization (Serialization assertion sizeRead == mEnd - mCurrent failed.Size "
         "specified in header does not match archive size)", CUT, BUILD),
        (f"{NEW} 1: Cuda Runtime (out of memory)", MEMORY, "or use another GPU"),
        ("Requested amount of GPU memory (1180463648 bytes) could not be allocated.", MEMORY,
         "or use another GPU"),
        ("1: [pluginV2Runner.cpp::load::300] Error Code 1: Serialization (Serialization assertion "
         "creator failed.Cannot deserialize plugin since corresponding IPluginCreator not found in "
         "Plugin Registry)", PLUGIN, "load the plugin's library first"),
        ("IPluginRegistry::getPluginCreator: Error Code 4: API Usage Error (Cannot find plugin: "
         "Snake, version: 1, namespace:.)", PLUGIN, "load the plugin's library first"),
        ("3: getPluginCreator could not find plugin: FusedSnake version: 1", PLUGIN,
         "load the plugin's library first"),
        (f"{NEW} 1: Internal Error (Unexpected call to stub loadRunner for ReformatRunner.)", LEAN,
         "load it with the full TensorRT"),
        ("1: [leanStubs.cpp::loadRunner::128] Error Code 1: Internal Error (Unexpected call to "
         "stub)", LEAN, "load it with the full TensorRT"),
    ],
)  # fmt: skip
def test_the_reason_and_what_to_do_about_it(said, reason, advice):
    # Whatever the reason, older versions end with a line that names the function only.
    for errors in ([said], [said, LAST]):
        text = why_not("old.plan", errors)
        assert text.startswith(
            f"old.plan can not be loaded by TensorRT 10.16.1 on this GPU: {reason}"
        )
        assert advice in text and text.endswith(f"(TensorRT: {said[:300]})")
        assert ("build the engine" in text) == (advice == BUILD)


@pytest.mark.parametrize(
    "said",
    [
        f"{NEW} 4: Internal Error (Engine deserialization failed.)",
        LAST,
        "IRuntime::getPluginRegistry: Error Code 3: API Usage Error (nothing more)",
        "1: [platformTag.cpp::magicVersionTag::12] Error Code 1: Internal Error (nothing more)",
        f"{NEW} 1: Serialization (Serialization assertion postDeserializationCheck() failed.)",
        f"{NEW} 2: Internal Error (Assertion engine failed. )",
        "9: The engine plan file has a layer that utilizes loop API or boolean tensors, but the "
        "current platform does not support these layers due to mismatch of libnvrtc version.",
    ],
)  # fmt: skip
def test_what_tells_no_reason_is_quoted_without_one(said):
    text = why_not("old.plan", [said])
    assert text == (
        f"old.plan can not be loaded by TensorRT 10.16.1 on this GPU; {BUILD} (TensorRT: {said})"
    )


def test_a_plan_that_is_refused_in_silence():
    assert why_not("a.plan", []) == (
        f"a.plan can not be loaded by TensorRT 10.16.1 on this GPU; {BUILD}"
    )


def test_a_long_message_is_one_short_line():
    text = why_not("a.plan", ["Error Code 1:\n  (out of memory)" + " and more" * 500])
    assert "\n" not in text and len(text) < 600 and MEMORY in text


@pytest.mark.parametrize("name", ["05-failures", "06-elsewhere"])
def test_the_recorded_messages_are_known(name):
    paths = list((DATA / "records").glob(f"{name}.*.json"))
    known = {"version": VERSION, "half of a plan": CUT, "full GPU": MEMORY}
    found = 0
    for path in paths:
        for row in json.loads(path.read_text(encoding="utf-8"))["data"]:
            for reason in (known[words] for words in known if words in row["failure"]):
                found += 1
                assert reason in why_not("a.plan", row["TensorRT says"].split("; ")), row
    assert found == 3 * len(paths) > 0
