"""From files to selected events at any value of the nuisance parameters, in chunks.

Knows what a variation does to events (`variations`), which events are selected (`selection`), how files are read
once (`ingestion`) and looked at before the first job (`preview`), and dask (`parallel`, `clusters`). Does not know
networks or templates. Start with `selection`.
"""
