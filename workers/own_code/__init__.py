"""Optimizers, models and data sets from a user's own files and modules.

`names` parses their names and `sources` reads files without running them: the service uses these.
`loading` imports the code and `factories` calls it: only drivers and trials use these.
"""
