"""Known wrong answers to the exercises of notebook 06, and what the check must say to each."""

_INFER = "def infer(context, cuda, stream, mel, on_gpu, audio):\n"
_SHAPE = (
    "    if not context.set_input_shape('mel', mel.shape):\n"
    "        raise ValueError('outside the profile')\n"
    "    shape = tuple(context.get_tensor_shape('audio'))\n"
    "    sound = audio[: shape[0] * shape[2]]\n"
)
_PLACES = "    for name, memory in on_gpu.items():\n"
_PLACES += "        context.set_tensor_address(name, int(memory))\n"
_IN = "    cuda.memcpy_htod_async(on_gpu['mel'], mel, stream)\n"
_RUN = "    if not context.execute_async_v3(stream.handle):\n        raise RuntimeError('failed')\n"
_OUT = "    cuda.memcpy_dtoh_async(sound, on_gpu['audio'], stream)\n"
_WAIT = "    stream.synchronize()\n"
_END = "    return sound.reshape(shape).copy()\n"

_BYTES = "def buffer_bytes(profiles, hop_length, itemsize):\n"
_CAPTURES = "def captures(shapes, slots):\n"

WRONG = {
    "infer": [
        (_INFER + _SHAPE + _PLACES + _IN + _RUN + _OUT + _END, "before it was there"),
        (_INFER + _SHAPE + _PLACES + _IN + _RUN + _WAIT + _OUT + _END, "before it was there"),
        (
            _INFER + _SHAPE + _PLACES + _IN + _OUT + _RUN + _WAIT + _END,
            "copy in, execute, copy out",
        ),
        (
            _INFER + _SHAPE + _PLACES + _RUN + _IN + _OUT + _WAIT + _END,
            "copy in, execute, copy out",
        ),
        (_INFER + _SHAPE + _IN + _RUN + _OUT + _WAIT + _END, "raised RuntimeError"),
        (
            _INFER + _SHAPE + _PLACES + _IN.replace(", stream)", ")") + _RUN + _OUT + _WAIT + _END,
            "the default stream",
        ),
        (
            _INFER + _SHAPE + _PLACES + _IN + _RUN.replace(".handle", "") + _OUT + _WAIT + _END,
            "stream.handle",
        ),
        (
            _INFER + _SHAPE + _PLACES.replace("int(memory)", "memory") + _IN + _RUN + _OUT + _END,
            "a plain int",
        ),
        (
            _INFER
            + "    shape = tuple(context.get_tensor_shape('audio'))\n"
            + "    context.set_input_shape('mel', mel.shape)\n"
            + "    sound = audio[: shape[0] * shape[2]]\n"
            + _PLACES
            + _IN
            + _RUN
            + _OUT
            + _WAIT
            + _END,
            "can not know yet",
        ),
        (
            _INFER
            + _SHAPE
            + _PLACES
            + _IN
            + _RUN
            + _OUT
            + _WAIT
            + "    return sound.reshape(shape)",
            "return a copy",
        ),
        (
            _INFER
            + "    context.set_input_shape('mel', mel.shape)\n"
            + "    shape = tuple(context.get_tensor_shape('audio'))\n"
            + "    sound = audio[: shape[0] * shape[2]]\n"
            + _PLACES
            + _IN
            + _RUN
            + _OUT
            + _WAIT
            + _END,
            "outside the profile",
        ),
        (
            _INFER
            + _SHAPE
            + _PLACES
            + _IN
            + "    context.execute_async_v3(stream.handle)\n"
            + _OUT
            + _WAIT
            + _END,
            "returned False",
        ),
    ],
    "buffer_bytes": [
        (
            _BYTES + "    low, opt, high = profiles[0]\n"
            "    return opt[0] * opt[1] * opt[2] * itemsize, opt[0] * opt[2] * hop_length * itemsize",
            "enough for opt only",
        ),
        (
            _BYTES
            + "    b, n, t = profiles[-1][2]\n    return b * n * t * 4, b * t * hop_length * 4",
            "float16",
        ),
        (
            _BYTES + "    b, n, t = profiles[-1][2]\n    return b * n * t, b * t * hop_length",
            "4 bytes",
        ),
        (
            _BYTES
            + "    b = max(p[2][0] for p in profiles)\n    t = max(p[2][2] for p in profiles)\n"
            "    n = profiles[0][2][1]\n"
            "    return b * n * t * itemsize, b * t * hop_length * itemsize",
            "compare products",
        ),
        (
            _BYTES + "    total = sum(p[2][0] * p[2][2] for p in profiles)\n"
            "    n = profiles[0][2][1]\n"
            "    return total * n * itemsize, total * hop_length * itemsize",
            "one profile at a time",
        ),
        (
            _BYTES + "    b, n, t = profiles[0][2]\n"
            "    return b * n * t * itemsize, t * hop_length * itemsize",
            "bytes of the audio",
        ),
    ],
    "captures": [
        (_CAPTURES + "    return len(set(shapes))", "had not been used for longest"),
        (_CAPTURES + "    return len(shapes)", "replayed, not captured"),
        (
            _CAPTURES + "    held, count = [], 0\n    for shape in shapes:\n"
            "        if shape not in held:\n            count += 1\n            held.append(shape)\n"
            "            held = held[-slots:]\n    return count",
            "used last counts",
        ),
        (
            _CAPTURES + "    held, count = [], 0\n    for _, shape in shapes:\n"
            "        count += shape not in held\n"
            "        held = [s for s in held if s != shape] + [shape]\n"
            "        held = held[-slots:]\n    return count",
            "the batch is part of the shape",
        ),
        (
            _CAPTURES + "    held, count = [], 0\n    for shape in shapes:\n"
            "        count += shape not in held\n"
            "        held = [s for s in held if s != shape] + [shape]\n"
            "        held = held[-slots - 1 :]\n    return count",
            "had not been used for longest",
        ),
    ],
}
