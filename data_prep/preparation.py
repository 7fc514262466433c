"""What a folder of records was asked to be: claimed when the first subject is converted, compared when it is asked again.

    prepare.json    what was asked for, while the work is under way, so that another command does not mix in

A refused command leaves no claim behind: the flag that its message advises must not be refused for being another one.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep import records, shards, splits, tables
from data_prep.base import artefacts, stamps, stores
from data_prep.base.errors import UserError
from data_prep.records import Manifest
from data_prep.tasks import Task

PREPARE = "prepare.json"
UNIT = "split_unit"  # what splits made here keep whole: a patient; an older version knew subjects only
ELSEWHERE = "choose another --data_dir, or remove this folder"


def asked(
    task: Task, raw_dir: pathlib.Path | str, options: Mapping[str, Any], split: Mapping[str, Any]
) -> dict[str, Any]:
    """The configuration of a preparation in plain JSON types, files by name and checksum.

    task: as it is asked for, before anything of it is found from the subjects; one that is not of the table is a part of it.
    split: seed, split_files, split_fold, allow_missing and patients, as `convert` has them.
    """
    files = {"split_file": ", ".join(map(_checksum, split["split_files"]))}
    if split["patients"] is not None:
        tables.require_size(split["patients"])  # before all of it is read for its checksum
        files["patients"] = f"{pathlib.Path(split['patients']).name} ({artefacts.sha256(split['patients'])[:12]})"
    content = {
        "schema_version": records.version(task),
        "dataset": task.name,
        "raw_dir": stores.shown(pathlib.Path(raw_dir).resolve()),
        **options,
        **{name: split[name] for name in ("seed", "split_fold", "allow_missing")},
        **files,
        UNIT: "patient",
    }
    if not task.is_known:
        content["task"] = task.document()
    return json.loads(json.dumps(content))  # as it comes back from a file: lists for tuples, text for integer keys


def _checksum(path):
    content = json.dumps(artefacts.read_json(path), sort_keys=True)
    return f"{pathlib.Path(path).name} ({hashlib.sha256(content.encode()).hexdigest()[:12]})"


def fingerprint(planned: Sequence[shards.Shard], assignment: splits.Assignment) -> str:
    """Short text that changes with the subjects, their order and their splits."""
    belongs = assignment.splits()
    names = [(source.name, belongs[source.name], source.labelled) for shard in planned for source in shard.sources]
    return f"{len(names)} ({hashlib.sha256(repr(names).encode()).hexdigest()[:12]})"


# An unfinished folder


def check(data_dir: pathlib.Path, configuration: Mapping[str, Any]) -> None:
    """Raises `UserError` where a killed preparation of another configuration lies in the folder."""
    path = data_dir / PREPARE
    if not path.exists():
        return
    stored = artefacts.read_document(path)
    _refuse_difference(path, {**stored, UNIT: configuration.get(UNIT)}, configuration)


def claim(data_dir: pathlib.Path, configuration: Mapping[str, Any]) -> None:
    """Says what the folder is being made into."""
    artefacts.write_document(data_dir / PREPARE, configuration)


def release(data_dir: pathlib.Path) -> None:
    """Takes the claim back: another command may come, and uses of what is converted what fits it."""
    if (data_dir / PREPARE).exists():  # a disk that can't be written refuses even to remove what isn't there
        artefacts.remove(data_dir / PREPARE)


# A finished folder


def require_same(manifest: Manifest, configuration: Mapping[str, Any]) -> None:
    """Raises `UserError` where a finished folder is of another configuration."""
    stored = {name: manifest.configuration.get(name) for name in {*manifest.configuration, *configuration}}
    if "subjects" not in configuration:
        stored.pop("subjects", None)
    _refuse_difference(manifest.path, {**stored, UNIT: configuration.get(UNIT)}, configuration)


def refuse_changed(manifest: Manifest, sources: Sequence[splits.Source], raw_dir: pathlib.Path | str) -> None:
    """Raises `UserError` where a file, or a grade, that the records were made from is no longer the same."""
    entries, changed = {entry.name: entry for entry in manifest.subjects}, []
    for source in sources:
        entry = entries.get(source.name)
        if entry is None:
            continue
        why = stamps.changed(entry.files, source.paths, raw_dir) if entry.files else ""
        if not why and entry.grade != source.grade:
            why = f"its grade is {source.grade}, and was {entry.grade}"
        if why:
            changed.append(f"{source.name} ({why})")
    if changed:
        found = "; ".join(changed[:3]) + (f"; and {len(changed) - 3} more" if len(changed) > 3 else "")
        raise UserError(manifest.path, expected="records of the raw data as they are", found=found, do=ELSEWHERE)


def still_skipped(manifest: Manifest, sources: Sequence[splits.Source], raw_dir: pathlib.Path | str) -> set[str]:
    """Names that --skip_bad left out of the records and whose files have not changed since."""
    files = {source.name: source.paths for source in sources}
    return {
        skipped.name
        for skipped in manifest.skipped
        if skipped.name not in files or not stamps.changed(skipped.files, files[skipped.name], raw_dir)
    }


def _refuse_difference(path, stored, configuration):
    difference = artefacts.difference(stored, configuration)
    if difference:
        raise UserError(path, expected="the configuration asked for", found=f"another: {difference}", do=ELSEWHERE)
