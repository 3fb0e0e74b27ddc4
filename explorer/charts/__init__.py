"""Charts as SVG, made here: colours by the page's stylesheet, texts as texts, no script."""
