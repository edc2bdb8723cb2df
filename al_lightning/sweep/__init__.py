"""``al-lightning sweep``: the runs of a study, in parallel processes.

No file here imports torch or Lightning, except :mod:`al_lightning.sweep.settings_of_arms` and
:mod:`al_lightning.sweep.child`, which run in processes of their own.
"""
