"""All benchmarks of growth, one after the other, into one file of this machine; then docs/reference/performance.md anew.

    make bench [QUICK=1]        or        python benchmarks/bench.py [--quick] [--out_dir=benchmarks/results]
    make bench-peers            or        python benchmarks/bench.py --peers

Writes <out_dir>/<machine>.json, of `--peers` <machine>.peers.json; the machine is its processor and cores, no host's name. A
script that is not there yet, or writes no JSON, is left out and said; one that fails too, and the exit code is then 1. About six
minutes on two cores, a minute or two with `--quick`, whose files go to a folder of their own unless one is named: they are not
what the documents show. The peers take half an hour.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT)]

import measured
import performance

# each writes `measured`'s form to --json, and has a --quick
GROWTH = ("growth.py", "preparation.py", "evaluation.py", "counting.py")
PEERS = ("peers.py",)


def writes_json(script):
    """Whether a script is there and takes --json."""
    return script.exists() and '"--json"' in script.read_text(encoding="utf-8")


def merged(name, parts):
    """One `Measured` of several of the same machine; each row says which benchmark it is of."""
    parts = list(parts)
    versions = {package: version for part in parts for package, version in part.versions.items()}
    rows = [{"benchmark": part.name, **row} if part.name != name else row for part in parts for row in part.rows]
    claims, series = ([entry for part in parts for entry in getattr(part, kind)] for kind in ("claims", "series"))
    return measured.here(name, versions, claims, series, rows)


def run(scripts, more, folder):
    """(what the scripts wrote, names of those that failed)."""
    found, failed = [], []
    for script in scripts:
        if not writes_json(HERE / script):
            print(f"{script}: left out, it is not there or writes no JSON", flush=True)
            continue
        path = pathlib.Path(folder) / f"{script}.json"
        print(f"--- {script}", flush=True)
        code = subprocess.run([sys.executable, str(HERE / script), f"--json={path}", *more]).returncode
        if path.exists():
            found.append(measured.read(path))
        if code:
            print(f"{script}: failed, exit code {code}", flush=True)
            failed.append(script)
    return found, failed


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs, roughly how it grows")
    parser.add_argument("--peers", action="store_true", help="the peers in place of growth")
    parser.add_argument("--peers_python", help="Python that has the peers")
    parser.add_argument("--out_dir", type=pathlib.Path, help="folder of the results")
    flags = parser.parse_args(arguments)
    out = flags.out_dir or (HERE / ("results-quick" if flags.quick else "results"))
    more = ["--quick"] if flags.quick else []
    more += [f"--peers_python={flags.peers_python}"] if flags.peers and flags.peers_python else []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found, failed = run(PEERS if flags.peers else GROWTH, more, folder)
    name = "peers" if flags.peers else "growth"
    if found:
        path = out / f"{measured.machine()}{'.peers' if flags.peers else ''}.json"
        measured.write(merged(name, found), path)
        print(path)
        if out == HERE / "results":
            performance.write(out, ROOT / "docs")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
