"""What the pages share: cached loaders, pickers, verdicts, and the browser components."""
