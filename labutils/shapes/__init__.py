"""Many lengths in few shapes: profiles, buckets, padding, batches, and what each of them costs.

`lengths` says how long sentences are, `padding` brings them into one shape and cuts the sound,
`design` scores buckets by recorded latencies, `waiting` adds the queue before the GPU. The
experiments are in `labutils.shapes.experiments`, which is loaded where it is used.
"""

from labutils.shapes import design, lengths, padding, waiting
from labutils.shapes.lengths import Lengths

__all__ = ["Lengths", "design", "lengths", "padding", "waiting"]
