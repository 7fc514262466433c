"""Numbers to what people look at: Table 1 and its forms, CSV files, figures, the report of one HTML file.

`publish` is the way in."""
