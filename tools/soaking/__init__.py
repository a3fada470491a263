"""The runs of `tools/soak.py`: what the daemon holds under load, and under faults.

`measuring`   a run's setting, its figures, and the promises that it broke
`processes`   daemons and children as processes of their own, and what the kernel tells of them
`child`       what a child does: append, read, hold the database, look at locks, be a daemon
`watching`    what children see meanwhile: when lines show, whether locks stay
`equality`    whether the tables are what a rebuild would make

`load` · `blind` · `killing` · `starting` · `holding` · `healing` · `idling` · `following`: the runs
"""
