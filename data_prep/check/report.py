"""Findings as they are told: for people, by severity, and as one JSON document."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from data_prep.base.errors import Command
from data_prep.base.findings import SEVERITIES, Finding, Severity
from data_prep.base.streams import text_of

SHOWN = 10  # of one severity and kind; the JSON document has all
SCHEMA = 1


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A finding. file: which file or folder, with the place in it. mend: what to do, commands as they must be typed."""

    severity: Severity
    kind: str
    file: str
    expected: str | None
    found: str | None
    mend: str | None


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The JSON document. version: of the toolkit that looked. checked: {`raw_dir`, `data_dir`, `run_dir`: the folder}.

    looked_at: {`raw_subjects`, `networks`, …: how many}. counts: {severity: how many findings}.
    """

    schema: Literal[1] = 1
    version: str
    checked: dict[str, str]
    looked_at: dict[str, int]
    counts: dict[Severity, int]
    findings: tuple[Entry, ...]

    def json(self) -> str:
        """The document as text, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode()


def report(
    findings: Sequence[Finding],
    version: str,
    checked: Mapping[str, str],
    looked_at: Mapping[str, int],
    typed: Callable[[Command], str] = str,
) -> Report:
    """The `Report` of findings, the gravest first, each once. typed: how a command reads."""
    entries = dict.fromkeys(_entry(one, typed) for one in findings)
    ordered = sorted(entries, key=lambda entry: (SEVERITIES.index(entry.severity), entry.kind))
    counts = collections.Counter(entry.severity for entry in ordered)
    return Report(
        version=version,
        checked={name: text_of(folder) for name, folder in checked.items()},
        looked_at=dict(looked_at),
        counts={severity: counts[severity] for severity in SEVERITIES},
        findings=tuple(ordered),
    )


def _entry(one, typed):
    where, expected, found, do = (part and text_of(part) for part in one.error.parts(typed))
    return Entry(severity=one.severity, kind=one.kind, file=where or "", expected=expected, found=found, mend=do)


def lines(made: Report) -> list[str]:
    """The report for people: by severity and kind, up to `SHOWN` of each kind, and a summary as the last line."""
    said: list[str] = []
    for severity in SEVERITIES:
        by_kind: dict[str, list[Entry]] = {}
        for entry in made.findings:
            if entry.severity == severity:
                by_kind.setdefault(entry.kind, []).append(entry)
        if by_kind:
            said.append(f"{_counted(made.counts[severity], severity)}:")
        for kind, entries in by_kind.items():
            said += [line for entry in entries[:SHOWN] for line in _of_entry(entry)]
            if len(entries) > SHOWN:
                said.append(f"  {kind}: {len(entries) - SHOWN} more of this kind, all of them by --format=json")
        if by_kind:
            said.append("")
    return [*said, summary(made)]


def summary(made: Report) -> str:
    """One line: what was looked at, and how many findings there are of each severity."""
    seen = ", ".join(
        _counted(count, what.removesuffix("s").replace("_", " ")) for what, count in made.looked_at.items()
    )
    return f"checked {seen or 'nothing'}: {counted(made)}"


def counted(made: Report) -> str:
    """How many findings there are of each severity."""
    return ", ".join(_counted(made.counts[severity], severity) for severity in SEVERITIES)


def _of_entry(entry):
    found = [f"  {entry.kind}: {entry.file}"]
    for word, text in (("found", entry.found), ("expected", entry.expected), ("mend", entry.mend)):
        if text is not None:
            found.append(f"    {word + ':':10}{' '.join(text.split())}")
    return found


def _counted(count, what):
    return f"{count} {what}{'s' * (count != 1)}"
