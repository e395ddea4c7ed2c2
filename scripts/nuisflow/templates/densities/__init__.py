"""What `templates.unbinned` needs besides: parameters of processes and regions, and what keeps events from densities.

Start with `checks`, whose errors name process, variation and remedy; `parameters` writes a description in parameters.
"""
