"""Self-contained HTML reports: sections, tables and figures as inline SVG."""
