"""The stages and the projects.

A stage's module is its command, `python -m pipelines.train`, so the stages lie side by side, more than in other rooms;
a project is a folder beside them.
"""
