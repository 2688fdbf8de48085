#!/usr/bin/env python3
"""One worker of PyTorch DistributedDataParallel over Gloo, on a model that only
communicates: what cddp's synchronisation is compared with.

The model has parameters of given shapes and the loss sum_i <c_i, p_i>, whose gradient is
the constant c_i: autograd, DDP's reducer and the hook do all of their work, and almost
nothing else is computed. With --compute-ms X the gradients become ready over X ms, the
last parameter's first, each after its share by elements, as in a backward pass on an
accelerator: the worker sleeps until then.

    scripts/lab.sh up 4 1gbit
    printf 'weight 512 512 3 3\\nbias 512\\n' > shapes.txt
    scripts/lab.sh run -- /usr/bin/python3 bench/peers/ddp_peer.py \\
        --shapes-file shapes.txt --hook fp16 --steps 10 --json fp16.json

Needs PyTorch (Debian package python3-torch: /usr/bin/python3) and RANK, WORLD_SIZE,
MASTER_ADDR and MASTER_PORT in the environment; OMP_NUM_THREADS says how many threads.
Without --json, rank 0 prints its result. A step starts at a barrier; its time is the mean over
the ranks, less autograd_ms: what backward takes without synchronisation, beyond --compute-ms.
Copies into DDP's buckets and out of them stay in it. Ends with 3 when it only lost another
worker, with 2 for wrong arguments.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import sys
import time

PEER_LOST = 3
# DDP rebuilds its buckets after the first step; PowerSGD keeps state per bucket.
POWERSGD_START = 2
# Ethernet, IPv4, and TCP with time stamps.
HEADER_BYTES = 14 + 20 + 32


class Refused(Exception):
    """What the caller can mend."""


def import_torch():
    # Global, as the classes below are made from what it brings.
    global torch, dist
    try:
        import torch
        import torch.distributed as dist
        if not dist.is_available():
            raise ImportError("torch is built without torch.distributed")
    except ImportError as error:
        raise Refused(f"{sys.executable} has no usable PyTorch ({error}): install the Debian "
                      "package python3-torch and use /usr/bin/python3") from error


def read_shapes(path):
    """The (name, dimensions) of FILE's lines `name d0 d1 ...`, in order."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read {path}: {error}") from error
    shapes = {}
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        name, *dimensions = words
        if not dimensions or not all(d.isascii() and d.isdigit() and int(d) for d in dimensions):
            raise Refused(f"{path}:{number}: expected a name and its dimensions from 1, as in "
                          f"'fc.weight 1000 2048', not '{line.strip()}'")
        if name in shapes:
            raise Refused(f"{path}:{number}: there is another {name} above")
        shapes[name] = tuple(map(int, dimensions))
    if not shapes:
        raise Refused(f"{path} has no shapes: expected lines such as 'fc.weight 1000 2048'")
    return list(shapes.items())


class Pace:
    """Sleeps until a share of the backward pass's time has gone by."""

    def __init__(self, compute_ms):
        self.seconds = compute_ms / 1000
        self.begin = 0.0

    def start(self):
        self.begin = time.perf_counter()

    def wait(self, share):
        remaining = self.begin + share * self.seconds - time.perf_counter()
        if self.seconds > 0 and remaining > 0:
            time.sleep(remaining)


def make_model(shapes, rank, pace):
    """A module whose forward() returns the root of the chain of gradients."""

    class Term(torch.autograd.Function):
        """<c, p>, and what was before it in the chain; only its gradient is computed."""

        @staticmethod
        def forward(ctx, before, parameter, gradient, share):
            ctx.gradient, ctx.share = gradient, share
            return before.clone()

        @staticmethod
        def backward(ctx, root):
            pace.wait(ctx.share)
            return root, ctx.gradient, None, None

    class Terms(torch.nn.Module):
        def __init__(self):
            super().__init__()
            random = torch.Generator().manual_seed(1 + rank)
            self.names = [name for name, _ in shapes]
            self.weights = torch.nn.ParameterList(
                torch.nn.Parameter(torch.zeros(shape)) for _, shape in shapes)
            self.gradients = [torch.randn(shape, generator=random) for _, shape in shapes]
            total = sum(p.numel() for p in self.weights)
            self.shares, done = [], total
            for parameter in self.weights:  # backward runs from the last one
                self.shares.append(done / total)
                done -= parameter.numel()

        def forward(self):
            root = torch.zeros(())
            for term in zip(self.weights, self.gradients, self.shares):
                root = Term.apply(root, *term)
            return root

    return Terms()


def distribute(model, arguments):
    """DDP of the model with the hook and the buckets asked for."""
    if arguments.one_bucket:
        # Beyond any model; DDP has a limit of its own for the first bucket.
        dist._DEFAULT_FIRST_BUCKET_BYTES = 1 << 50
        bucket_mb = 1 << 30
    else:
        bucket_mb = arguments.bucket_mb
    ddp = torch.nn.parallel.DistributedDataParallel(model, bucket_cap_mb=bucket_mb)
    if arguments.hook == "fp16":
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
        ddp.register_comm_hook(None, default_hooks.fp16_compress_hook)
    elif arguments.hook == "powersgd":
        from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook
        state = powerSGD_hook.PowerSGDState(
            None, matrix_approximation_rank=arguments.rank_of_approximation,
            start_powerSGD_iter=POWERSGD_START)
        ddp.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    return ddp


class Network:
    """Counts what the interface sends."""

    def __init__(self):
        choices = [os.environ.get("GLOO_SOCKET_IFNAME", "eth0"), "lo"]
        self.interface = next((i for i in choices if self.folder(i).is_dir()), None)
        if self.interface is None:
            raise Refused(f"there is no network interface {' or '.join(choices)}")
        # The loopback device carries what all workers of this machine send.
        self.sharers = (int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
                        if self.interface == "lo" else 1)

    @staticmethod
    def folder(interface):
        return pathlib.Path("/sys/class/net") / interface / "statistics"

    def sent(self):
        """Bytes of frames, and of what TCP carries in them, so far. The kernel cuts large
        packets behind the counters: both count one header for each large packet."""
        count = [int((self.folder(self.interface) / f"tx_{name}").read_text())
                 for name in ("bytes", "packets")]
        return (count[0] / self.sharers, (count[0] - HEADER_BYTES * count[1]) / self.sharers)


def measure(steps, prepare, step):
    """The times of the steps in ms, means over the ranks; each starts at a barrier."""
    times = []
    for _ in range(steps):
        work = prepare()
        dist.barrier()
        begin = time.perf_counter()
        step(work)
        times.append(1000 * (time.perf_counter() - begin))
    total = torch.tensor(times, dtype=torch.float64)
    dist.all_reduce(total)
    return (total / dist.get_world_size()).tolist()


def require_agreement(gradient, own, exact):
    """That the workers have the same gradient, and with `exact` the mean of their own:
    no figure for a synchronisation that was none."""
    spread = torch.stack([gradient, -gradient])
    dist.all_reduce(spread, op=dist.ReduceOp.MAX)
    if not torch.equal(spread[0], -spread[1]):
        raise RuntimeError("the workers have different gradients after synchronisation")
    if exact:
        mean = own.clone()
        dist.all_reduce(mean)
        torch.testing.assert_close(gradient, mean / dist.get_world_size(), rtol=0.02, atol=0.02)


def run_ddp(arguments, shapes, network):
    pace = Pace(arguments.compute_ms)
    model = make_model(shapes, dist.get_rank(), pace)
    ddp = distribute(model, arguments)

    def prepare():
        model.zero_grad(set_to_none=True)
        return ddp()

    def step(root):
        pace.start()
        root.backward()

    if arguments.nan:
        measure(arguments.warmup - 1, prepare, step)
        healthy = model.gradients[0].clone()
        if dist.get_rank() == 0:
            model.gradients[0].view(-1)[0] = math.nan
        measure(1, prepare, step)
        model.gradients[0].copy_(healthy)
    else:
        measure(arguments.warmup, prepare, step)
    before = network.sent()
    times = measure(arguments.steps, prepare, step)
    after = network.sent()
    if arguments.nan and not all(p.grad.isfinite().all() for p in model.weights):
        raise RuntimeError(f"{arguments.steps} steps after the one with a NaN gradients are not finite")
    last = model.weights[-1]
    require_agreement(last.grad, model.gradients[-1], arguments.hook in ("dense", "fp16"))
    with ddp.no_sync():
        alone = measure(arguments.steps, prepare, step)
    autograd_ms = max(0.0, statistics.median(alone) - arguments.compute_ms)
    return times, autograd_ms, before, after


def run_allreduce(arguments, shapes, network):
    elements = sum(math.prod(shape) for _, shape in shapes)
    own = torch.randn(elements, generator=torch.Generator().manual_seed(1 + dist.get_rank()))

    def step(tensor):
        time.sleep(arguments.compute_ms / 1000)  # one tensor: nothing can overlap
        dist.all_reduce(tensor)

    measure(arguments.warmup, own.clone, step)
    before = network.sent()
    times = measure(arguments.steps, own.clone, step)
    return times, 0.0, before, network.sent()


def report(arguments, shapes, network, times, autograd_ms, before, after):
    sent = torch.tensor([(b - a) / arguments.steps for a, b in zip(before, after)],
                        dtype=torch.float64)
    dist.all_reduce(sent)
    frames, payload = (sent / dist.get_world_size()).tolist()
    result = {
        "peer": "pytorch-ddp",
        "hook": "allreduce" if arguments.raw_allreduce else arguments.hook,
        "rank_of_approximation":
            arguments.rank_of_approximation if arguments.hook == "powersgd" else None,
        "shapes": str(arguments.shapes_file),
        "parameters": sum(math.prod(shape) for _, shape in shapes),
        "world_size": dist.get_world_size(),
        "compute_ms": arguments.compute_ms,
        # null: all in one.
        "bucket_mb": None if arguments.one_bucket or arguments.raw_allreduce
        else arguments.bucket_mb,
        "steps": arguments.steps,
        "step_ms_median": statistics.median(times) - autograd_ms,
        "step_ms": [time - autograd_ms for time in times],
        "autograd_ms": autograd_ms,
        "tx_bytes_per_step": round(payload),
        "nic_tx_bytes_per_step": round(frames),
        "interface": network.interface,
        "torch_version": torch.__version__,
    }
    if dist.get_rank() != 0:
        return
    text = json.dumps(result, indent=2) + "\n"
    if arguments.json:
        arguments.json.write_text(text)
    else:
        print(text, end="")


def number(least, kind=int):
    def parse(text):
        value = kind(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number from {least}")
        return value
    parse.__name__ = "number"
    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes-file", type=pathlib.Path, required=True, metavar="FILE",
                        help="lines 'name d0 d1 ...', in the order of registration")
    parser.add_argument("--hook", choices=("dense", "fp16", "powersgd"), default="dense",
                        help="what synchronises (dense: DDP's own allreduce)")
    parser.add_argument("--rank-of-approximation", type=int, choices=(1, 2, 4), default=1,
                        help="of PowerSGD (default 1)")
    parser.add_argument("--raw-allreduce", action="store_true",
                        help="one all_reduce of all parameters, without DDP")
    parser.add_argument("--bucket-mb", type=number(0.001, float), default=25, metavar="X",
                        help="MiB of a bucket (default 25, as DDP's)")
    parser.add_argument("--one-bucket", action="store_true", help="all parameters in one")
    parser.add_argument("--steps", type=number(1), default=10, metavar="S")
    parser.add_argument("--warmup", type=number(0), default=3, metavar="W",
                        help="steps before those (default 3)")
    parser.add_argument("--compute-ms", type=number(0, float), default=0, metavar="X",
                        help="time over which the gradients become ready (default 0)")
    parser.add_argument("--nan", action="store_true",
                        help="a NaN in rank 0's gradient in the last step before those that are timed: "
                             "ends with an error unless gradients are finite in the end")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="rank 0's result")
    arguments = parser.parse_args()
    if arguments.hook == "powersgd" and arguments.warmup <= POWERSGD_START:
        parser.error(f"PowerSGD begins after {POWERSGD_START} steps of its own: --warmup from "
                     f"{POWERSGD_START + 1}")
    if arguments.raw_allreduce and arguments.hook != "dense":
        parser.error("--raw-allreduce has no hook")
    if arguments.nan and (arguments.raw_allreduce or arguments.warmup == 0):
        parser.error("--nan needs DDP, and a step of --warmup")
    return arguments


def join():
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
               if name not in os.environ]
    if missing:
        raise Refused(f"not set: {', '.join(missing)}. scripts/lab.sh run -- ... sets them.")
    dist.init_process_group("gloo")


def lost_peer(error):
    return any(words in str(error) for words in
               ("Connection closed", "Connection reset", "Broken pipe", "Connection refused",
                "Timed out", "timed out", "Socket Timeout"))


def main():
    arguments = parse_arguments()
    try:
        shapes = read_shapes(arguments.shapes_file)
        import_torch()
        join()
        network = Network()
        run = run_allreduce if arguments.raw_allreduce else run_ddp
        report(arguments, shapes, network, *run(arguments, shapes, network))
        dist.barrier()  # none leaves while another still talks to it
    except Refused as error:
        print(f"ddp_peer.py: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not lost_peer(error):
            raise
        print(f"ddp_peer.py: lost another worker: {str(error).splitlines()[0]}", file=sys.stderr)
        return PEER_LOST
    return 0


if __name__ == "__main__":
    sys.exit(main())
