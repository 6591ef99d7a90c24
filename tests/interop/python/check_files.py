"""Checks what ivado wrote: check_files.py STATE_DICT SAFETENSORS. Both hold a, b.weight, empty, ä and a counter."""
import json
import struct
import sys
from collections import OrderedDict

import torch

expected = OrderedDict([("a", torch.tensor([[1.0, -2.0, 3.5], [0.0, 1e-30, 7.0]])), ("b.weight", torch.arange(400.0)),
                        ("empty", torch.empty(0, 4)), ("ä", torch.tensor(0.5)), ("counter", torch.tensor(12345678901))])


def check(found):
    assert list(found) == list(expected), list(found)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, name
        assert torch.equal(found[name], tensor), name


loaded = torch.load(sys.argv[1])
assert type(loaded) is OrderedDict
assert all(tensor.is_contiguous() and not tensor.requires_grad for tensor in loaded.values())
check(loaded)
check(torch.load(sys.argv[1], weights_only=True))

with open(sys.argv[2], "rb") as file:
    content = file.read()
size = struct.unpack("<Q", content[:8])[0]
tensors = OrderedDict()
for name, entry in json.loads(content[8:8 + size]).items():
    if name != "__metadata__":
        begin, end = entry["data_offsets"]
        dtype = {"F32": torch.float32, "I64": torch.int64}[entry["dtype"]]
        raw = bytearray(content[8 + size + begin:8 + size + end])
        tensors[name] = (torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)).reshape(entry["shape"])
check(tensors)
