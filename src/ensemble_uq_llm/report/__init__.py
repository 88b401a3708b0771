"""Floor 3: the report, one HTML file that opens anywhere without network, and tables for terminals and papers.

It is a pure function of the metrics JSONs, of texts, configuration and run record: `page` is where it begins.
"""
