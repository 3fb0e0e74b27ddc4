"""Rules that manifests are held against, and values at random to render them with."""
