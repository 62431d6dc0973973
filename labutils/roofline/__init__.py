"""What bounds each operation: the machine's measured ceilings against operations and bytes.

The model is the roofline of Williams, Waterman and Patterson (2009), with the cost of launching an
operation as a third bound. `roof` measures ceilings, `places` puts operations under them,
`stopwatch` times operations one by one, `pictures` draws.
"""

from labutils.roofline.pictures import bounds_picture, picture
from labutils.roofline.places import place, summary
from labutils.roofline.roof import BOUNDS, Ceilings, ceilings
from labutils.roofline.stopwatch import layer_times

__all__ = [
    "BOUNDS",
    "Ceilings",
    "bounds_picture",
    "ceilings",
    "layer_times",
    "picture",
    "place",
    "summary",
]
