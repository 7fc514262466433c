"""The JSON documents that are written and read, from the forms they are held against: tables, and JSON Schema to download."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from data_prep import manifest, tasks
from tfunc import runs, shapes
from tfunc.scoring import recalibration, triage

# where the file is, the form that readers hold it against, the schema's file
DOCUMENTS: dict[str, tuple[str, Any]] = {
    "dataset": ("data/<dataset>/dataset.json", manifest.Document),
    "task": ("the entry `task` of dataset.json and of a network's config.json", tasks.Task),
    "config": ("networks/<name>/config.json", runs.Config),
    "finished": ("networks/<name>/finished.json", shapes.Finished),
    "resume": ("networks/<name>/resume.json", shapes.Resume),
    "devices": ("networks/<name>/devices.json", shapes.Devices),
    "predictions": ("predictions/<method>/predictions.json", shapes.Predictions),
    "recalibration": ("recalibration/<method>.json", recalibration.Recalibration),
    "summary": ("evaluation/summary.json", shapes.Summary),
    "review": ("evaluation/review.json, which says of new patients whether to look", triage.Fits),
    "export": ("export.json of a served model", shapes.Export),
    "spread": ("<subject>_samples.json of methods with samples or members", shapes.Spread),
}
HEAD = """# JSON documents

Every folder that is made says in a JSON document what it is. This page is made from the forms that the programs hold these
documents against when they read them; each section links the same as JSON Schema, for programs in other languages. An entry that
may be missing has a default, which stands for earlier versions too. Readers leave entries alone that they do not know, except in
a network's config.json and in a recalibration. [How it is built](../architecture.md#what-a-run-says-of-itself) says what the
documents are for.

Beside these entries each document ends with `seal`, the SHA-256 of its other entries. What a disk or a hand changed is refused;
to change a document on purpose, leave its seal out. Only what a reader relies on is listed: summary.json, for example, holds
everything of an evaluation ([the report](report.md#the-files) says what).

"""


def pages() -> dict[str, str]:
    """{place in the site: content}: the page, and a schema for each document."""
    made = {}
    lines = [HEAD]
    for name, (where, form) in DOCUMENTS.items():
        schema = msgspec.json.schema(form)
        made[f"reference/schemas/{name}.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        lines.append(_section(name, where, schema))
    made["reference/schemas.md"] = "\n".join(lines)
    return made


def _section(name: str, where: str, schema: dict[str, Any]) -> str:
    shown = where if " " in where else f"`{where}`"
    lines = [f"## {name}", "", f"{shown} ([JSON Schema](schemas/{name}.schema.json))", ""]
    inner = schema["$defs"]
    top = schema["$ref"].rpartition("/")[2]
    for form in (top, *(other for other in inner if other != top)):
        if form != top:
            lines += [f"**{form}**", ""]
        if about := inner[form].get("description"):
            lines += [" ".join(about.split()), ""]
        lines += ["| entry | | default |", "| --- | --- | --- |"] if "properties" in inner[form] else []
        for entry, what in inner[form].get("properties", {}).items():
            default = f"`{json.dumps(what['default'])}`" if "default" in what else ""
            default = default if entry not in inner[form].get("required", ()) else "required"
            lines.append(f"| `{entry}` | {_kind(what)} | {default} |")
        lines.append("")
    return "\n".join(lines)


def _kind(what: dict[str, Any]) -> str:
    """What an entry may be, in words."""
    if "$ref" in what:
        return what["$ref"].rpartition("/")[2]
    if "anyOf" in what:
        return " or ".join(dict.fromkeys(_kind(one) for one in what["anyOf"]))
    if "enum" in what:
        return " or ".join(f"`{json.dumps(one)}`" for one in what["enum"])
    if "const" in what:
        return f"`{json.dumps(what['const'])}`"
    kind = what.get("type", "anything")
    if kind == "array":
        parts = what.get("prefixItems")
        return f"[{', '.join(map(_kind, parts))}]" if parts else f"list of {_kind(what.get('items') or {})}"
    if kind == "object":
        more = what.get("additionalProperties")
        return f"object of {_kind(more)}" if isinstance(more, dict) else "object"
    bounds = f" from {what['minimum']}" if "minimum" in what else ""
    return {"integer": "whole number", "string": "text"}.get(kind, kind) + bounds
