"""What the scripts share: options, inputs, results, tables, figures, pages. No mathematics."""
