"""What each rule depends on: one module per file of workflow/rules, with the same name.

Knows which part of the configuration can change a result of a rule, as plain values. Does not know how the result is
made. Start with `events`.
"""
