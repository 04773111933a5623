package config

import (
	"os"
	"reflect"
	"runtime"
	"strings"
)

// prefix starts the name of every variable that fettle listens to.
const prefix = "FETTLE_"

// A setting is one leaf of the Config struct.
type setting struct {
	path  string // "http.listen"
	doc   string
	enum  []string // the only texts allowed; nil if any
	live  bool     // a change needs no restart
	value reflect.Value
}

// settingsOf lists all settings of c in the struct's order.
func settingsOf(c *Config) []setting {
	var list []setting
	for section, value := range fields(reflect.ValueOf(c).Elem()) {
		list = append(list, settingsIn(section, value)...)
	}
	return list
}

// settingsIn lists the settings of one section; a map is a section and its
// only setting.
func settingsIn(section reflect.StructField, value reflect.Value) []setting {
	return settingsBelow("", section, value)
}

func settingsBelow(path string, field reflect.StructField, value reflect.Value) []setting {
	if value.Kind() != reflect.Struct {
		return []setting{newSetting(path, field, value)}
	}
	var list []setting
	for inner, leaf := range fields(value) {
		list = append(list, settingsBelow(join(path, keyOf(field)), inner, leaf)...)
	}
	return list
}

func newSetting(section string, field reflect.StructField, value reflect.Value) setting {
	s := setting{path: join(section, keyOf(field)), doc: field.Tag.Get("doc"), live: field.Tag.Get("live") != "", value: value}
	if enum, found := field.Tag.Lookup("enum"); found {
		s.enum = strings.Split(enum, ",")
	}
	return s
}

// variable is the name of the environment variable that sets it.
func (s setting) variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))
}

// ofSection tells whether a variable looks as if it was meant for a section of
// ours. FETTLE_ANYTHING may belong to somebody else.
func ofSection(name string, settings map[string]setting) bool {
	section, _, found := strings.Cut(strings.TrimPrefix(name, prefix), "_")
	if !found {
		return false
	}
	for known := range settings {
		if known == prefix+section || strings.HasPrefix(known, prefix+section+"_") {
			return true
		}
	}
	return false
}

// fields ranges over the settings of a struct: its fields with a yaml tag.
func fields(structure reflect.Value) func(yield func(reflect.StructField, reflect.Value) bool) {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		for i := range structure.NumField() {
			field := structure.Type().Field(i)
			if keyOf(field) != "" && !yield(field, structure.Field(i)) {
				return
			}
		}
	}
}

func keyOf(field reflect.StructField) string { return field.Tag.Get("yaml") }

func fieldByKey(structure reflect.Value, key string) (reflect.Value, bool) {
	for field, value := range fields(structure) {
		if keyOf(field) == key {
			return value, true
		}
	}
	return reflect.Value{}, false
}

// keysOf lists the keys that a section takes, for messages.
func keysOf(structure reflect.Value) []string {
	var keys []string
	for field, value := range fields(structure) {
		keys = append(keys, keyOf(field))
		if isSecret(value) {
			keys = append(keys, keyOf(field)+"_file")
		}
	}
	return keys
}

func isSecret(value reflect.Value) bool { return value.Type() == reflect.TypeFor[Secret]() }

// readableByAll tells whether users who are neither the owner nor in the
// file's group can read it. Windows keeps its rights elsewhere.
func readableByAll(path string) bool {
	if runtime.GOOS == "windows" {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o004 != 0
}
