"""The report: one HTML file that opens anywhere, without network, and says what the ensemble does not know.

It is a pure function of the metrics JSONs, of texts, configuration and run record: `page` is where it begins.
"""
