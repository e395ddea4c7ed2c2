"""What a user may write in a configuration, and what must agree in it.

Knows the models of the sections (`configuration`, `systematics`), what short entries stand for (`expansions`) and what
follows from them by name alone (`points`, `conditional`, `unbinned`, `known_answers`), and the arithmetic that users
write over columns (`expressions`). Reads no events. Start with `configuration`; `checks` says what must agree.
"""
