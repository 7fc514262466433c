"""The one table of networks: what is trained once, on what, for how long."""

import dataclasses

from data_prep.errors import UserError


@dataclasses.dataclass(frozen=True)
class Network:
    """Something trained once, in `runs/<dataset>/networks/<name>`.

    objective: what it learns (`tfunc/objectives.py`). dropout, center, sigma: of its U-Net.
    epochs: by dataset, the reference's defaults. seed: added to --seed.
    """

    name: str
    objective: str
    epochs: dict
    dropout: float = 0.05
    center: bool = False
    sigma: bool = False
    seed: int = 0


FIFTY = {"brats": 50, "isic": 100}

NETWORKS = {
    network.name: network
    for network in (
        Network("baseline", "segmentation", FIFTY),
        Network("aleatoric", "aleatoric", FIFTY, sigma=True),
    )
}


def get(name):
    """The network called `name`; raises `UserError`."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise UserError(f"network {name!r}", expected=f"one of {', '.join(NETWORKS)}") from None
