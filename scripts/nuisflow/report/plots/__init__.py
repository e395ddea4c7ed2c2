"""Figures of trainings, templates and fits; the only room that imports matplotlib.

Start with `style`, which draws and saves; every other module has the name of the topic that it shows.
"""
