"""What a served graph must know of a method and its run: decided when it is exported, and written beside it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec

from data_prep import tasks
from data_prep.tasks import Task
from tfunc import __version__
from tfunc.kinds import Kind
from tfunc.scoring import triage
from tfunc.scoring.triage import Known

ENCODED = (1, 3)  # channels of one JPEG or PNG: grey or colours
MEASURED = ("zscore", "zscore_nonzero", "minmax")  # rules whose numbers are each volume's own


def takes_statistics(task: Task) -> bool:
    """Whether a request for a volume says the mean and deviation of its channels: they are those before it was resampled."""
    return task.spacing is not None and any(channel.normalise in MEASURED for channel in task.channels)


@dataclasses.dataclass(frozen=True)
class Description:
    """The frame of a served method.

    task: what its networks were trained on, as it was prepared.  kind: what its uncertainty is.
    sampled: whether its maps depend on a seed.  seed: of the samples where a request gives none.
    sigma_range: (lowest, highest) that become 0 and 1, for a kind that is scaled over the set.
    smallest: the least height and width that survive the networks' poolings.  method: the name of what is served.
    draws: what shares the random numbers of one sample, a `subject` or each `slice`.  recalibrated: the temperature of the
    served probabilities and whom it was fitted on, None for those of the networks.  known: what the run's evaluation knows of
    such maps, and made_by: what their headers say; both are told, and no part of what the export is.
    """

    task: Task
    kind: Kind
    sampled: bool
    seed: int
    sigma_range: tuple[float, float] | None
    smallest: int
    method: str = ""
    draws: str = "subject"
    recalibrated: dict[str, Any] | None = None
    known: Known | None = None
    made_by: str = ""

    @property
    def takes_statistics(self) -> bool:
        """Whether a request for a volume says the mean and deviation of its channels."""
        return takes_statistics(self.task)

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return len(self.task.channels)

    @property
    def judged_by(self) -> str | None:
        """A digest of what the evaluation knows, None where it knows nothing."""
        return triage.digest(self.known) if self.known is not None and self.known.fits else None

    def document(self) -> dict[str, Any]:
        """As plain JSON types, which export.json holds: two that are equal are the same export."""
        return {
            "dataset": self.task.name,
            "kind": self.kind.name,
            "sampled": self.sampled,
            "seed": self.seed if self.sampled else None,
            "sigma_range": list(self.sigma_range) if self.sigma_range else None,
            "channels": self.channels,
            "smallest": self.smallest,
            "input": tasks.load_options(self.task),
            "task": self.task.document(),
            "recalibrated": self.recalibrated,
        }

    def texts(self) -> dict[str, str]:
        """What the signature `describe` answers, as JSON in ASCII: the task, and what a client must know beside it."""
        described = {
            "method": self.method,
            "kind": self.kind.name,
            "uncertainty": self.kind.served,
            "sampled": self.sampled,
            "seed": self.seed if self.sampled else None,
            "version": __version__,
            "made_by": self.made_by,
        }
        described |= {"recalibrated": self.recalibrated} if self.recalibrated else {}
        described |= {"review": msgspec.to_builtins(self.known)} if self.known is not None and self.known.fits else {}
        return {"task": json.dumps(self.task.document()), "description": json.dumps(described)}
