"""The likelihood of single events, from density ratios and responses that networks have learned.

Start with `model`, which fits it; `experiments` draws events, `measurements` and `toys` ask it what `measurements` and
`toys` of a workspace are asked.
"""
