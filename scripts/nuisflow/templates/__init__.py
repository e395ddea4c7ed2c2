"""From scores to histograms to workspaces.

Knows bins, templates of every variation, smoothing, pyhf workspaces, and what stands in their place where events count
one by one (`unbinned`, `polynomials`). Does not fit. Start with `filling`, then `workspaces`.
"""
