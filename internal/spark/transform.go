package spark

import (
	"strings"
)

// Transform is the statement that runs a command on an executor, by /bin/bash:
// each row's one value, a line, comes to its standard input, and each line of
// its standard output becomes a row. The value is not part of the statement, but
// goes along with Start: so nothing in it needs to be escaped, and Spark parses
// nothing of it. It must not hold a line end or a tab.
func Transform(command string) string {
	return "SELECT TRANSFORM(job) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' USING " + quote(command) +
		" AS (result STRING) ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' FROM VALUES (?) AS t(job)"
}

// quote makes a literal of SQL. Spark puts values of settings and of the
// environment in the place of ${…}, so that is taken apart.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, `$`, `\u0024`).Replace(s) + "'"
}
