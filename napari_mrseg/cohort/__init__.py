"""Many studies: find them, segment each on a cluster or on this machine, and show what came out of all together.

:mod:`.find` says which studies there are, :mod:`.work` does one, :mod:`.run` gives them to Dask, :mod:`.summary` joins
what they left, :mod:`.cohort_report` shows it.
"""
