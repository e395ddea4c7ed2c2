"""Other ways of writing a binned likelihood: HistFactory XML, HS3, Combine's datacards, and what pyhf cannot say.

Knows how to read each of them as a workspace, how to write HS3, and how a conversion is proved. What no pyhf workspace
can say stands in one under `extensions`. Whatever a dialect asks for that the likelihood does not have is refused with
its line and name. Start with `files`.
"""
