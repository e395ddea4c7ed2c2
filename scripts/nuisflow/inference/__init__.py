"""What is asked of trained and binned events beyond one workspace.

Knows displaced true values (`truths`), spreads of members, pseudo-experiments made of events (`bootstrap`) and their
scores, and the likelihood of templates conditional on a hypothesis (`conditional`). Start with `truths`.
"""
