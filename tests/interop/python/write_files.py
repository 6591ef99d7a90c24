"""Writes the files that tests of ivado read: write_files.py FOLDER. Element i of tensor n is n + i / 4."""
import json
import struct
import sys
import types
from collections import OrderedDict

import torch

folder = sys.argv[1] + "/"


def filled(number, shape, dtype=torch.float32):
    tensor = torch.empty(shape, dtype=dtype)
    return (number + torch.arange(tensor.numel(), dtype=torch.float64).reshape(shape) / 4).to(dtype)


base = filled(2, (4, 3))
state = OrderedDict(
    a=filled(1, (2, 3)), transposed=base.t(), part=base[1:3, 1:], half=filled(3, (5,), torch.float16),
    brain=filled(4, (5,), torch.bfloat16), double=filled(5, (5,), torch.float64), empty=torch.empty(0, 3),
    scalar=torch.tensor(7), wide=torch.ones(1, 2).expand(3, 2), int32=torch.tensor([-1, 2], dtype=torch.int32),
    int16=torch.tensor([-1, 2], dtype=torch.int16), int8=torch.tensor([-1, 2], dtype=torch.int8),
    uint8=torch.tensor([255, 2], dtype=torch.uint8), bool=torch.tensor([True, False]),
    parameter=torch.nn.Parameter(filled(6, (2,))))
state["with.dots.ä"] = filled(7, (1,))
torch.save(state, folder + "state.pt")
torch.save(state, folder + "state_protocol4.pt", pickle_protocol=4)
torch.save(state, folder + "state_legacy.pt", _use_new_zipfile_serialization=False)

# A model of a module that does not exist when the file is read.
models = types.ModuleType("ivadomed.models")
exec("""
import torch
class Unet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, bias=False), torch.nn.BatchNorm2d(2))
        self.tied = torch.nn.Linear(3, 3)
        self.again = self.tied
        self.nothing = None
        self.depth = 3
        self.register_buffer("passing", torch.zeros(2), persistent=False)
        self.register_buffer("lasting", torch.zeros(2))
        self.register_parameter("missing", None)
Unet.__module__ = "ivadomed.models"
""", models.__dict__)
sys.modules["ivadomed"] = types.ModuleType("ivadomed")
sys.modules["ivadomed.models"] = models
model = models.Unet()
with torch.no_grad():
    for n, tensor in enumerate(model.state_dict().values()):
        tensor.copy_(filled(n, tensor.shape, tensor.dtype))
torch.save(model, folder + "model.pt")
torch.save(model, folder + "model_legacy.pt", _use_new_zipfile_serialization=False)
torch.save(model.state_dict(), folder + "model_state.pt")

optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
model.tied(torch.ones(1, 3)).sum().backward()
optimizer.step()
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
numpy_value = model.tied.weight.detach().numpy().mean()
torch.save({"epoch": 3, "state_dict": model.state_dict(), "optimizer": optimizer, "gammas": [1.0, 2], "scheduler": scheduler,
            "patience_count": 0, "validation_loss": numpy_value}, folder + "checkpoint.pth.tar")
torch.save(model.state_dict(), folder + "checkpoint_state.pt")

tensors = {"f16": ("F16", filled(1, (2, 2), torch.float16)), "f64": ("F64", filled(2, (3,), torch.float64)),
           "i32": ("I32", torch.tensor([-5, 6], dtype=torch.int32)), "f32": ("F32", filled(3, (3,)))}
header, data = {}, b""
for name, (dtype, tensor) in tensors.items():
    raw = tensor.numpy().tobytes()
    header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
with open(folder + "python.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
