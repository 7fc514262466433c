"""The one table of methods. Command-line help, study, prediction, evaluation and docs list what stands here.

A method is one or more networks, a predictive (how their outputs become a probability) and an uncertainty.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
import types
import warnings
from collections.abc import Sequence
from typing import Literal

from data_prep.base import names as paths
from data_prep.base.errors import UserError
from tfunc import kinds


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of Table 1.

    name: as on the command line and in file names.  title: as in the paper's table.
    networks: what it predicts with, of `tfunc/networks.py`; `ensemble` stands for all members, `cv` for all folds.
    predictive: `package.module:Class`, how the networks' outputs become maps (`tfunc/maps/predictives.py`).
    kind: what its uncertainty is and how evaluation reads it, a row of `tfunc/kinds.py`: `probability` (entropy of the
        foreground probability), `error` (an error probability, min-max per subject) or `sigma` (min-max over the set).
    in_paper: ranked in Table 1; later methods stand below a line.
    sampled: whether its maps depend on a number of samples and a seed.
    by_name: not among `all`: what it needs is large, or not everyone's.
    stratifies: whether its samples are dropout masks, which --stratified can stratify.
    coherent: over what each of its samples or members is one network, a `subject` or a `slice`; of a whole subject the spread
        of volumes is kept. Empty: it has no samples.
    """

    name: str
    title: str
    networks: tuple[str, ...]
    predictive: str
    kind: str
    help: str
    in_paper: bool = True
    sampled: bool = False
    by_name: bool = False
    stratifies: bool = False
    coherent: Literal["", "slice", "subject"] = ""

    @property
    def measure(self) -> str:
        """What of its outputs is written as the uncertainty."""
        return kinds.get(self.kind).measure

    @property
    def predictive_name(self) -> str:
        """The class of the predictive, which stays when its module moves."""
        return self.predictive.rpartition(":")[2]


SOFTMAX = "tfunc.maps.predictives:Softmax"
METHODS = {
    method.name: method
    for method in (
        Method("baseline", "baseline", ("baseline",), SOFTMAX, "probability", "softmax entropy of one U-Net"),
        Method("center", "center", ("center",), SOFTMAX, "probability", "dropout 0.5 at the center positions"),
        Method(
            "baseline_mc",
            "baseline+MC",
            ("baseline",),
            "tfunc.maps.sampled:MonteCarlo",
            "probability",
            "the baseline, dropout sampled",
            sampled=True,
            stratifies=True,
            coherent="subject",
        ),
        Method(
            "center_mc",
            "center+MC",
            ("center",),
            "tfunc.maps.sampled:MonteCarlo",
            "probability",
            "center, dropout sampled",
            sampled=True,
            stratifies=True,
            coherent="subject",
        ),
        Method(
            "ensemble",
            "ensemble",
            ("ensemble",),
            "tfunc.maps.sampled:Ensemble",
            "probability",
            "several baselines on 90 % subsets",
            coherent="subject",
        ),
        Method(
            "auxiliary_feat",
            "auxiliary feat.",
            ("baseline", "auxiliary_feat"),
            "tfunc.maps.learned:AuxiliaryFeatures",
            "error",
            "a head on the baseline's features learns its errors",
        ),
        Method(
            "auxiliary_segm",
            "auxiliary segm.",
            ("baseline", "auxiliary_segm"),
            "tfunc.maps.learned:AuxiliarySegmentation",
            "error",
            "a second U-Net learns errors from image and mask",
        ),
        Method(
            "aleatoric",
            "aleatoric",
            ("aleatoric",),
            "tfunc.maps.learned:Aleatoric",
            "sigma",
            "a second head learns the logits' sigma",
        ),
        # Wang et al., Aleatoric uncertainty estimation with test-time augmentation, Neurocomputing 338, 2019
        Method(
            "tta",
            "test-time aug.",
            ("baseline",),
            "tfunc.maps.sampled:TestTimeAugmentation",
            "probability",
            "the baseline on flipped, turned and scaled images",
            in_paper=False,
            sampled=True,
            coherent="subject",
        ),
        # how nnU-Net predicts with a trained cross-validation
        Method(
            "cv_ensemble",
            "ensemble of folds",
            ("cv",),
            "tfunc.maps.sampled:Ensemble",
            "probability",
            "the networks of all folds of the cross-validation",
            in_paper=False,
            by_name=True,
            coherent="subject",
        ),
        Method(
            "checkpoints",
            "checkpoints",
            ("checkpoints",),
            "tfunc.maps.sampled:Ensemble",
            "probability",
            "the last epochs of one training",
            in_paper=False,
            by_name=True,
            coherent="subject",
        ),
        # Monteiro et al., Stochastic segmentation networks, NeurIPS 2020
        Method(
            "ssn",
            "stochastic segm.",
            ("ssn",),
            "tfunc.maps.sampled:StochasticSegmentation",
            "probability",
            "samples of a slice's logits, of a learnt covariance",
            in_paper=False,
            sampled=True,
            by_name=True,
            coherent="slice",
        ),
    )
}


def get(name: str) -> Method:
    """The method called `name`; raises `UserError` listing the names there are."""
    _register_installed()
    try:
        return METHODS[name]
    except KeyError:
        raise UserError(f"method {name!r}", expected=f"one of {', '.join(METHODS)}") from None


def register(method: Method) -> Method:
    """Adds a method of one's own to the table, for this process; returns it. The same row may be added again.

    A package that is installed adds its methods for every process, a study's included, by an entry point of the group
    `tfunc.methods` that names a `Method` (`[project.entry-points."tfunc.methods"]`, `mine = "my_package.methods:MINE"`).
    Raises `UserError` for a name that is taken or no file's, for no networks, and for a kind or predictive that is none.
    """
    if not isinstance(method, Method):
        raise UserError("register", expected="a Method", found=paths.shown(method))
    where = f"method {paths.shown(method.name)}"
    paths.checked(method.name, "a method", where)
    if METHODS.get(method.name, method) != method:
        raise UserError(where, expected="a name of its own", found="another method of that name", do="choose another")
    _require_name(method.name, where)
    texts = method.title, method.help, method.kind, method.predictive
    if not all(isinstance(text, str) for text in texts) or not all(method.predictive.partition(":")):
        raise UserError(where, expected="texts, and a predictive package.module:Class", found=repr(texts))
    kinds.get(method.kind, where)
    if not (isinstance(method.networks, tuple) and method.networks and all(map(_is_network, method.networks))):
        raise UserError(where, expected="a tuple of networks that are trained here", found=repr(method.networks))
    if method.coherent not in ("", "slice", "subject"):
        raise UserError(where, expected="coherent '', 'slice' or 'subject'", found=repr(method.coherent))
    if method.in_paper:
        raise UserError(
            where, expected="in_paper=False", found="True", do="the paper's rows are ranked among themselves"
        )
    METHODS[method.name] = method
    return method


def _require_name(name, where):
    """Names stand in lists behind flags, `all` among them, and name folders, whose letters' case some disks ignore."""
    if name == "all" or "," in name or "@" in name or name.endswith(RECALIBRATED):
        expected = f"a name other than all, without comma and @, that does not end in {RECALIBRATED}"
        raise UserError(where, expected=expected, do="choose another")
    for other in METHODS:
        if other != name and paths.folded(other) == paths.folded(name):
            raise paths.alike(name, other, where)


def _is_network(name):
    from tfunc import networks  # here: it reads this table

    try:
        return name in networks.FAMILIES or bool(networks.get(name))
    except (UserError, TypeError, AttributeError):
        return False


def of_network(name: str) -> Method:
    """A method that is one network's softmax: how a cross-validated network predicts the fold it never saw."""
    return Method(name, name, (name,), SOFTMAX, "probability", "one network by itself")


RECALIBRATED = "_recalibrated"  # behind a method's name: its probabilities at the temperature of its recalibration


def recalibrated_of(name: str) -> str | None:
    """The method whose recalibration `<method>_recalibrated` is, or None for another name."""
    base = name.removesuffix(RECALIBRATED)
    return base if base != name and base in METHODS else None


def title(name: str) -> str | None:
    """How tables name a method or its recalibration; None for one that the table lacks."""
    base = recalibrated_of(name)
    if base is not None:
        return f"{METHODS[base].title}, recalibrated"
    return METHODS[name].title if name in METHODS else None


def parse(names: Sequence[str]) -> list[Method]:
    """`all` or a list of names, in the table's order, each once; raises `UserError` for an unknown one or for none.

    `all` are those that need not be named.
    """
    if not any(names):
        raise UserError("--methods", expected=f"all, or some of {', '.join(METHODS)}", found="none")
    if list(names) == ["all"]:
        return [method for method in METHODS.values() if not method.by_name]
    chosen = {get(name).name for name in names}
    return [method for name, method in METHODS.items() if name in chosen]


class _Table(types.ModuleType):
    """This module, which may be called: `tfunc.methods()` is the table."""

    def __call__(self) -> tuple[Method, ...]:
        """The methods, in the table's order, those that packages and `register` added last."""
        _register_installed()
        return tuple(METHODS.values())


sys.modules[__name__].__class__ = _Table


_waiting = list(importlib.metadata.entry_points(group="tfunc.methods"))


def _register_installed():
    """What installed packages add. One that can't be loaded is said and left out: it must not stop every program.

    One whose module is being imported, and asks for this one on its way, is loaded at the next look at the table.
    """
    waiting, _waiting[:] = list(_waiting), []
    for entry in waiting:
        spec = getattr(sys.modules.get(entry.module), "__spec__", None)
        if getattr(spec, "_initializing", False):
            _waiting.append(entry)
            continue
        try:
            register(entry.load())
        except Exception as error:  # of anyone's package
            warnings.warn(f"tfunc.methods {entry.name} = {entry.value}: {error}; left out", stacklevel=3)


_register_installed()
