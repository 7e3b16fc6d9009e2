"""Pages for people: self-contained HTML with hand-drawn SVG, without scripts or a plotting library."""
