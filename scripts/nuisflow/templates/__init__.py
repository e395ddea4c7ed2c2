"""From scores to histograms to workspaces.

Knows bins, templates of every variation, smoothing, and pyhf workspaces. Does not fit. Start with `filling`, then
`workspaces`.
"""
