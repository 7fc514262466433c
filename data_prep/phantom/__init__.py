"""Made-up subjects in the official raw layouts, so that everything can be tried and tested without real data.

`write` lays out folders; `brain`, `skin` and `organs` draw."""
