"""``al-lightning sweep``: the runs of a study, in parallel processes.

Nothing here imports torch or Lightning but :mod:`al_lightning.sweep.settings_of_arms` and
:mod:`al_lightning.sweep.child`, which are processes of their own.
"""
