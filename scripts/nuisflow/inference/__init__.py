"""What is asked of trained and binned events beyond one workspace.

Knows displaced true values (`truths`), spreads of members, pseudo-experiments made of events (`bootstrap`) and their
scores, the likelihood of templates conditional on a hypothesis (`conditional`), and that of single events, without any
template (`unbinned`). Start with `truths`.
"""
