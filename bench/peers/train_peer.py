#!/usr/bin/env python3
"""Trains one of cddp's image models with Python's PyTorch, on one worker: images per second to
compare `cddp train` with.

    bench/peers/train_peer.py --model simple_cnn --batch-size 64 --threads 2 --steps 200
    bench/peers/train_peer.py --model resnet18 --batch-size 512 --steps 100 --device cuda \
        --amp bf16 --channels-last

Everything that could slow Python down besides training is left out: the data are random
images that lie in memory (the GPU's with --device cuda), normalised, and a batch is one gather. Augmentation is left out,
which cddp does. Writes the median time of a step, from the gather to the optimiser.

    bench/peers/train_peer.py --model resnet18 --cifar10 data/cifar10 --steps 300

trains on the first images of CIFAR-10, as many as the steps need, each once; the losses of
the steps are what scripts/loss_curves.py compares.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class SimpleCNN(nn.Module):
    def __init__(self, channels=1, pixels=28):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * (pixels // 4) ** 2, 128)
        self.dropout = nn.Dropout(0.5)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc2(self.dropout(x))


def resnet(name):
    from torchvision import models
    model = getattr(models, name)(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)  # the stem for small images
    model.maxpool = nn.Identity()
    return model


def cifar10(folder, count):
    """The first `count` training images, normalised as cddp does, and their labels."""
    records = torch.cat([torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
                         for path in sorted(folder.glob("data_batch_*.bin"))]).view(-1, 3073)[:count]
    mean = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1)
    std = torch.tensor([0.2470, 0.2435, 0.2616]).view(3, 1, 1)
    return (records[:, 1:].view(-1, 3, 32, 32) / 255.0 - mean) / std, records[:, 0].long()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["simple_cnn", "resnet18", "resnet50"], required=True)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--amp", choices=["none", "bf16"], default="none")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cifar10", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    if arguments.model == "simple_cnn":
        model, shape = SimpleCNN(), (1, 28, 28)
    else:
        model, shape = resnet(arguments.model), (3, 32, 32)
    total = arguments.warmup + arguments.steps
    if arguments.cifar10:
        images, labels = cifar10(arguments.cifar10, total * arguments.batch_size)
        order = torch.randperm(len(images)).split(arguments.batch_size)
    else:
        images = torch.randn(4096, *shape)
        labels = torch.randint(10, (4096,))
        order = torch.randint(len(images), (total, arguments.batch_size))
    if arguments.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    model = model.to(arguments.device)
    images, labels = images.to(arguments.device), labels.to(arguments.device)
    order = [chosen.to(arguments.device) for chosen in order]
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)
    model.train()
    device_type = torch.device(arguments.device).type
    times, losses = [], []
    for chosen in order:
        start = time.perf_counter()
        batch, targets = images[chosen], labels[chosen]
        if arguments.channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device_type, torch.bfloat16, enabled=arguments.amp == "bf16"):
            logits = model(batch)
        loss = F.cross_entropy(logits.float(), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())  # waits for the GPU
        times.append(time.perf_counter() - start)
    step = statistics.median(times[arguments.warmup:])
    report = {"model": arguments.model, "torch": torch.__version__,
              "batch_size": arguments.batch_size, "threads": arguments.threads,
              "channels_last": arguments.channels_last, "device": arguments.device,
              "amp": arguments.amp, "steps": arguments.steps,
              "step_ms_median": 1e3 * step, "images_per_s": arguments.batch_size / step, "losses": losses}
    text = json.dumps(report)
    if arguments.json:
        with open(arguments.json, "w") as out:
            out.write(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    try:
        main()
    except ImportError as error:
        sys.exit(f"train_peer.py: {error}; install Debian's python3-torch and python3-torchvision "
                 "and use /usr/bin/python3")
