"""The likelihood of single events, from density ratios and responses that networks have learned.

Start with `model`, which fits it; `events` draws them, `reserved` reserved ones, `measurements` and `toys` ask it what
those of a workspace are asked.
"""
