"""Whether what a model is asked, and what it answers, still is what it was tested on.

reference/   requests and answers -> columns, and what these were on the test rows, as counts, in the bundle
drift        a window of the prediction log against the reference
"""
