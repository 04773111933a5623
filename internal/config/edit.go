package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"fettle"
)

// Set writes one setting into a configuration file, which is made if it is not
// there: only the value changes, comments and all else stay as they are. Text
// for a list is a,b. What would make the file wrong is not written, and comes
// back as Load would say it. The file is replaced whole or not at all.
//
// A value that the file spreads over lines, and a list of entries with keys, is
// for an editor: such a setting is refused.
func Set(file, key, text string) (fettle.SettingChange, error) {
	if linked, err := filepath.EvalSymlinks(file); err == nil {
		file = linked
	}
	before, err := readSmall(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fettle.SettingChange{}, fmt.Errorf("read configuration: %w", err)
	}
	value, err := yamlOf(file, key, text)
	if err != nil {
		return fettle.SettingChange{}, err
	}
	after, err := edit(before, strings.Split(key, "."), value)
	if err != nil {
		return fettle.SettingChange{}, err
	}
	change, err := onlyChange(file, key, before, after)
	if err != nil {
		return fettle.SettingChange{}, err
	}
	return change, replaceFile(file, after)
}

// onlyChange compares a file before and after: nothing but the setting may be
// different. A file that was wrong before may become right.
func onlyChange(file, key string, before, after []byte) (fettle.SettingChange, error) {
	now, err := load(file, after, nil)
	if err != nil {
		return fettle.SettingChange{}, faultOf(key, err)
	}
	was, err := load(file, before, nil)
	if err != nil {
		was = Defaults()
	}
	changes := Changes(was, now)
	for _, c := range changes {
		if err == nil && !sets(key, c.Setting) {
			return fettle.SettingChange{}, byHand(file, key, place{})
		}
	}
	for _, v := range now.Settings() {
		if !sets(key, v.Name) {
			continue
		}
		if i := slices.IndexFunc(changes, func(c fettle.SettingChange) bool { return c.Setting == v.Name }); i >= 0 {
			return changes[i], nil
		}
		return fettle.SettingChange{Setting: v.Name, Old: v.Text, New: v.Text, Live: v.Live}, nil
	}
	return fettle.SettingChange{}, UnknownSetting(key)
}

// sets tells whether a key of the file is a setting, an entry of it, or names the
// file of a secret.
func sets(key, setting string) bool {
	return key == setting || strings.HasPrefix(key, setting+".") || key == setting+"_file"
}

// faultOf is what is wrong with a setting alone, if that is among the faults:
// the line it would have had is in no file.
func faultOf(key string, err error) error {
	var faults Faults
	if errors.As(err, &faults) {
		for _, f := range faults {
			if f.Err.Field == key || strings.HasPrefix(f.Err.Field, key+"[") {
				return f.Err
			}
		}
	}
	return err
}

// UnknownSetting says that there is no setting of a name.
func UnknownSetting(key string) error {
	return fettle.BadField("unknown key", key, "not a setting", "one that `fettle config show` lists, such as forecast.interval")
}

func byHand(file, key string, at place) error {
	where := file
	if at.line > 0 {
		where = fmt.Sprintf("%s:%d", file, at.line)
	}
	return fettle.Errorf(fettle.Invalid, "%s cannot be set from here: change it in %s with an editor; a running server looks at the file every second", key, where)
}

// yamlOf writes a text as YAML in one line, of the shape that the setting has.
func yamlOf(file, key, text string) (string, error) {
	c := Defaults()
	for _, s := range settingsOf(&c) {
		isMap := s.value.Kind() == reflect.Map
		switch {
		case isMap && strings.HasPrefix(key, s.path+"."):
			return yamlScalar(text), nil
		case isSecret(s.value) && key == s.path+"_file":
			return yamlScalar(text), nil
		case s.path != key:
			continue
		case isMap || s.isListOfStructs():
			return "", byHand(file, key, place{})
		case s.value.Kind() == reflect.Slice:
			items := splitList(strings.Trim(text, "[] "))
			for i, item := range items {
				items[i] = yamlScalar(item)
			}
			return "[" + strings.Join(items, ", ") + "]", nil
		}
		if expected := setScalar(s.value, text); expected != "" {
			return "", fettle.BadField("wrong value", key, quoted(text), expected)
		}
		return yamlScalar(text), nil
	}
	return "", UnknownSetting(key)
}

// plain is text that means itself in YAML, also between braces.
var plain = regexp.MustCompile(`^[A-Za-z0-9/._][A-Za-z0-9/._+-]*(:[A-Za-z0-9/._+-]+)*$`)

func yamlScalar(text string) string {
	if plain.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

// edit puts a value at a path into a document.
func edit(text []byte, path []string, value string) ([]byte, error) {
	root, err := parse(text)
	if err != nil {
		return nil, fettle.Errorf(fettle.Invalid, "the file is no YAML as it is: %w", err)
	}
	d := &document{lines: strings.Split(string(text), "\n")}
	if root == nil {
		d.append(path, value)
	} else if err := d.put(root, place{}, path, value); err != nil {
		return nil, err
	}
	return []byte(strings.Join(d.lines, "\n")), nil
}

// A document is a file that is changed line by line, so that whatever the change
// does not touch stays byte for byte.
type document struct{ lines []string }

// put descends to the deepest part of a path that is there. header is the place
// of the key above; none at the top.
func (d *document) put(node ast.Node, header place, path []string, value string) error {
	inner := &loader{}
	pairs := inner.pairs("", node, "")
	if len(inner.faults) > 0 {
		return fettle.Errorf(fettle.Invalid, "line %d of the file is %s; expected keys with values", placeOfToken(node.GetToken()).line, shape(node))
	}
	for _, pair := range pairs {
		if keyText(pair.Key) != path[0] {
			continue
		}
		at := placeOfToken(pair.Key.GetToken())
		_, empty := pair.Value.(*ast.NullNode)
		switch {
		case len(path) == 1:
			return d.replace(pair, value)
		case empty:
			d.insertBelow(at, at.column+1, path[1:], value)
			return nil
		default:
			return d.put(pair.Value, at, path[1:], value)
		}
	}
	if flow, ok := node.(*ast.MappingNode); ok && flow.IsFlowStyle {
		d.insertInto(placeOfToken(flow.Start), path, value, len(pairs) > 0)
		return nil
	}
	if header.line == 0 {
		d.append(path, value)
		return nil
	}
	first := placeOfToken(pairs[0].Key.GetToken())
	d.insertBelow(header, first.column-1, path, value)
	return nil
}

// append adds a path at the end of the document.
func (d *document) append(path []string, value string) {
	for len(d.lines) > 0 && strings.TrimSpace(d.lines[len(d.lines)-1]) == "" {
		d.lines = d.lines[:len(d.lines)-1]
	}
	d.lines = append(append(d.lines, below(0, path, value)...), "")
}

// insertBelow adds a path as the first of the section whose key is at header.
func (d *document) insertBelow(header place, indent int, path []string, value string) {
	d.lines = slices.Insert(d.lines, header.line, below(indent, path, value)...)
}

// below writes a path as lines, each key in one of its own.
func below(indent int, path []string, value string) []string {
	lines := make([]string, len(path))
	for i, key := range path {
		lines[i] = strings.Repeat(" ", indent+2*i) + yamlScalar(key) + ":"
	}
	lines[len(path)-1] += " " + value
	return lines
}

// insertInto adds a path right behind the brace that opens a section.
func (d *document) insertInto(brace place, path []string, value string, more bool) {
	entry := strings.Join(path, ": {") + ": " + value + strings.Repeat("}", len(path)-1)
	if more {
		entry += ", "
	}
	d.splice(brace.line, brace.column, brace.column, entry)
}

// replace changes the value of a pair that stands in one line.
func (d *document) replace(pair *ast.MappingValueNode, value string) error {
	at := placeOfToken(pair.Value.GetToken())
	switch node := pair.Value.(type) {
	case *ast.NullNode:
		colon := placeOfToken(pair.GetToken())
		d.splice(colon.line, colon.column, colon.column, " "+value)
		return nil
	case *ast.SequenceNode:
		end := placeOfToken(node.End)
		if node.IsFlowStyle && end.line == at.line {
			d.splice(at.line, at.column-1, end.column, value)
			return nil
		}
	case *ast.LiteralNode:
	default:
		if _, scalar := scalarText(node); scalar {
			d.splice(at.line, at.column-1, d.endOfScalar(at), value)
			return nil
		}
	}
	return fettle.Errorf(fettle.Invalid, "%s cannot be set from here, because line %d has it on several lines: change it there with an editor; a running server looks at the file every second",
		keyText(pair.Key), at.line)
}

// endOfScalar is the column behind the scalar that begins at a place. Whoever
// edits checks afterwards that nothing else has changed, so what goes beyond
// the line does no harm.
func (d *document) endOfScalar(at place) int {
	line := []rune(d.lines[at.line-1])
	begin := at.column - 1
	if begin >= len(line) {
		return len(line)
	}
	if quote := line[begin]; quote == '"' || quote == '\'' {
		for i := begin + 1; i < len(line); i++ {
			switch {
			case quote == '"' && line[i] == '\\', quote == '\'' && line[i] == quote && i+1 < len(line) && line[i+1] == quote:
				i++
			case line[i] == quote:
				return i + 1
			}
		}
		return len(line)
	}
	end := begin
	for end < len(line) && !strings.ContainsRune(",}]\r", line[end]) && (line[end] != '#' || line[end-1] != ' ') {
		end++
	}
	for end > begin && line[end-1] == ' ' {
		end--
	}
	return end
}

// splice replaces the signs of a line from one column up to another.
func (d *document) splice(number, from, to int, text string) {
	line := []rune(d.lines[number-1])
	from, to = min(from, len(line)), min(to, len(line))
	d.lines[number-1] = string(line[:from]) + text + string(line[to:])
}

// replaceFile gives a file a new content, whole or not at all. It keeps its
// owner and its rights, as far as the system lets us.
func replaceFile(path string, content []byte) error {
	mode := fs.FileMode(0o644)
	info, err := os.Stat(path)
	if err == nil {
		mode = info.Mode().Perm()
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = draft.Write(content)
	if err == nil {
		err = draft.Sync()
	}
	if err = errors.Join(err, draft.Close()); err == nil {
		err = os.Chmod(draft.Name(), mode)
	}
	if err == nil && info != nil {
		keepOwner(draft.Name(), info)
	}
	if err == nil {
		err = os.Rename(draft.Name(), path)
	}
	if err != nil {
		os.Remove(draft.Name())
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
