"""What a reviewer asks of the analysis beside its results: the features before any training.

Numbers come from `comparison`, figures from `report/plots`, under the same names; here they become rows and words. The
parts of the page lie beside the modules.
"""
