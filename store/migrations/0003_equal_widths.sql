-- What most questions are about, once: runs of equal widths, each under the one label that says so.
CREATE VIEW equal_widths AS
SELECT run_id FROM labels WHERE NOT degenerate AND replace(shape, '=', '') = '';
COMMENT ON VIEW equal_widths IS 'The runs of equal widths: every hidden layer as wide as the first one; all runs of cnn and vit';
