"""The HistFactory likelihood: model, fits, intervals, limits, toys, and the commands of the shell.

Knows any pyhf workspace and nothing else of this project: it imports no other room, so that it is a library by itself
(numpy, numba, scipy, iminuit). Start with `model`, then `fits`; what is compiled lies in `kernels`.
"""
