"""`python -m tfunc` is the command `tfunc`, where the environment's scripts are not on the path."""

import runpy

if __name__ == "__main__":
    runpy.run_module("launch.main", run_name="__main__", alter_sys=True)  # by name: tfunc imports no launcher
