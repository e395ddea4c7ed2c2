"""From events to trained classifiers: batches, the one training loop, trials, scores.

Knows where raw events come from (`samples`), how they become tensors (`batches`, of `blocks`), the loop of all
strategies (`loop`), and what comes out (`classifier`; `plain` gives its scores without torch). Does not know what a
strategy minimises: that is `strategies`. Start with `loop`.
"""
