"""Numbers that answer what a reviewer asks of machine learning, beside the measurement.

Prediction sets under domain shift, aleatoric and epistemic uncertainty of single events, what every feature does to the
measurement, and how visible every variation is. Words and figures of the same names lie in `report/review` and
`report/plots/review`. Start reading with `conditions`: the events of nature as it may be, which most of them ask.
"""

LEVEL = 0.9
"""The confidence of prediction sets."""
