package config

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"fettle"
)

// A loader fills a Config and books every fault on the way, with its place.
// The library parses; walking the tree ourselves is what lets us name all
// faults at once instead of the first.
type loader struct {
	file     string // as it stands in messages
	folder   string // where the paths of secrets' files start
	lines    []string
	places   map[string]place // where each setting was written, by its path
	faults   Faults
	warnings []string
}

// overlayFile lays the settings of a YAML document over c.
func (l *loader) overlayFile(text []byte, c *Config) {
	l.lines = strings.Split(string(text), "\n")
	root, err := parse(text)
	if err != nil {
		l.syntaxFault(err)
		return
	}
	if root != nil {
		l.decode("", root, reflect.ValueOf(c).Elem())
	}
}

// parse returns the root of the only document in text; nil if it is empty. A
// panic of the library is its way of not understanding the file.
func parse(text []byte) (root ast.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, fmt.Errorf("cannot be read as YAML (%v)", p)
		}
	}()
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	for _, document := range file.Docs {
		if document.Body == nil {
			continue
		}
		if root != nil {
			return nil, &yaml.SyntaxError{Message: "expected one document, found a second", Token: document.Body.GetToken()}
		}
		root = document.Body
	}
	return root, nil
}

func (l *loader) syntaxFault(err error) {
	at, message := place{line: 1, column: 1}, err.Error()
	var known yaml.Error
	if errors.As(err, &known) {
		message = known.GetMessage()
		at = placeOfToken(known.GetToken())
	}
	l.fault(at, &fettle.Error{Kind: fettle.Invalid, Reason: "bad YAML", Err: errors.New(message)})
}

func placeOfToken(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{line: 1, column: 1}
	}
	return place{line: t.Position.Line, column: t.Position.Column}
}

// decode puts what a node says into a field, whatever its type is. path is the
// field's name in messages, such as "mqtt.users[0].name".
func (l *loader) decode(path string, node ast.Node, into reflect.Value) {
	at := placeOfToken(node.GetToken())
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		l.fault(at, fettle.BadField("bad YAML", path, "", "a plain value; anchors, aliases and tags are not understood here"))
		return
	}
	if _, empty := node.(*ast.NullNode); empty && into.Kind() == reflect.Struct {
		return // a section whose keys are all commented out
	}
	l.places[path] = at
	switch into.Kind() {
	case reflect.Struct:
		l.decodeStruct(path, node, into)
	case reflect.Slice:
		l.decodeList(path, node, into)
	case reflect.Map:
		l.decodeMap(path, node, into)
	default:
		text, ok := scalarText(node)
		if !ok {
			l.fault(at, fettle.BadField("wrong shape", path, shape(node), "one value"))
			return
		}
		if expected := setScalar(into, text); expected != "" {
			l.fault(at, fettle.BadField("wrong value", path, quoted(text), expected))
		}
		if isSecret(into) && l.file != "" && readableByAll(l.file) {
			l.warn("%s holds %s and can be read by every user of this computer; chmod 600 it", l.file, path)
		}
	}
}

func (l *loader) decodeStruct(path string, node ast.Node, into reflect.Value) {
	pairs := l.pairs(path, node, "keys with values")
	for _, pair := range pairs {
		key, at := keyText(pair.Key), placeOfToken(pair.Key.GetToken())
		if field, found := fieldByKey(into, key); found {
			l.decode(join(path, key), pair.Value, field)
			continue
		}
		plain, isFile := strings.CutSuffix(key, "_file")
		secret, found := fieldByKey(into, plain)
		if !isFile || !found || !isSecret(secret) {
			l.fault(at, unknownKey(path, key, into))
			continue
		}
		file, _ := scalarText(pair.Value)
		if file == "" || slices.ContainsFunc(pairs, func(p *ast.MappingValueNode) bool { return keyText(p.Key) == plain }) {
			l.fault(at, fettle.BadField("wrong value", join(path, key), "", "the path of a file, and no "+plain+" beside it"))
			continue
		}
		l.places[join(path, plain)] = at
		l.readSecret(at, join(path, key), file, secret)
	}
}

func unknownKey(path, key string, structure reflect.Value) *fettle.Error {
	where := "at the top"
	if path != "" {
		where = "in " + path
	}
	return fettle.BadField("unknown key", join(path, key), "not a setting", "one of "+strings.Join(keysOf(structure), ", ")+" "+where)
}

func (l *loader) decodeList(path string, node ast.Node, into reflect.Value) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		l.fault(placeOfToken(node.GetToken()), fettle.BadField("wrong shape", path, shape(node), "a list, such as [a, b]"))
		return
	}
	filled := reflect.MakeSlice(into.Type(), len(list.Values), len(list.Values))
	for i, item := range list.Values {
		l.decode(fmt.Sprintf("%s[%d]", path, i), item, filled.Index(i))
	}
	into.Set(filled)
}

// decodeMap lays entries over those that are there; an empty text removes one.
func (l *loader) decodeMap(path string, node ast.Node, into reflect.Value) {
	for _, pair := range l.pairs(path, node, "names with values, such as {tempA: °C}") {
		key := keyText(pair.Key)
		text, ok := scalarText(pair.Value)
		if !ok {
			l.fault(placeOfToken(pair.Value.GetToken()), fettle.BadField("wrong shape", join(path, key), shape(pair.Value), "one value"))
			continue
		}
		l.places[join(path, key)] = placeOfToken(pair.Key.GetToken())
		value := reflect.ValueOf(text)
		if text == "" {
			value = reflect.Value{}
		}
		into.SetMapIndex(reflect.ValueOf(key), value)
	}
}

// pairs returns the entries of a mapping.
func (l *loader) pairs(path string, node ast.Node, expected string) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	if path == "" {
		path = "the file"
	}
	l.fault(placeOfToken(node.GetToken()), fettle.BadField("wrong shape", path, shape(node), expected))
	return nil
}

// overlayEnvironment lays FETTLE_SECTION_KEY variables over c. A scalar is taken
// as it stands; a list is a,b or a YAML list, a map is a YAML map.
func (l *loader) overlayEnvironment(environ []string, c *Config) {
	settings := map[string]setting{}
	for _, s := range settingsOf(c) {
		settings[s.variable()] = s
	}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		target, known := settings[name]
		switch {
		case known:
			l.decodeVariable(target, text)
		case strings.HasPrefix(name, prefix) && ofSection(name, settings):
			l.warn("%s is set, but there is no such setting", name)
		}
	}
}

func (l *loader) decodeVariable(s setting, text string) {
	at := place{variable: s.variable()}
	path, into := s.path, s.value
	l.places[path] = at
	if into.Kind() != reflect.Slice && into.Kind() != reflect.Map {
		if expected := setScalar(into, text); expected != "" {
			l.fault(at, fettle.BadField("wrong value", path, quoted(text), expected))
		}
		return
	}
	if into.Type() == reflect.TypeFor[[]string]() && !strings.HasPrefix(strings.TrimSpace(text), "[") {
		into.Set(reflect.ValueOf(splitList(text)))
		return
	}
	root, err := parse([]byte(text))
	if err != nil || root == nil || len(text) > maxFile {
		l.fault(at, fettle.BadField("bad YAML", path, "", "YAML in one line, such as [a, b] or {name: value}"))
		return
	}
	// The faults of this text lie in the variable, not in a line of the file.
	inner := &loader{folder: ".", places: map[string]place{}}
	inner.decode(path, root, into)
	for _, f := range inner.faults {
		l.fault(at, f.Err)
	}
	l.warnings = append(l.warnings, inner.warnings...)
}

func splitList(text string) []string {
	list := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// readSecret fills a secret from its file, and warns when strangers can read it.
func (l *loader) readSecret(at place, path, file string, into reflect.Value) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(l.folder, file)
	}
	text, err := readSmall(file)
	if err != nil {
		l.fault(at, &fettle.Error{Kind: fettle.Invalid, Reason: "secret", Field: path, Err: err, Expected: "a file that holds the secret"})
		return
	}
	into.SetString(strings.TrimRight(string(text), "\r\n"))
	if readableByAll(file) {
		l.warn("%s: %s can be read by every user of this computer; chmod 600 it", path, file)
	}
}

func (l *loader) warn(format string, args ...any) {
	l.warnings = append(l.warnings, fmt.Sprintf(format, args...))
}

// readSmall reads a file of at most maxFile bytes.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %v", path, Bytes(maxFile))
	}
	return text, err
}

// setScalar reads text into a field of a simple type; if it cannot, it says
// what was expected.
func setScalar(into reflect.Value, text string) (expected string) {
	if u, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return err.Error()
		}
		return ""
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(text)
	case reflect.Int:
		n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
		if err != nil {
			return "a whole number"
		}
		into.SetInt(int64(n))
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "a number"
		}
		into.SetFloat(x)
	default:
		panic("BUG: setting of kind " + into.Kind().String())
	}
	return ""
}

// scalarText is the text of a node that holds one value.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

func keyText(key ast.MapKeyNode) string {
	if text, ok := scalarText(key); ok {
		return text
	}
	return key.String()
}

// shape names what a node is, for "… is a list; expected one value".
func shape(node ast.Node) string {
	switch node.(type) {
	case *ast.NullNode:
		return "empty"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a map"
	default:
		return "one value"
	}
}

func quoted(text string) string { return strconv.Quote(text) }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
