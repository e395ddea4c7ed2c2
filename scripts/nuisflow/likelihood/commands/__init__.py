"""The commands of the shell on any pyhf workspace: what is asked, answered as tables and as files.

One module per command, of the same name; each says what it does, an example and its own options, and `line` puts them
together. `reading` makes the model (patches, settings of parameters), `question` says which data are fitted, `answer`
how what is found is printed and written. Numbers come from the modules above, never from here.
"""
