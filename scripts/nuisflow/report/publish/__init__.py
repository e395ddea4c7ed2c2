"""What others need of an analysis beside the report: a submission to HEPData, and tables for a paper.

Knows how numbers become tables of LaTeX (`latex`) and of HEPData (`hepdata`, by hepdata_lib). Everything in them is in
the report too, whose words and rows they take. Start with `latex`.
"""
