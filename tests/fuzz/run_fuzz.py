"""Runs all targets, each in a process of its own, and says what came of them: `make fuzz MINUTES=10`.

    python tests/fuzz/run_fuzz.py --minutes=10 --out=tests/fuzz/results.json

Prints a table and writes it with the date, the commit and the versions. Exit code 1 where anything was no result and no line;
the first input of each such fault is in the file.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]

import harness

DOCUMENT = HERE.parents[1] / "docs" / "reference" / "reliability.md"
MARKS = ("<!-- make fuzz writes from here -->", "<!-- to here -->")
COLUMNS = ("target", "inputs", "errors said", "tracebacks", "slowest, s", "peak memory, MiB")


def in_own_process(target: harness.Target, examples: int, seconds: float, seed: int) -> dict:
    """The row of one target, its process's peak memory with it: that of the commands it started, too."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        with os.fdopen(writing, "w") as file:
            json.dump(in_this_process(target, examples, seconds, seed), file)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    _, status, usage = os.wait4(child, 0)
    ended = {"inputs": 0, "errors": 0, "tracebacks": 1, "slowest": 0.0, "faults": {f"ended with {status}": [1, None]}}
    return {**(json.loads(text) if text else ended), "target": target.name, "memory": usage.ru_maxrss // 1024}


def in_this_process(target: harness.Target, examples: int, seconds: float, seed: int) -> dict:
    """The row of one target; the memory is the process's, with all before."""
    tally = harness.tallied(target, examples, seconds, seed)
    found = {name: getattr(tally, name) for name in ("inputs", "errors", "tracebacks", "slowest")}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"target": target.name, **found, "faults": dict(tally.faults), "memory": memory}


def cells(row: dict) -> list[str]:
    """A row of the table as text."""
    return [
        row["target"],
        f"{row['inputs']:,}",
        f"{row['errors']:,}",
        f"{row['tracebacks']:,}",
        f"{row['slowest']:.2f}",
        f"{row['memory']:,}",
    ]


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = [" | ".join(cells(row)) for row in rows]
    return "\n".join(f"| {line} |" for line in (" | ".join(COLUMNS), "--- |" + " ---: |" * 4 + " ---:", *lines))


def targets(place: pathlib.Path, only: str, tensorflow: str) -> list[harness.Target]:
    """Those whose name holds `only`. tensorflow: `any`, `none` or `only` of those that need it."""
    import targets_commands
    import targets_dicom
    import targets_documents
    import targets_files

    rooms = [] if tensorflow == "only" else [targets_documents, targets_files, targets_dicom, targets_commands]
    if tensorflow != "none":
        import targets_networks

        rooms.append(targets_networks)
    return [target for room in rooms for target in room.all_of(place) if only in target.name]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="shared out over the targets")
    parser.add_argument("--examples", type=int, default=10**9, help="at most so many of each target")
    parser.add_argument("--seed", type=int, default=None, help="of the first inputs; by default another each time")
    parser.add_argument("--only", default="", help="targets whose name holds this")
    parser.add_argument("--out", type=pathlib.Path, default=None, help="JSON file to write")
    parser.add_argument("--together", action="store_true", help="all in this process, which is quicker to begin")
    parser.add_argument("--tensorflow", choices=("any", "none", "only"), default="any", help="targets that need it")
    asked = parser.parse_args()
    seed = int(time.time()) if asked.seed is None else asked.seed
    with tempfile.TemporaryDirectory() as folder:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            found = targets(pathlib.Path(folder), asked.only, asked.tensorflow)
        share = 60 * asked.minutes / max(1, len(found))
        run = in_this_process if asked.together else in_own_process
        rows = [run(target, asked.examples, share, seed) for target in found]
    print(table(rows))
    for row in rows:
        for where, (count, given) in row["faults"].items():
            print(f"{row['target']}: {count} x {where}\n    first: {str(given)[:500]}")
    if asked.out is not None:
        write(asked.out, rows, asked.minutes, seed)
    sys.exit(int(any(row["tracebacks"] for row in rows)))


def write(path: pathlib.Path, rows: list[dict], minutes: float, seed: int) -> None:
    """The rows with what they were measured on; the table goes into docs/reference/reliability.md."""
    from data_prep.base import artefacts

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True
    ).stdout.strip()
    packages = ("hypothesis", "msgspec", "nibabel", "numpy", "pillow", "tensorflow")
    made = {
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "minutes": minutes,
        "seed": seed,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "limits": {"seconds": harness.SECONDS, "memory_mib": harness.MEMORY >> 20},
    }
    artefacts.write_json(path, {**made, "rows": rows})
    document(made, rows)


def document(made: dict, rows: list[dict]) -> None:
    """Rewrites what stands between the marks in docs/reference/reliability.md."""
    from data_prep.base import artefacts

    total = sum(row["inputs"] for row in rows)
    line = f"{made['minutes']:g} minutes on {made['date']}, commit {made['commit']}: {total:,} inputs, "
    line += f"{sum(row['tracebacks'] for row in rows):,} tracebacks."
    text = DOCUMENT.read_text(encoding="utf-8")
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    artefacts.write_text(DOCUMENT, f"{before}{MARKS[0]}\n{line}\n\n{table(rows)}\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
