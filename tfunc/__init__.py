"""Voxel-wise uncertainty for medical image segmentation. Importing this package imports nothing else: what it offers,
such as `tfunc.metrics`, is loaded when it is first asked for."""

__version__ = "0.1.0"

# what type checkers read of it stands in __init__.pyi; name: the module that it is, or "module:name" in it
OFFERS = {
    "load": "tfunc.api.model:load",
    "Model": "tfunc.api.model:Model",
    "Maps": "tfunc.api.maps:Maps",
    "evaluate": "tfunc.api.evaluation:evaluate",
    "Evaluation": "tfunc.api.evaluation:Evaluation",
    "wrap": "tfunc.api.wrapped:wrap",
    "Wrapped": "tfunc.api.wrapped:Wrapped",
    "ArrayMaps": "tfunc.api.wrapped:ArrayMaps",
    "methods": "tfunc.methods",
    "register": "tfunc.methods:register",
    "Method": "tfunc.methods:Method",
    "metrics": "tfunc.metrics",
    "subject_scores": "tfunc.scoring.aggregate:subject_scores",
    "temperature": "tfunc.scoring.temperature:temperature",
}


def __getattr__(name: str) -> object:
    """What `OFFERS` says, kept once it is loaded."""
    if name not in OFFERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, _, attribute = OFFERS[name].partition(":")
    found = importlib.import_module(module)
    globals()[name] = found = getattr(found, attribute) if attribute else found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *OFFERS})
