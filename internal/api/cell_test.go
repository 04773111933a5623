package api

import "testing"

func TestCells(t *testing.T) {
	for name, cell := range map[string]string{
		"tempA": "tempA", "": "", "1-2": "1-2", "it's": "it's",
		`=HYPERLINK("http://x")`: `'=HYPERLINK("http://x")`, "+1": "'+1", "-x": "'-x", "@SUM(A1)": "'@SUM(A1)", "'": "''", "'=1": "''=1",
	} {
		if got := CellOf(name); got != cell {
			t.Errorf("the cell of %q is %q, expected %q", name, got, cell)
		}
	}
}
