"""Commands over the configuration: presets, the upgrade of a file, and a test of where notices go."""
