"""One module a form of raw data: `find` its subjects, `find_one` new patient, `load` one with every check on the way.

`nifti` and `photographs` read files; the others know layouts and names."""
