"""The former place of `base.progress`, kept for scripts that import it from here."""

from data_prep.base.progress import Progress, duration

__all__ = ["Progress", "duration"]
