"""The drawings of the report, as inline SVG."""
