"""The command `python -m labutils.trt.trtexec`."""

import sys

from labutils.trt.trtexec.program import main


def write(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()  # a build takes minutes: its lines should be seen meanwhile


raise SystemExit(main(sys.argv[1:], write))
