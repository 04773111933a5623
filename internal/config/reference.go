package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

const referenceHead = `# Settings

fettle works without a configuration file. What it does read, later winning over
earlier:

1. the defaults below;
2. a YAML file: the one named with ` + "`-c FILE`" + ` or ` + "`FETTLE_CONFIG`" + `, else ` + "`" + DefaultFile + "`" + ` in the
   working directory if there is one;
3. the environment: each setting has the variable that its table names.

Keys that do not exist are refused, and all faults are shown at once, each with
its line. A duration is written with its unit (` + "`60s`, `5m`, `1h30m`" + `), an amount of
bytes with or without (` + "`64MiB`, `500kB`, `1048576`" + `). In a variable a list is written
` + "`a,b`" + ` and a map ` + "`{name: value}`" + `.

A running server looks at its file every second. Settings marked *live* are in
force at once; of others that have changed it says that they need a restart. A
file that is wrong is named in the log and changes nothing. From the command line:

    fettle config show                         every setting, and where it comes from
    fettle config set forecast.interval 300s   writes the file, keeping comments
    fettle config check                        is the file right?

A secret can stand in a file of its own: ` + "`password_file`" + ` in place of ` + "`password`" + ` holds
the path, counted from the folder of the configuration file. fettle warns when
other users of the computer can read a secret.
`

// Reference is the page of all settings, in Markdown, made from the struct:
// docs/config.md is this text.
func Reference() string {
	defaults := Defaults()
	var page strings.Builder
	page.WriteString(referenceHead)
	for section, value := range fields(reflect.ValueOf(&defaults).Elem()) {
		fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| setting | default | variable | |\n|---|---|---|---|\n", keyOf(section), section.Tag.Get("doc"))
		for _, s := range settingsIn(section, value) {
			fmt.Fprintf(&page, "| `%s` | `%s` | `%s` | %s |\n", s.path, show(s.value), s.variable(), s.sentence())
			for key, doc := range s.entries() {
				fmt.Fprintf(&page, "| `%s[].%s` | | | %s |\n", s.path, key, doc)
			}
		}
	}
	return page.String()
}

// entries ranges over the keys of a list's entries and what they mean; there
// are none unless it is a list of structs.
func (s setting) entries() func(yield func(key, doc string) bool) {
	return func(yield func(key, doc string) bool) {
		if !s.isListOfStructs() {
			return
		}
		for field, value := range fields(reflect.New(s.value.Type().Elem()).Elem()) {
			doc := field.Tag.Get("doc")
			if isSecret(value) {
				doc += " Or `" + keyOf(field) + "_file`."
			}
			if !yield(keyOf(field), doc) {
				return
			}
		}
	}
}

func (s setting) isListOfStructs() bool {
	return s.value.Kind() == reflect.Slice && s.value.Type().Elem().Kind() == reflect.Struct
}

// sentence describes a setting, with the texts it takes.
func (s setting) sentence() string {
	text := s.doc
	if s.enum != nil {
		text += " One of `" + strings.Join(s.enum, "`, `") + "`."
	}
	if s.isListOfStructs() {
		text += " Each entry has the keys below."
	}
	if s.value.Kind() == reflect.Map {
		text = "By name."
	}
	if s.live {
		text += " *Live.*"
	}
	return text
}

// show writes a default as it would stand in the file.
func show(value reflect.Value) string {
	if t, ok := value.Interface().(encoding.TextMarshaler); ok {
		text, _ := t.MarshalText()
		return string(text)
	}
	switch value.Kind() {
	case reflect.Slice:
		items := make([]string, value.Len())
		for i := range items {
			items[i] = show(value.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Map:
		return showMap(value)
	case reflect.Struct:
		var entries []string
		for field, one := range fields(value) {
			entries = append(entries, keyOf(field)+": "+show(one))
		}
		return "{" + strings.Join(entries, ", ") + "}"
	case reflect.String:
		return value.String()
	default:
		return fmt.Sprint(value.Interface())
	}
}

// showMap writes the entries in the order of their names.
func showMap(value reflect.Value) string {
	entries := make([]string, 0, value.Len())
	for _, key := range value.MapKeys() {
		entries = append(entries, key.String()+": "+value.MapIndex(key).String())
	}
	slices.Sort(entries)
	return "{" + strings.Join(entries, ", ") + "}"
}
