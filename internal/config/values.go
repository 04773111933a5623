package config

import (
	"maps"
	"reflect"
	"slices"
)

// A Value is one setting as it is, for people.
type Value struct {
	Setting string `json:"setting"`
	Text    string `json:"value" doc:"As it would stand in the file; secrets are hidden"`
	From    string `json:"from" doc:"Where it comes from: default, a line of the file, or a variable"`
	Live    bool   `json:"live" doc:"A change is in force without a restart"`
}

// fromDefault is where a setting comes from that nobody has set.
const fromDefault = "default"

// Values lists every setting, in the order of docs/config.md.
func (c Config) Values() []Value {
	var list []Value
	for _, s := range settingsOf(&c) {
		from := c.origins[s.path]
		if from == "" {
			from = fromDefault
		}
		list = append(list, Value{Setting: s.path, Text: show(s.value), From: from, Live: s.live})
	}
	return list
}

// File is the absolute path of the file that the Config was loaded from; empty
// if there was none.
func (c Config) File() string { return c.file }

// A Change is a setting that is not what it was.
type Change struct {
	Setting string `json:"setting"`
	Old     string `json:"old" doc:"Secrets are hidden"`
	New     string `json:"new"`
	Live    bool   `json:"live" doc:"In force without a restart"`
}

// Changes lists the settings in which two Configs differ.
func Changes(from, to Config) []Change {
	var list []Change
	olds, news := settingsOf(&from), settingsOf(&to)
	for i, was := range olds {
		if is := news[i]; !same(was.value, is.value) {
			list = append(list, Change{Setting: was.path, Old: show(was.value), New: show(is.value), Live: was.live})
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

// WithLive is c with the settings of another Config that need no restart.
func (c Config) WithLive(other Config) Config {
	c.Units = maps.Clone(c.Units)
	olds, news := settingsOf(&c), settingsOf(&other)
	for i, s := range olds {
		if s.live {
			s.value.Set(news[i].value)
		}
	}
	return c
}

// Live lists the settings whose change needs no restart.
func Live() []string {
	c := Defaults()
	var list []string
	for _, s := range settingsOf(&c) {
		if s.live {
			list = append(list, s.path)
		}
	}
	return slices.Clip(list)
}
