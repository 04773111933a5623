package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// licences gathers the licences and notices of all that is linked into the
// program, Go's own library included: their authors ask for it.
func (r release) licences(env []string) ([]byte, error) {
	listed, err := r.goTool(env, "list", "-deps", "-f", `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{"\t"}}{{.Dir}}{{end}}{{end}}`, "./cmd/fettle")
	if err != nil {
		return nil, err
	}
	root, err := r.goTool(env, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	modules := slices.Compact(slices.Sorted(strings.Lines(string(listed))))
	modules = append([]string{"Go " + runtime.Version() + "\t" + string(root)}, modules...)
	var all bytes.Buffer
	for _, module := range modules {
		name, dir, _ := strings.Cut(strings.TrimSpace(module), "\t")
		found, err := licencesIn(dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(&all, "======== %s ========\n\n%s\n", name, found)
	}
	return all.Bytes(), nil
}

// licencesIn reads the licence and the notices of a module.
func licencesIn(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found [][]byte
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if !e.Type().IsRegular() || !slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE"}, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		found = append(found, bytes.TrimSpace(text))
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no licence in %s; it cannot be released with the program", dir)
	}
	return append(bytes.Join(found, []byte("\n\n")), '\n'), nil
}
