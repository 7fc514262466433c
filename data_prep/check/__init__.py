"""The data doctor: what is wrong, odd or worth knowing of raw data and of records, every finding with how to mend it.

Nothing is written and nothing is refused a second time: what readers and records refuse is found by calling them."""
