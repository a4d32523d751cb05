"""The page Learn: lessons, each a Markdown file in `lessons/`, and the activities that they are made of."""
