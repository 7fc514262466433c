"""What every program stands on and that knows no data: errors, whole files, progress, processes, pools, locks.

Nothing here imports anything else of the project."""
