"""The shapes of a run's JSON documents, in any version's: what a reader may rely on once a file has passed `read_document`.

An entry with a default is missing from some version's files. What is `Any` is compared with what is asked for, entry by entry, or
judged where it is used. config.json of a network, and recalibrations, have forms of their own, of which every entry is known.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from data_prep.base.documents import Count
from data_prep.base.names import Component

Names = dict[str, str]
MaybeText = str | None
Flag = bool | None
Depth = Annotated[int, msgspec.Meta(ge=0, le=30)]  # sides are divided by 2 to its power
Filters = Annotated[int, msgspec.Meta(ge=1, le=65_536)]


class Input(msgspec.Struct):
    """How the images of a training of schema 1 were prepared: photographs have both entries."""

    intensity: MaybeText = None
    image_size: tuple[Count, Count] | None = None


class ConfigOfBefore(msgspec.Struct):
    """config.json of a network of schema 1: what today's is made from (`former.config`)."""

    network: str
    dataset: str
    input: Input
    channels: Count
    count: Count


class Was(msgspec.Struct):
    """What a training was each time it was finished."""

    epochs: Count
    weights_sha256: str


class Finished(msgspec.Struct):
    """A network's finished.json."""

    weights_sha256: str
    config_sha256: MaybeText = None
    state_sha256: MaybeText = None
    last_sha256: MaybeText = None
    kept_sha256: dict[Component, str] = {}
    epochs: Count = 0
    steps: Count = 0
    kept_epoch: Count = 0


class Epoch(msgspec.Struct):
    """One entry of a training's history."""

    epoch: Count
    step: Count
    loss: float
    valid_loss: float
    valid_dice: float


class Resume(msgspec.Struct):
    """resume.json: where a training stands. The fields of `learning.selection.Counters`, and the file of its arrays."""

    file: Component
    sha256: str
    stack: str
    epoch: Count
    step: Count
    step_in_epoch: Count
    loss_sum: float
    best: float
    best_epoch: Count
    kept_epoch: Count
    waited: Count
    history: list[Epoch]
    best_loss: float = 0.0
    finished: list[Was] = []


class Devices(msgspec.Struct):
    """devices.json: where each start of a training ran."""

    trained_on: list[dict[str, Any]]


class Begun(msgspec.Struct):
    """config.json of a folder of predictions, and the JSON of one patient's maps, which has the entries after `networks`."""

    schema: int = 1
    method: str = ""
    predictive: str = ""
    kind: str = ""
    measure: str = ""
    samples: Count | None = None
    streams: int | None = None
    draws: MaybeText = None
    stratified: Flag = None
    precision: MaybeText = None
    engine: MaybeText = None
    records: MaybeText = None
    networks: Names = {}
    configurations: Names = {}
    files: Any = None
    read_as: dict[str, Any] = {}
    scores: dict[str, dict[str, float | None]] | None = None


class Predictions(Begun):
    """predictions.json, written last. Maps that another program put there may lack all but `kind` and `subjects`."""

    subjects: list[str] = []
    complete: bool = False


class Mean(msgspec.Struct):
    """A cell of Table 1."""

    mean: float | None = None


class Evaluated(msgspec.Struct):
    """What summary.json says of one method."""

    kind: str = "probability"
    sigma_range: Any = None
    table1: dict[str, Mean] = {}


class Summary(msgspec.Struct):
    """summary.json, as far as it is asked whether an evaluation is of certain methods."""

    methods: dict[str, Evaluated]
    inputs: dict[str, Any] = {}
    files: Names = {}
    pictures: list[str] = []
    version: str = ""


class Threshold(msgspec.Struct):
    """The one setting of an evaluation that is read by itself."""

    threshold_split: str


class Asked(Summary, kw_only=True):
    """The same, with what it was asked for."""

    settings: Threshold


class Done(Asked, kw_only=True):
    """The same of an evaluation that may be found finished."""

    inputs: dict[str, Any]
    pictures: list[str]
    version: str


class Export(msgspec.Struct):
    """export.json of a served model's folder."""

    kind: str = ""
    samples: Count | None = None
    sampled: Flag = None
    streams: int | None = None
    draws: MaybeText = None
    stratified: Flag = None
    precision: MaybeText = None
    signatures: dict[str, Any] = {}


class Drawn(msgspec.Struct):
    """Of one region: its voxels in each sample, and the mean Dice of two of them."""

    voxels: list[float]
    pairwise_dice: float


class Spread(msgspec.Struct):
    """A subject's volumes over samples, by region."""

    schema: int
    regions: dict[str, Drawn]
