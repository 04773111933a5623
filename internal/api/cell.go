package api

import "strings"

// formulas are the signs that make a spreadsheet take a cell for a formula, and
// the one that tells it not to.
const formulas = "=+-@\t\r'"

// CellOf is a name as a cell of CSV. Machines name their sensors as they like,
// and a spreadsheet would run =HYPERLINK(…): a name that begins like a formula
// gets an apostrophe before it, which spreadsheets do not show. Numbers need
// none.
func CellOf(name string) string {
	if name != "" && strings.Contains(formulas, name[:1]) {
		return "'" + name
	}
	return name
}
