"""Self-contained HTML pages: sections, tables and figures as inline SVG."""
