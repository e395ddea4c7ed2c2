"""What must agree in a configuration: every error that can be known before a job runs.

Start with `reading`, which turns a file into a configuration or into errors with a place and a remedy; `analysis` lists
what must agree, `variations` and `dask` for their sections, `paths` which files there are.
"""
