"""Compares ResNet-18 and -50 with torchvision's: initialisation, names, and logits of our
weights in torchvision's models and of torchvision's in ours.

    torchvision_test.py PATH/TO/model_weights_tool

Needs torch and torchvision (Debian: python3-torch, python3-torchvision); without them it
says so and ends with 77, which ctest counts as skipped.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import torch
    import torchvision
except ImportError as error:
    print(f"skipped: {sys.executable}: {error}; install python3-torch and python3-torchvision")
    sys.exit(77)

TYPES = {"F32": torch.float32, "I64": torch.int64}
CLASSES = {"cifar": 10, "imagenet": 1000}
SIZE = {"cifar": 32, "imagenet": 96}  # rows and columns of the images
MODELS = [(name, stem) for name in ("resnet18", "resnet50") for stem in SIZE]
SEED = 5


def read_safetensors(path):
    data = bytearray(pathlib.Path(path).read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    return {
        name: torch.frombuffer(
            data[begin + t["data_offsets"][0] : begin + t["data_offsets"][1]],
            dtype=TYPES[t["dtype"]],
        ).reshape(t["shape"])
        for name, t in header.items()
    }


def write_safetensors(path, tensors):
    names = {dtype: name for name, dtype in TYPES.items()}
    header, parts, end = {}, [], 0
    for name, tensor in tensors.items():
        parts.append(tensor.detach().contiguous().numpy().tobytes())
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + len(parts[-1])],
        }
        end += len(parts[-1])
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def torchvision_model(name, stem):
    model = getattr(torchvision.models, name)(num_classes=CLASSES[stem])
    if stem == "cifar":
        model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    return model


class TorchvisionTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def tool(self, command, *arguments):
        run = subprocess.run(
            [TOOL, command, *map(str, arguments)], stdout=subprocess.PIPE, check=True, text=True
        )
        return run.stdout.split()

    def images(self, stem, seed):
        images = torch.randn(
            4, 3, SIZE[stem], SIZE[stem], generator=torch.Generator().manual_seed(seed)
        )
        write_safetensors(self.folder / "images", {"images": images})
        return images

    def make(self, name, stem):
        """Ours after one batch in training mode: its names in order, and its tensors."""
        names = self.tool(
            "make", name, stem, CLASSES[stem], SEED, self.folder / "images", self.folder / "weights"
        )
        return names, read_safetensors(self.folder / "weights")

    def assert_same_logits(self, theirs, name, stem):
        """The weights lie in self.folder / "weights", `theirs` has them too."""
        theirs.eval()
        images = self.images(stem, seed=2)
        with torch.no_grad():
            expected = theirs(images)
        self.tool(
            "logits", name, stem, CLASSES[stem], self.folder / "weights", self.folder / "images",
            self.folder / "logits",
        )
        logits = read_safetensors(self.folder / "logits")["logits"]
        difference = ((logits - expected).abs().max() / expected.abs().max()).item()
        self.assertEqual(logits.shape, expected.shape)
        self.assertLess(difference, 1e-5)
        print(f"{self.id().split('.')[-1]} {name} {stem}: logits differ by {difference:.1e}")

    def test_names_and_their_order(self):
        for name, stem in MODELS:
            self.images(stem, seed=1)
            names, tensors = self.make(name, stem)
            theirs = torchvision_model(name, stem)
            self.assertEqual(
                names,
                [n for n, _ in theirs.named_parameters()] + [n for n, _ in theirs.named_buffers()],
            )
            self.assertEqual(
                {n: (t.shape, t.dtype) for n, t in tensors.items()},
                {n: (t.shape, t.dtype) for n, t in theirs.state_dict().items()},
            )

    def test_the_same_generator_draws_the_same_weights(self):
        for name in ("resnet18", "resnet50"):
            images = self.images("imagenet", seed=1)
            _, tensors = self.make(name, "imagenet")
            torch.manual_seed(SEED)
            theirs = torchvision_model(name, "imagenet")
            for parameter, value in theirs.named_parameters():
                self.assertTrue(torch.equal(tensors[parameter], value), f"{name} {parameter}")
            # One batch later the running statistics agree, too.
            theirs.train()
            theirs(images)
            for buffer, value in theirs.named_buffers():
                torch.testing.assert_close(tensors[buffer], value, rtol=1e-4, atol=1e-5)

    def test_our_weights_in_torchvision(self):
        for name, stem in MODELS:
            self.images(stem, seed=1)
            _, tensors = self.make(name, stem)
            theirs = torchvision_model(name, stem)
            theirs.load_state_dict(tensors, strict=True)
            self.assert_same_logits(theirs, name, stem)

    def test_torchvisions_weights_in_ours(self):
        for name, stem in MODELS:
            torch.manual_seed(SEED + 1)
            theirs = torchvision_model(name, stem)
            # As after training: normalisations are not what they begin as.
            for key, value in theirs.state_dict().items():
                if value.dim() == 1:
                    value.add_(0.2 * torch.rand_like(value))
                elif key.endswith("num_batches_tracked"):
                    value.fill_(1234567890123)
            write_safetensors(self.folder / "weights", theirs.state_dict())
            self.assert_same_logits(theirs, name, stem)


if __name__ == "__main__":
    TOOL = sys.argv.pop(1)
    unittest.main(verbosity=2)
