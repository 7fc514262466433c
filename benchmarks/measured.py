"""What every benchmark writes: where it ran, what it claims and whether that holds, its curves and its table, as one JSON.

    {"schema": 1, "name": "growth", "processor": {"name": "…", "instructions": ["amx_bf16", "avx512_bf16", …]}, "cores": 2,
     "versions": {"tensorflow": "2.21.0"},
     "claims": [{"claim": "memory, T=50 over T=1", "value": 1.02, "limit": 1.1, "holds": true}],
     "series": [{"title": "…", "x": "samples", "y": "seconds", "points": [[1, 0.4], [5, 1.9]]}],
     "rows": [{"part": "inference", "tfunc": 17.1}]}

A script measures, prints its table, and ends with `report(found, flags.json)`. Nothing here needs TensorFlow.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import re
import sys
from collections.abc import Iterable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # runs from a checkout, installed or not

import msgspec

from data_prep.base import artefacts
from data_prep.base.errors import UserError

SCHEMA = 1
# what decides how fast a convolution can be, the best first; the names are those of Linux, as oneDNN's are others
INSTRUCTIONS = {"amx_bf16": "amx_bf16", "avx512_bf16": "avx512_bf16", "avx512f": "avx512", "avx2": "avx2"}


@dataclasses.dataclass(frozen=True)
class Processor:
    """name: as the processor calls itself. instructions: which of `INSTRUCTIONS` it has, the best first."""

    name: str
    instructions: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Claim:
    """One sentence that a number decides. `at_least` and `at_most` make one."""

    claim: str
    value: float
    limit: float
    holds: bool

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'does not hold'}: {self.claim}: {self.value:.3g}, limit {self.limit:.3g}"


@dataclasses.dataclass(frozen=True)
class Series:
    """One curve. x, y: the names of the axes, with their units. points: (x, y) in the order of x."""

    title: str
    x: str
    y: str
    points: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one benchmark saw. versions: {package: version}. rows: of its table, each {column: text or number}."""

    name: str
    processor: Processor
    cores: int
    versions: dict[str, str]
    claims: tuple[Claim, ...] = ()
    series: tuple[Series, ...] = ()
    rows: tuple[dict[str, str | int | float | None], ...] = ()
    schema: int = SCHEMA


def at_least(claim: str, value: float, limit: float) -> Claim:
    """A claim that holds where `value` reaches `limit`."""
    return Claim(claim, float(value), float(limit), bool(value >= limit))


def at_most(claim: str, value: float, limit: float) -> Claim:
    """A claim that holds where `value` is not above `limit`."""
    return Claim(claim, float(value), float(limit), bool(value <= limit))


def processor(cpuinfo: str | None = None) -> Processor:
    """This machine's. cpuinfo: the text of /proc/cpuinfo; where there is none, the name is what Python knows."""
    if cpuinfo is None:
        path = pathlib.Path("/proc/cpuinfo")
        cpuinfo = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    entries = dict(re.findall(r"^([^\n:]*?)\s*:[ \t]*([^\n]*)$", cpuinfo, re.MULTILINE))
    flags = entries.get("flags", "").split()
    name = " ".join(entries.get("model name", "").split()) or platform.processor() or platform.machine()
    return Processor(name, tuple(ours for linux, ours in INSTRUCTIONS.items() if linux in flags))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """A name for a file of this machine's results: processor and cores, e.g. `intel-xeon-processor-2-cores`; no host name."""
    words = re.findall(r"[a-z0-9]+(?:\.[0-9]+)?", re.sub(r"\((r|tm|c)\)", " ", processor().name.lower()))
    return "-".join([*words, str(cores()), "core" if cores() == 1 else "cores"])


def versions(*packages: str) -> dict[str, str]:
    """{package: version} of those that are installed here."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def here(
    name: str,
    versions: dict[str, str],
    claims: Iterable[Claim] = (),
    series: Iterable[Series] = (),
    rows: Iterable[dict[str, str | int | float | None]] = (),
) -> Measured:
    """What a benchmark saw on this machine."""
    return Measured(name, processor(), cores(), versions, tuple(claims), tuple(series), tuple(rows))


def report(found: Measured, path: pathlib.Path | str | None = None) -> None:
    """Prints the machine and each claim with whether it holds, and writes all of it to `path` (aside, then renamed)."""
    instructions = ", ".join(found.processor.instructions) or "no AVX2"
    print(f"{found.processor.name} ({instructions}), {found.cores} cores")
    print(*(f"{package} {version}" for package, version in found.versions.items()), sep=", ")
    for claim in found.claims:
        print(claim)
    if path:
        write(found, path)


def write(found: Measured, path: pathlib.Path | str) -> None:
    """Writes all of it as JSON, aside, then renamed."""
    artefacts.write_json(path, dataclasses.asdict(found))


def read(path: pathlib.Path | str) -> Measured:
    """What `report` wrote; raises `UserError` naming the file for anything else."""
    try:
        found = msgspec.convert(artefacts.read_json(path), Measured)
    except msgspec.ValidationError as error:
        raise UserError(path, expected="a benchmark's results", found=str(error)) from None
    if found.schema != SCHEMA:
        raise UserError(path, expected=f"results of schema {SCHEMA}", found=str(found.schema))
    return found
