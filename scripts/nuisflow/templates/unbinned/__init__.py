"""From events to the likelihood of single events.

Start with `evaluation`, which gives events their densities and describes what they have in common; `parameters` writes
the description in parameters of processes and regions, `checks` has the errors that name process, variation and remedy.
"""
