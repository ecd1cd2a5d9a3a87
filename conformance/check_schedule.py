"""The learning rates of a run that goes on, by Megatron's own scheduler: those of the run that was never stopped.

python check_schedule.py NODE. The arguments are those of packages/sdk; `argparse` reads them as Megatron does.
"""
import argparse
import itertools
import json
import pathlib
import subprocess
import sys

from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

PEAK = 5e-5
MODULE = pathlib.Path(__file__).resolve().parent.parent / "packages/sdk/dist/restart/schedule-place.js"
ASK = """
const { scheduleArguments } = await import(process.argv[1]);
const asked = JSON.parse(process.argv[2]);
console.log(JSON.stringify(asked.map((place) => scheduleArguments(place, 5e-5))));
"""


class Optimizer:
    def __init__(self):
        self.param_groups = [{}]


def scheduler(arguments, floor, batch, train_iterations):
    parser = argparse.ArgumentParser()
    for name, kind in (("--lr-decay-iters", int), ("--lr-warmup-iters", int), ("--lr-warmup-init", float)):
        parser.add_argument(name, type=kind, default=0)
    read = parser.parse_args(arguments)
    return OptimizerParamScheduler(
        Optimizer(),
        init_lr=read.lr_warmup_init,
        max_lr=PEAK,
        min_lr=floor,
        lr_warmup_steps=read.lr_warmup_iters * batch,
        lr_decay_steps=read.lr_decay_iters * batch,
        lr_decay_style="cosine",
        start_wd=0.1,
        end_wd=0.1,
        wd_incr_steps=train_iterations * batch,
        wd_incr_style="constant",
    )


def rates(made, batch, count):
    found = [made.optimizer.param_groups[0]["lr"]]
    for _ in range(count):
        made.step(batch)
        found.append(made.optimizer.param_groups[0]["lr"])
    return found


def main():
    node = sys.argv[1]
    cases = []
    for length, warmup in ((50, 5), (1000, 100), (1000, 0), (37, 36)):
        starts = {1, 2, max(1, warmup - 1), max(1, warmup), warmup + 1, length // 2, length - 1}
        cases += [dict(start=start, iterations=length, warmupIterations=warmup) for start in sorted(starts) if start < length]
    command = [node, "--input-type=module", "-e", ASK, MODULE.as_uri(), json.dumps(cases)]
    arguments = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    compared, worst = 0, 0.0
    for (place, added), batch, floor in itertools.product(zip(cases, arguments), (1, 32), (0.0, 5e-6)):
        start, length, warmup = place["start"], place["iterations"], place["warmupIterations"]
        original = ["--lr-decay-iters", str(length), "--lr-warmup-iters", str(warmup)]
        whole = rates(scheduler(original, floor, batch, length), batch, length + 3)  # 3 past the end, where the floor is
        for train_iterations in (length, length - start):  # of the orders `continue` and `anew`
            # The launch script's own come first; of an option given twice the last counts.
            script = ["--lr-decay-iters", str(train_iterations), "--lr-warmup-iters", "0"]
            part = rates(scheduler(script + added, floor, batch, train_iterations), batch, length - start + 3)
            worst = max(worst, *(abs(a - b) / PEAK for a, b in zip(part, whole[start:], strict=True)))
            compared += len(part)
    print(f"schedule that goes on: {len(cases)} places, {compared} rates, largest difference {worst:.1e} of the peak")
    passed = compared > 0 and worst < 1e-12
    print(f"{int(passed)} passed, {int(not passed)} failed")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
