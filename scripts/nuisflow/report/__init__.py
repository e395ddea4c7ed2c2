"""Words, tables, figures, and the page.

Knows how results are told. Computes no result: numbers come from `comparison` and from the files. Start with `page`;
`findings` has the sentences, `cautions` what to be careful about, `plots` the figures, `colours` how trainings look.
"""
