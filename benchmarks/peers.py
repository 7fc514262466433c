"""The paper's U-Net here and in the engines a user could pick instead, in turns: inference, training, MC dropout.

    make .venv/installed .venv-peers/installed
    .venv/bin/python benchmarks/peers.py [--part=inference,training,mc] [--precision=float32,bfloat16] [--batch=4]
        [--rounds=7] [--engines=torch,onnxruntime,openvino] [--peers_python=PATH] [--json=FILE]

tfunc, PyTorch, ONNX Runtime and OpenVINO are one process each, which prepares everything and works only when it is its turn;
an engine takes part in all forms a user could pick (channels last, fused, compiled, autocast or cast, streams of requests),
and the fastest is its best. All give the probability of the foreground in float32. Medians over all rounds, ratios of medians.
The default takes half an hour or more on two cores, most of it in `mc`: parts and precisions can be run one at a time.
`--quick` is a small network, once.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import turns

PARTS, PRECISIONS, ENGINES = (
    ("inference", "training", "mc"),
    ("float32", "bfloat16"),
    ("torch", "onnxruntime", "openvino"),
)
# of tfunc's rate to the best rate of each engine that the part is compared with: (engines, limit)
LIMITS = {
    ("inference", "bfloat16"): [(("openvino",), 1.0), (("torch",), 1.5)],
    ("inference", "float32"): [(ENGINES, 1.1)],
    ("training", "bfloat16"): [(("torch",), 1.2)],
    ("training", "float32"): [(("torch",), 1.25)],
    ("mc", "bfloat16"): [(("torch",), 1.8)],
}
SAMPLED = {"bfloat16": 0.95, "float32": 0.97}  # a sampled pass to a deterministic one
OURS, DETERMINISTIC = "probability", "deterministic"
OPENVINO = "--engine=openvino"  # of predict


def words(allowed):
    """Parses a list of these words."""

    def parse(text):
        found = tuple(text.split(","))
        if unknown := [word for word in found if word not in allowed]:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(allowed)}, found {unknown[0]}")
        return found

    return parse


def flags_of(arguments=None):
    """The flags; `--worker` and `--files` are the script's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=words(PARTS), default=PARTS)
    parser.add_argument("--precision", type=words(PRECISIONS), default=PRECISIONS)
    parser.add_argument("--engines", type=words(ENGINES), default=ENGINES)
    parser.add_argument("--size", default="192,256", help="height,width")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--start_filters", type=int, default=32)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--samples", type=int, default=5, help="passes of MC dropout, in which time is linear")
    parser.add_argument("--slices", type=int, default=16, help="batch of MC dropout: slices of one subject")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs")
    parser.add_argument("--python", default=sys.executable, help="Python that has TensorFlow")
    parser.add_argument(
        "--peers_python", default=str(ROOT / ".venv-peers/bin/python"), help="Python that has the peers"
    )
    parser.add_argument("--json", help="write the results there")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--files", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.quick:
        flags.size, flags.start_filters, flags.depth, flags.samples, flags.slices, flags.rounds = "32,32", 4, 2, 3, 2, 1
    return flags


def sizes(flags):
    """(of inference and training, of MC dropout)."""
    import ours

    height, width = map(int, flags.size.split(","))
    size = ours.Size(flags.batch, height, width, flags.start_filters, flags.depth)
    return size, ours.dataclasses.replace(size, batch=flags.slices)


def of_tfunc(flags):
    """tfunc's parts: the graphs that `predict` and `train` run."""
    from data_prep.base import processes

    processes.start_tensorflow()
    import ours

    from tfunc.nets import stack

    size, volume = sizes(flags)
    parts = {}
    for precision in flags.precision:
        if "inference" in flags.part:
            parts[f"inference/{precision}/{OURS}"] = ours.probability(size, precision), size.batch
            parts[f"inference/{precision}/all maps"] = ours.prediction(size, precision), size.batch
            parts[f"inference/{precision}/all maps, {OPENVINO}"] = (
                ours.prediction(size, precision, engine="openvino"),
                size.batch,
            )
        if "training" in flags.part:
            parts[f"training/{precision}/step"] = ours.training(size, precision), size.batch
        if "mc" in flags.part:
            parts[f"mc/{precision}/sampled"] = ours.prediction(volume, precision, flags.samples), volume.batch
            parts[f"mc/{precision}/sampled, {OPENVINO}"] = (
                ours.prediction(volume, precision, flags.samples, engine="openvino"),
                volume.batch,
            )
            parts[f"mc/{precision}/{DETERMINISTIC}"] = ours.prediction(volume, precision), volume.batch
    return parts, stack.versions()


def of_torch(flags):
    """PyTorch's."""
    import peers_torch
    import torch

    size, volume = sizes(flags)
    parts = {}
    for precision in flags.precision:
        made = {
            "inference": lambda p=precision: (peers_torch.inference(size, p), size.batch),
            "training": lambda p=precision: (peers_torch.training(size, p), size.batch),
            "mc": lambda p=precision: (peers_torch.monte_carlo(volume, p, flags.samples), volume.batch),
        }
        for part in flags.part:
            candidates, images = made[part]()
            parts |= {f"{part}/{precision}/{name}": (call, images) for name, call in candidates.items()}
    return parts, {"torch": torch.__version__}


def of_onnxruntime(flags):
    """ONNX Runtime's: float32 inference."""
    import onnxruntime
    import peers_engines

    made = peers_engines.onnx_runtime(sizes(flags)[0], f"{flags.files}/network.onnx")
    return {f"inference/float32/{name}": part for name, part in made.items()}, {"onnxruntime": onnxruntime.__version__}


def of_openvino(flags):
    """OpenVINO's: inference."""
    import openvino
    import peers_engines

    parts = {}
    for precision in flags.precision:
        made = peers_engines.openvino(
            sizes(flags)[0], precision, f"{flags.files}/network.onnx", f"{flags.files}/served/1"
        )
        parts |= {f"inference/{precision}/{name}": part for name, part in made.items()}
    return parts, {"openvino": openvino.__version__.split("-")[0]}


def write_onnx(flags):
    """Not a candidate: writes what two of them read."""
    import peers_engines

    peers_engines.write_onnx(sizes(flags)[0], f"{flags.files}/network.onnx")


def write_saved_model(flags):
    """Not a candidate: our own export, which OpenVINO converts."""
    from data_prep.base import processes

    processes.start_tensorflow()
    import ours

    ours.write_export(sizes(flags)[0], pathlib.Path(flags.files) / "served" / "1")


def work(flags):
    """Runs as a worker."""
    if flags.worker.startswith("write_"):
        globals()[flags.worker](flags)
    else:
        turns.serve(*globals()[f"of_{flags.worker}"](flags))


def start(flags, folder):
    """{engine: worker}, tfunc first; each prepares alone."""
    engines = [name for name in flags.engines if name == "torch" or "inference" in flags.part]
    engines = [name for name in engines if name != "onnxruntime" or "float32" in flags.precision]
    arguments = [*sys.argv[1:], f"--files={folder}"]

    def ran(name, python):
        return turns.Worker(python, __file__, [*arguments, f"--worker={name}"])

    if {"onnxruntime", "openvino"} & {*engines}:
        turns.once(flags.peers_python, __file__, [*arguments, "--worker=write_onnx"])
    if "openvino" in engines:
        turns.once(flags.python, __file__, [*arguments, "--worker=write_saved_model"])
    return {"tfunc": ran("tfunc", flags.python), **{name: ran(name, flags.peers_python) for name in engines}}


def by_part(rates, engines):
    """{(part, precision): {engine: {candidate: images a second}}}, from what `turns.measure` gives."""
    found = {}
    for name, columns in rates.items():
        part, precision, candidate = name.split("/")
        for engine, rate in zip(engines, columns, strict=True):
            if rate is not None:
                found.setdefault((part, precision), {}).setdefault(engine, {})[candidate] = rate
    return found


def own(candidates):
    """tfunc's rate that is compared: its best, as the peers', of what does their work."""
    return max(rate for name, rate in candidates.items() if name != DETERMINISTIC)


def claims_of(found, samples):
    """The claims that the measured parts decide."""
    import measured

    claims = []
    for (part, precision), engines in found.items():
        for compared, limit in LIMITS.get((part, precision), []):
            best = [max(engines[name].values()) for name in compared if name in engines]
            if best:
                text = f"{part}, {precision}: tfunc to the best of {', '.join(n for n in compared if n in engines)}"
                claims.append(measured.at_least(text, own(engines["tfunc"]) / max(best), limit))
        if part == "mc":
            rates = engines["tfunc"]
            value = samples * rates["sampled"] / rates[DETERMINISTIC]
            text = f"mc, {precision}: a sampled pass to a deterministic one, T={samples}"
            claims.append(measured.at_least(text, value, SAMPLED[precision]))
    return claims


def rows_of(found):
    """The table: a row a candidate."""
    return [
        {
            "part": part,
            "precision": precision,
            "engine": engine,
            "candidate": candidate,
            "images/s": round(rate, 3),
            "tfunc's best is faster by": round(own(engines["tfunc"]) / rate, 3),
        }
        for (part, precision), engines in found.items()
        for engine, candidates in engines.items()
        for candidate, rate in candidates.items()
    ]


def main():
    flags = flags_of()
    if flags.worker:
        work(flags)
        return
    for python in (flags.python, flags.peers_python):
        if not pathlib.Path(python).exists():
            sys.exit(f"error: {python}: not found; run `make .venv/installed .venv-peers/installed`")
    import measured

    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        workers = start(flags, folder)
        rates = turns.measure(list(workers.values()), flags.rounds)
        for one in workers.values():
            one.close()
    found = by_part(rates, list(workers))
    size, volume = sizes(flags)
    print(f"{size}; mc: batch {volume.batch}, T={flags.samples}; {flags.rounds} rounds")
    rows = rows_of(found)
    for row in rows:
        line = "{part:10} {precision:9} {engine:12} {candidate:36} {images/s:8.2f}   {tfunc's best is faster by:.2f}"
        print(line.format(**row))
    versions = {name: value for one in workers.values() for name, value in one.versions.items()}
    measured.report(measured.here("peers", versions, claims_of(found, flags.samples), rows=rows), flags.json)


if __name__ == "__main__":
    main()
