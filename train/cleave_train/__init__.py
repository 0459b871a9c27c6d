"""Training, export and evaluation of Cleave's bundles."""
