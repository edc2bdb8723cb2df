"""The script that Python runs in the process of a run: ``python .../sweep/start.py fit ...``.

It is a file, so that a run on several devices can start its other processes by the same command.
"""

import os
import sys

SCRIPT = os.path.abspath(__file__)
SYS_PATH = "AL_LIGHTNING_SWEEP_PATH"
"""Environment variable with the ``sys.path`` of the sweep, one folder a line."""

if __name__ == "__main__":
    # Python puts the folder of a script before all others; its files would hide modules of the same names
    sys.path[:] = os.environ[SYS_PATH].split("\n")
    from al_lightning.sweep.child import main

    main()
