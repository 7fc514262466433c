"""The page of the Python API: what `tfunc` offers, in its table's order; mkdocstrings fills it from signatures and docstrings."""

from __future__ import annotations

import importlib
import types

import tfunc

HEAD = """# Python

What `import tfunc` offers. Nothing else is a promise: modules and functions that stand on no page here may move.
[How to use it from Python](../howto/python.md) shows the calls together; what a user can mend raises
`data_prep.base.errors.UserError`, one line that says where, what was expected, what was found and what to do.

"""


def page() -> str:
    """The whole page in Markdown, with mkdocstrings' marks."""
    return HEAD + "\n".join(_entry(name, path) for name, path in tfunc.OFFERS.items())


def _entry(name: str, path: str) -> str:
    options = [f"      heading: tfunc.{name}", f"      toc_label: tfunc.{name}"]
    if ":" not in path:
        options += ["      members:", *(f"        - {member}" for member in _members(path))]
    return "\n".join([f"::: {path.replace(':', '.')}", "    options:", *options, ""])


def _members(path: str) -> list[str]:
    """The public names of a module, imported ones only where its `__all__` has them, without those that have their own entry."""
    module = importlib.import_module(path)
    if hasattr(module, "__all__"):
        return list(module.__all__)
    found = [name for name, what in vars(module).items() if getattr(what, "__module__", None) == path]
    shown = [name for name in found if not name.startswith("_") and f"{path}:{name}" not in tfunc.OFFERS.values()]
    return [name for name in shown if not isinstance(vars(module)[name], types.ModuleType)]
