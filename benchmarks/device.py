"""One GPU in eight minutes: inference, training, MC dropout, an ensemble, the input pipeline; beside PyTorch's best.

    python benchmarks/device.py [--device=GPU] [--budget_s=480] [--json=device.json] [--peers_python=PATH] [--tiny]

Each part runs in float32, in TF32 (float32 that a GPU may round), in bfloat16 and in float16, without XLA and with it. Parts
go by importance; each has a share of the time, what one leaves over the next have; one that overruns is ended, and the results
so far are in the file after every case. PyTorch takes part where `--peers_python` has it (this Python by default), channels
last, compiled too. Needs no network. Exit code 2 where TensorFlow cannot be imported or sees no such device. `--tiny` with
`--device=CPU` is the script's own test.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

# {part: its share of the time}; of each process in the order that they run
SHARES = {
    "tfunc": {"inference": 3, "training": 5, "mc": 3, "ensemble": 2, "pipeline": 1},
    "torch": {"inference": 2, "training": 3, "mc": 2},
}
COMPARED = tuple(SHARES["torch"])
GRACE = 3.0  # seconds after its share until a part is ended from outside
IMPORTS = "import sys, tensorflow as tf; sys.stdout.write(repr([d.name for d in tf.config.list_physical_devices(sys.argv[1])]))"


def flags_of(arguments=None):
    """The flags; `--worker`, `--parts` and `--seconds` are the script's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["GPU", "CPU"], default="GPU")
    parser.add_argument("--budget_s", type=float, default=480, help="seconds, all parts together")
    parser.add_argument("--json", default="device.json", help="the results, written after every case")
    parser.add_argument("--peers_python", default=sys.executable, help="Python that has PyTorch")
    parser.add_argument("--tiny", action="store_true", help="seconds on a CPU: whether it runs, not how fast")
    parser.add_argument("--worker", choices=[*SHARES], help=argparse.SUPPRESS)
    parser.add_argument("--parts", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def environment(flags):
    """Of the children: a CPU is asked for by hiding GPUs; PyTorch and TensorFlow are never on the device together."""
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"} if flags.device == "CPU" else {}
    return {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true", **os.environ, **hidden}


def check(flags):
    """Ends with exit code 2 and one line where TensorFlow cannot be imported, or sees no such device."""
    command = [sys.executable, "-c", IMPORTS, flags.device]
    ended = subprocess.run(command, env=environment(flags), capture_output=True, text=True)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        refuse(f"{sys.executable}: TensorFlow cannot be imported: {last}")
    if ended.stdout == "[]":
        do = "check nvidia-smi, and that TensorFlow came with CUDA (pip install tensorflow[and-cuda])"
        refuse(f"--device={flags.device}: TensorFlow sees no such device; {do}")
    if subprocess.run([flags.peers_python, "-c", "import torch"], capture_output=True).returncode:
        print(f"PyTorch is left out: {flags.peers_python} cannot import it", flush=True)
        return False
    return True


def refuse(line):
    """One line on standard error, exit code 2."""
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(2)


class Watch:
    """Ends a process that has not said anything new by its deadline."""

    def __init__(self, process):
        self.process, self.timer = process, None

    def until(self, seconds):
        """The deadline is now so far away."""
        self.cancel()
        self.timer = threading.Timer(seconds, self.process.kill)
        self.timer.start()

    def cancel(self):
        """No deadline."""
        if self.timer is not None:
            self.timer.cancel()


def run(worker, python, flags, seconds, keep):
    """All parts of one worker within `seconds`; `keep(row)` is called with each case. A part that overruns costs itself alone."""
    parts, end = list(SHARES[worker]), time.monotonic() + seconds
    while parts and (left := end - time.monotonic()) > 0:
        asked = [f"--worker={worker}", f"--parts={','.join(parts)}", f"--seconds={left}"]
        command = [python, __file__, *sys.argv[1:], *asked]
        process = subprocess.Popen(command, env=environment(flags), stdout=subprocess.PIPE, text=True)
        watch, begun = Watch(process), parts[0]
        watch.until(left)
        try:
            for line in process.stdout:
                said = json.loads(line)
                if "begins" in said:
                    begun = said["begins"]
                    watch.until(min(said["seconds"] + GRACE, max(0.1, end + GRACE - time.monotonic())))
                else:
                    keep(said)
        except BaseException:
            process.kill()
            raise
        finally:
            watch.cancel()
        if (code := process.wait()) == 0:
            return
        why = "its share of the time was spent" if code == -signal.SIGKILL else f"exit code {code}"
        keep({"part": begun, "engine": worker, "left out": f"ended: {why}"})
        parts = parts[parts.index(begun) + 1 :]


def claims_of(rows):
    """tfunc's fastest beside PyTorch's, part by part and precision by precision; and that the pipeline keeps the device busy."""
    import measured

    def best(part, engine, precision):
        same = {"part": part, "engine": engine, "precision": precision}
        return max(
            (row["images/s"] for row in rows if same.items() <= row.items() and row.get("images/s")), default=None
        )

    claims = []
    for part in COMPARED:
        for precision in dict.fromkeys(row.get("precision") for row in rows if row["part"] == part):
            rates = [best(part, engine, precision) for engine in SHARES]
            if all(rates):
                claims.append(
                    measured.at_least(f"{part}, {precision}: tfunc to PyTorch's best", rates[0] / rates[1], 1.0)
                )
    pipeline = [row["images/s"] for row in rows if row["part"] == "pipeline" and row.get("images/s")]
    steps = [
        row["images/s"]
        for row in rows
        if row["part"] == "training" and row["engine"] == "tfunc" and row.get("images/s")
    ]
    if pipeline and steps:
        text = "the input pipeline to the fastest training"
        claims.append(measured.at_least(text, max(pipeline) / max(steps), 1.0))
    return claims


def shown(row):
    """A row as one line."""
    rest = row.get("left out") or f"{row['images/s']:10.1f} images/s, first call {row['first call s']:.1f} s"
    names = (row.get(name) for name in ("engine", "part", "precision", "form"))
    return " ".join([*(f"{name:10}" for name in names if name), rest])


def main():
    flags = flags_of()
    if flags.worker:
        import device_parts

        device_parts.work(flags, SHARES[flags.worker])
        return
    end = time.monotonic() + flags.budget_s
    torch_too = check(flags)
    import measured

    rows: list[dict] = []
    found = measured.here("device", measured.versions("tensorflow", "keras"))

    def keep(row):
        rows.append(row)
        print(shown(row), flush=True)
        measured.write(measured.here("device", found.versions, claims_of(rows), rows=rows), flags.json)

    shares = {name: sum(parts.values()) for name, parts in SHARES.items() if name == "tfunc" or torch_too}
    pythons = {"tfunc": sys.executable, "torch": flags.peers_python}
    for index, name in enumerate(shares):
        later = sum([*shares.values()][index:])
        run(name, pythons[name], flags, (end - time.monotonic()) * shares[name] / later, keep)
    measured.report(measured.here("device", found.versions, claims_of(rows), rows=rows), flags.json)


if __name__ == "__main__":
    main()
