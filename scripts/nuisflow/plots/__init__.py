"""Figures of trainings, templates and fits; the only package that imports matplotlib."""
