"""Files: whole or none, in every format, with a record of what made them; one run at a time.

Knows how bytes get to a disk and back (`files`, `event_files`), what a job did (`records`, `logs`), which code it ran
(`sources`), who is at work on a folder (`runs`), and what failed and what is left of a run (`failures`). Does not know
what stands in the files, nor any physics. Start with `disks`, which everything that writes goes through.
"""
