package config

import (
	"maps"
	"os"
	"reflect"
	"strings"

	"fettle"
)

// A Setting is one setting as it is, for people.
type Setting struct {
	Name string `json:"setting"`
	Text string `json:"value" doc:"As it would stand in the file; secrets are hidden"`
	From string `json:"from" doc:"Where it comes from: default, a line of the file, or a variable"`
	Live bool   `json:"live" doc:"A change is in force without a restart"`
}

// FromDefault is where a setting comes from that nobody has set.
const FromDefault = "default"

// Settings lists every setting, in the order of docs/config.md.
func (c Config) Settings() []Setting {
	var list []Setting
	for _, s := range settingsOf(&c) {
		from := c.origins[s.path]
		if from == "" {
			from = FromDefault
		}
		list = append(list, Setting{Name: s.path, Text: show(s.value), From: from, Live: s.live})
	}
	return list
}

// File is the absolute path of the file that the Config was loaded from; empty
// if there was none.
func (c Config) File() string { return c.file }

// Changes lists the settings in which two Configs differ.
func Changes(from, to Config) []fettle.SettingChange {
	var list []fettle.SettingChange
	olds, news := settingsOf(&from), settingsOf(&to)
	for i, was := range olds {
		if is := news[i]; !same(was.value, is.value) {
			list = append(list, fettle.SettingChange{Setting: was.path, Old: show(was.value), New: show(is.value), Live: was.live})
		}
	}
	return list
}

// same takes a list without entries for the same as none.
func same(a, b reflect.Value) bool {
	if k := a.Kind(); (k == reflect.Slice || k == reflect.Map) && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// Adopt is c with what has changed from one Config to another, as far as that
// needs no restart. What c has otherwise than the first one stays: the command
// line may have said it.
func (c Config) Adopt(from, to Config) Config {
	c.Units = maps.Clone(c.Units)
	to.Units = maps.Clone(to.Units)
	settings, olds, news := settingsOf(&c), settingsOf(&from), settingsOf(&to)
	for i, s := range settings {
		if s.live && !same(olds[i].value, news[i].value) {
			s.value.Set(news[i].value)
		}
	}
	return c
}

// Variable names the environment variable that sets a setting, and tells whether
// it is set.
func Variable(name string) (variable string, set bool) {
	c := Defaults()
	for _, s := range settingsOf(&c) {
		if s.path == name || strings.HasPrefix(name, s.path+".") {
			variable = s.variable()
			_, set = os.LookupEnv(variable)
		}
	}
	return variable, set
}
