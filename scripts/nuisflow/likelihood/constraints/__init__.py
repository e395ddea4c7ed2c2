"""What constrains parameters: their auxiliary measurements, and the correlations of these.

Knows parameters and nothing else of the likelihood: not what they act on, nor how they are fitted. What a constraint
means, how it is written, and which matrices are correlations is decided here, for workspaces, single events and the
configuration alike. Start with `parameters`.
"""
