"""The catalog: feature views, services and the layout of online tables, in types of our own."""
