"""Millions of images: captions or features of all of them, by any number of machines.

The images are listed once and cut into work units (`listing.py`, `units.py`); the list, with the settings,
is kept in the output folder (`job.py`). A worker makes one shard of each unit (`tasks.py`). A shard is named
after its unit and written whole or not at all: so a unit that is done twice, after a kill, still counts once.
The same workers run in this process, or as actors of Ray Data (`workers.py`).
"""
