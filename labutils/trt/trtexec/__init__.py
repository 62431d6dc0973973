"""trtexec: the real tool where there is one, a stand-in in Python where pip brought none.

run(["--onnx=vocoder.onnx", "--optShapes=mel:1x80x400", "--saveEngine=vocoder.plan"], show=print)
parse(text)            # what a log of a real trtexec says
flags.rows()           # which flags 8.6, 10 and 11 have, and what replaces a dropped one

The stand-in is also a command: python -m labutils.trt.trtexec --onnx=vocoder.onnx ...
"""

from labutils.trt.trtexec import exports, flags
from labutils.trt.trtexec.running import TrtexecRun, find, run
from labutils.trt.trtexec.summary import TrtexecSummary, parse, parse_all
from labutils.trt.trtexec.values import FlagError

__all__ = [
    "FlagError",
    "TrtexecRun",
    "TrtexecSummary",
    "exports",
    "find",
    "flags",
    "parse",
    "parse_all",
    "run",
]
