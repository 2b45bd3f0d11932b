"""What a judgement found, as text, Markdown, a page and JSON; and its answers as files for other programs."""
