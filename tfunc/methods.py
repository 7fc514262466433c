"""The one table of methods. Command-line help, study, prediction, evaluation and docs list what stands here.

A method is one or more networks, a predictive (how their outputs become a probability) and an uncertainty.
"""

import dataclasses

from data_prep.errors import UserError


@dataclasses.dataclass(frozen=True)
class Method:
    """A row of Table 1.

    name: as on the command line and in file names.  title: as in the paper's table.
    network: what `train --method` trains (a name of `tfunc/networks.py`).
    predictive: `softmax` (one pass) or `mc` (the mean of several passes with live dropout).
    kind: what evaluation reads (protocol.md, section 5): `probability` (entropy of the foreground probability),
        `confidence` (an error probability, min-max per subject) or `sigma` (min-max over the whole set).
    in_paper: ranked in Table 1; later methods stand below a line.
    """

    name: str
    title: str
    network: str
    predictive: str
    kind: str
    help: str
    in_paper: bool = True

    @property
    def sampled(self):
        return self.predictive == "mc"


METHODS = {
    method.name: method
    for method in (
        Method("baseline", "baseline", "baseline", "softmax", "probability", "softmax entropy of one U-Net"),
        Method("baseline_mc", "baseline+MC", "baseline", "mc", "probability", "MC dropout, p=0.05 in every unit"),
        Method("aleatoric", "aleatoric", "aleatoric", "softmax", "sigma", "a second head predicts the logits' sigma"),
    )
}


def get(name):
    """The method called `name`; raises `UserError` listing the names there are."""
    try:
        return METHODS[name]
    except KeyError:
        raise UserError(f"--method={name}", expected=f"one of {', '.join(METHODS)}", found=repr(name)) from None


def parse(names):
    """`all` or a list of names, in the table's order, each once."""
    if list(names) == ["all"]:
        return list(METHODS.values())
    chosen = {get(name).name for name in names}
    return [method for name, method in METHODS.items() if name in chosen]
