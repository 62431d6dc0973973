"""Why TensorRT refuses a plan, read from what it says, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from labutils.trt import versions

__all__ = ["why_not"]

_BUILD = "build the engine here, from the ONNX file"

# Words of TensorRT's messages, what they mean, what to do; the first that is found counts. A
# message may hold words of several rows ("could not find plugin: Snake version: 1").
_REASONS = (
    (r"out of memory|out_?of_?memory|could not be allocated",
     "the GPU has no memory left for it",
     "free some (engines, contexts and tensors, here and in other programs) or use another GPU"),
    (r"could not find plugin|cannot find plugin|plugin ?creator|plugin registry",
     "it needs a plugin that is not loaded",
     "load the plugin's library first, then the engine"),
    (r"call to stub",
     "this TensorRT is the lean runtime, which runs version-compatible engines only",
     "load it with the full TensorRT"),
    (r"lean runtime|host code",
     "it is version-compatible and brings a lean runtime, whose code is not permitted to run here",
     _BUILD),
    (r"version tag|serialization_?version|engine version|version of tensorrt|version.*not match",
     "it was built by another version of TensorRT", _BUILD),
    (r"incompatible device|compute \d|different model|compute capability",
     "it was built for another GPU", _BUILD),
    (r"platform ?(specific )?tag|runtime platform|incompatible platform",
     "it was built on another operating system or kind of processor", _BUILD),
    (r"magic", "it is no TensorRT engine, or its beginning is damaged", _BUILD),
    (r"header\.size|blobsize|size specified in header|truncat|checksum|\bcrc|corrupt",
     "it is cut short or damaged", _BUILD),
)  # fmt: skip

# Where in its code TensorRT was, which says nothing of the plan: "[runtime.cpp::parsePlan::315]",
# "IRuntime::deserializeCudaEngine".
_PLACES = re.compile(r"\[[^\]]*::\d+\]|\b\w+(?:::\w+)+")


def why_not(name: str, errors: Sequence[str]) -> str:
    """One line on a plan that TensorRT refused, called `name`, by the errors that it wrote.

    It quotes the error that tells the reason, or the last.
    """
    bare = [(_PLACES.sub("", text), text) for text in errors]
    found = (
        (f": {reason}", advice, text)
        for words, reason, advice in _REASONS
        for said, text in bare
        if re.search(words, said, re.I)
    )
    reason, advice, quoted = next(found, ("", _BUILD, errors[-1] if errors else ""))
    quoted = f" (TensorRT: {' '.join(quoted.split())[:300]})" if quoted else ""
    here = versions.tell_version()
    return f"{name} can not be loaded by {here} on this GPU{reason}; {advice}{quoted}"
