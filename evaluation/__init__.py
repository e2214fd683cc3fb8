"""Evaluation: how good a model is, with intervals, tables and pictures."""
