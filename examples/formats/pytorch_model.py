"""Train a small PyTorch network, export it to ONNX and pack it. Usage: python pytorch_model.py FOLDER

To serve it needs neither PyTorch nor this script: only onnxruntime.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from data import tumours

from model_packaging import pack

torch.manual_seed(0)
inputs, answers = tumours()
rows = torch.tensor(inputs.to_numpy(), dtype=torch.float32)
classes = sorted(set(answers))
wanted = torch.tensor([classes.index(answer) for answer in answers])


class Network(torch.nn.Module):
    """Two layers over columns that are brought to one scale; answers with a probability for each class."""

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.layers = torch.nn.Sequential(torch.nn.Linear(len(mean), 16), torch.nn.ReLU(), torch.nn.Linear(16, classes))

    def scores(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layers((rows - self.mean) / self.deviation)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.scores(rows), dim=1)


network = Network(rows.mean(dim=0), rows.std(dim=0), len(classes))
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
for _ in range(200):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network.scores(rows), wanted).backward()
    optimizer.step()

with TemporaryDirectory() as folder:
    file = Path(folder) / "network.onnx"
    torch.onnx.export(
        network.eval(),
        (rows[:2],),
        file,
        input_names=["rows"],
        output_names=["probabilities"],
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    package = pack(file, name="tumours", inputs=inputs, output=sys.argv[1], task="classification", classes=classes)
print(package.manifest["model"]["stored"])
print(f"{package.path}@{package.digest}")
