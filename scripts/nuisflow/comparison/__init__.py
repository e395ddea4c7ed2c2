"""Tables over all trainings: numbers only.

Knows which numbers stand side by side, and when a difference is established. Words and figures are in `report`. Start
with `trainings`.
"""
