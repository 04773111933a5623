package ingest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fettle"
	"fettle/internal/codec"
)

func TestRejectionsAreTheLastHundred(t *testing.T) {
	b := newBooks(func() time.Time { return clock })
	for i := range 250 {
		b.refuse("topic", fmt.Appendf(nil, "payload %d", i), errors.New("bad"))
	}
	all := b.rejections()
	if len(all) != 100 || all[0].Payload != "payload 249" || all[99].Payload != "payload 150" {
		t.Errorf("%d rejections from %v to %v", len(all), all[0], all[len(all)-1])
	}
	if n := b.stats().Refused["other"]; n != 250 {
		t.Errorf("%d counted, expected 250", n)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	b := newBooks(time.Now)
	for i := range 1000 {
		b.refuse("topic", nil, fettle.BadField(fmt.Sprint("reason ", i), "f", "v", "e"))
	}
	refused := b.stats().Refused
	if len(refused) > keptReasons+1 || refused["reason 1"] != 1 || refused["other"] != 1000-keptReasons {
		t.Errorf("%d reasons, %d others", len(refused), refused["other"])
	}
}

// Each bad reading of a batch counts, but a message is one rejection.
func TestBatchRefusal(t *testing.T) {
	b := newBooks(time.Now)
	b.refuse("topic", []byte("[]"), codec.Errors{fettle.BadField("x", "f", "v", "e"), fettle.BadField("y", "f", "v", "e"), fettle.BadField("x", "f", "v", "e")})
	if got := fmt.Sprint(b.stats().Refused, len(b.rejections())); got != "map[x:2 y:1] 1" {
		t.Errorf("refused, rejections are %s", got)
	}
}

func TestReadable(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"abc", "abc"},
		{"abcdef", "abcde"},
		{"abc世", "abc"},
		{"ab世", "ab世"},
		{"a\xffb", "a\uFFFDb"},
		{"\xff\xff\xff\xff", "\uFFFD"},
		{"a\xffb\xffc", "a\uFFFDb"},
	} {
		if got := readable([]byte(c.text), 5); got != c.want {
			t.Errorf("readable(%q) is %q, expected %q", c.text, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text, limit := rapid.SliceOf(rapid.Byte()).Draw(t, "text"), rapid.IntRange(0, 40).Draw(t, "limit")
		if got := readable(text, limit); len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("readable is %q", got)
		}
	})
}

// A huge reading is not written out whole only to be cut.
func TestHugeRejection(t *testing.T) {
	b := newBooks(time.Now)
	r := fettle.Reading{Machine: strings.Repeat("m", 1<<20), Values: make([]fettle.Value, 10_000)}
	b.refuseReading(r, errors.New(strings.Repeat("e", 1<<20)))
	got := b.rejections()[0]
	if len(got.Source) > fettle.MaxName || len(got.Payload) > keptPayload || len(got.Error) > keptPayload {
		t.Errorf("kept %d, %d, %d bytes", len(got.Source), len(got.Payload), len(got.Error))
	}
}

func TestPace(t *testing.T) {
	var p pace
	for second := range 30 {
		p.add(clock.Add(time.Duration(second)*time.Second), 7)
	}
	for _, c := range []struct {
		second int
		want   float64
	}{{29, 7}, {30, 7}, {35, 3.5}, {39, 0.7}, {40, 0}, {1000, 0}} {
		if got := p.perSecond(clock.Add(time.Duration(c.second) * time.Second)); got != c.want {
			t.Errorf("pace at %d s is %v, expected %v", c.second, got, c.want)
		}
	}
}
