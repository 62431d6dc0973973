"""Known wrong answers to the exercises of notebook 05, and what the check must say to each."""

_FLAGS = "def profile_flags(lengths, bands, batch):\n"
_MEDIAN = "    ordered = sorted(lengths)\n    middle = ordered[len(ordered) // 2]\n"
_REAL = "def times_real_time(log, hop_length, sample_rate):\n"
_SHAPE = (
    "    shape = re.search(r'with dimensions (\\d+)x\\d+x(\\d+)', log)\n"
    "    batch, frames = int(shape[1]), int(shape[2])\n"
)
_GPU = (
    "    found = re.search(r'GPU Compute Time: .*?median = ([\\d.]+) ms', log)\n"
    "    if not found:\n        return None\n"
)
_SINGLE = "def single_precision(info):\n"

WRONG = {
    "profile_flags": [
        (
            _FLAGS + _MEDIAN + "    return [f'--minShapes=mel:1,{bands},{min(lengths)}',\n"
            "            f'--optShapes=mel:1,{bands},{middle}',\n"
            "            f'--maxShapes=mel:{batch},{bands},{max(lengths)}']",
            "sizes with x between them",
        ),
        (
            _FLAGS + "    mean = round(sum(lengths) / len(lengths))\n"
            "    return [f'--minShapes=mel:1x{bands}x{min(lengths)}',\n"
            "            f'--optShapes=mel:1x{bands}x{mean}',\n"
            "            f'--maxShapes=mel:{batch}x{bands}x{max(lengths)}']",
            "is the mean, which one long sentence has pulled up",
        ),
        (
            _FLAGS + _MEDIAN + "    return [f'--minShapes=mel:{batch}x{bands}x{min(lengths)}',\n"
            "            f'--optShapes=mel:{batch}x{bands}x{middle}',\n"
            "            f'--maxShapes=mel:{batch}x{bands}x{max(lengths)}']",
            "a sentence may come alone",
        ),
        (
            _FLAGS + _MEDIAN + "    return [f'--minShapes=mel:1x{min(lengths)}x{bands}',\n"
            "            f'--optShapes=mel:1x{middle}x{bands}',\n"
            "            f'--maxShapes=mel:{batch}x{max(lengths)}x{bands}']",
            "are the second size",
        ),
        (
            _FLAGS + _MEDIAN + "    return [f'--minShapes=mel:1x{bands}x1',\n"
            "            f'--optShapes=mel:1x{bands}x{middle}',\n"
            "            f'--maxShapes=mel:{batch}x{bands}x4000']",
            "wastes range",
        ),
        (
            _FLAGS + "    lengths.sort()\n    middle = lengths[len(lengths) // 2]\n"
            "    return [f'--minShapes=mel:1x{bands}x{lengths[0]}',\n"
            "            f'--optShapes=mel:1x{bands}x{middle}',\n"
            "            f'--maxShapes=mel:{batch}x{bands}x{lengths[-1]}']",
            "sort a copy",
        ),
    ],
    "times_real_time": [
        (
            _REAL + _SHAPE + "    found = re.search(r'Latency: .*?median = ([\\d.]+) ms', log)\n"
            "    if not found:\n        return None\n"
            "    return batch * frames * hop_length / sample_rate / (float(found[1]) / 1e3)",
            "comes from Latency",
        ),
        (
            _REAL + _SHAPE + _GPU + "    return frames * hop_length / sample_rate"
            " / (float(found[1]) / 1e3)",
            "holds eight sentences",
        ),
        (
            _REAL + _SHAPE + _GPU + "    return batch * frames * hop_length / sample_rate"
            " / float(found[1])",
            "counts in milliseconds",
        ),
        (
            _REAL + _SHAPE + _GPU + "    return float(found[1]) / 1e3"
            " / (batch * frames * hop_length / sample_rate)",
            "the other way round",
        ),
        (
            _REAL
            + _SHAPE
            + "    found = re.search(r'GPU Compute Time: .*?median = ([\\d.]+)', log)\n"
            "    return batch * frames * hop_length / sample_rate / (float(found[1]) / 1e3)",
            "your function raised TypeError",
        ),
        (
            _REAL
            + _SHAPE
            + _GPU
            + "    return batch * frames * 256 / 22050 / (float(found[1]) / 1e3)",
            "nothing of 80 bands, 256 or 22050",
        ),
        (
            _REAL + "    shape = re.search(r'mel=(\\d+)x\\d+x(\\d+)', log)\n"
            "    batch, frames = int(shape[1]), int(shape[2])\n"
            + _GPU
            + "    return batch * frames * hop_length / sample_rate / (float(found[1]) / 1e3)",
            "is the profile's end",
        ),
        (
            _REAL
            + _SHAPE
            + "    found = re.search(r'GPU Compute Time: .*?mean = ([\\d.]+)', log)\n"
            "    if not found:\n        return None\n"
            "    return batch * frames * hop_length / sample_rate / (float(found[1]) / 1e3)",
            "comes from the mean",
        ),
    ],
    "single_precision": [
        (
            _SINGLE + "    return [layer['Name'] for layer in info['Layers']\n"
            "            if layer['Inputs'][0]['Format/Datatype'] == 'Row major linear FP32'\n"
            "            and layer['Outputs'][0]['Format/Datatype'] == 'Row major linear FP32']",
            "several format texts hold FP32",
        ),
        (
            _SINGLE + "    return [layer['Name'] for layer in info['Layers'] if all(\n"
            "        'FP32' in t['Format/Datatype'] for t in layer['Inputs'] + layer['Outputs'])]",
            "only rearranges numbers",
        ),
        (
            _SINGLE + "    return [layer['Name'] for layer in info['Layers']\n"
            "            if layer['LayerType'] not in ('Reformat', 'NoOp') and layer['Inputs'] and any(\n"
            "        'FP32' in t['Format/Datatype'] for t in layer['Inputs'] + layer['Outputs'])]",
            "is not FP32 throughout",
        ),
        (
            _SINGLE + "    return [layer['Name'] for layer in info['Layers']\n"
            "            if layer['LayerType'] != 'Reformat' and layer['Inputs'] and all(\n"
            "        'FP32' in t['Format/Datatype'] for t in layer['Inputs'] + layer['Outputs'])]",
            "another view of the same numbers",
        ),
        (
            _SINGLE + "    return [layer['Name'] for layer in info['Layers']\n"
            "            if layer['LayerType'] not in ('Reformat', 'NoOp') and all(\n"
            "        'FP32' in t['Format/Datatype'] for t in layer['Inputs'] + layer['Outputs'])]",
            "is a constant",
        ),
        (
            _SINGLE + "    return [layer['Name'] for layer in info['Layers']\n"
            "            if layer['LayerType'] not in ('Reformat', 'NoOp') and layer['Inputs'] and all(\n"
            "        'FP32' in t['Format/Datatype'] for t in layer['Inputs'] + layer['Outputs'])]",
            "this ends in TypeError",
        ),
    ],
}
