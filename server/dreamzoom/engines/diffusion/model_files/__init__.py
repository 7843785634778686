"""Reads the files of models, which anyone may have made: what kinds of files lie in a folder (`inventory`), JSON and
headers of weights (`reading`), and the values in configurations (`settings`). Nothing of a folder is ever executed.
"""
