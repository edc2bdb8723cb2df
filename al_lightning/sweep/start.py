"""The script that Python runs in the process of a run: ``python .../sweep/start.py fit ...``.

It is a file, so that a run on several devices can start its other processes by the same command.
"""

import os
import sys

if __name__ == "__main__":
    # Python puts the folder of a script before all others, where its files would hide modules of the same names
    sys.path[:] = os.environ["AL_LIGHTNING_SWEEP_PATH"].split("\n")
    from al_lightning.sweep.child import main

    main()
