"""From events to trained classifiers: batches, the one training loop, trials, scores.

Knows how events become tensors (`batches`), the loop of all strategies (`loop`), and what comes out (`classifier`).
Does not know what a strategy minimises: that is `strategies`. Start with `loop`.
"""
