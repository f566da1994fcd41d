"""Whether what a model is asked, and what it answers, still is what it was tested on.

columns      requests and answers -> columns of numbers and categories; pipelines/<project>/monitoring.py says which
reference    what these columns were on the test rows, as counts, in the bundle
drift        a window of the prediction log against the reference
"""
