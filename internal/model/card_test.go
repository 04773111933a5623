package model

import (
	"strings"
	"testing"
)

func TestReadsCards(t *testing.T) {
	c, err := parseCard([]byte(`{"machine": "a", "family": "ridge", "created": "2025-01-02T03:04:05Z", "sensors": ["b", "a"], "context": 50,
		"horizon": 10, "step_seconds": 2, "trained_rows": 120, "parameters": 7, "source": "s", "sha256": "00", "from a newer fettle": {"x": 1}}`))
	if err != nil || c.Sensors[0] != "b" || c.TrainedRows != 120 {
		t.Errorf("%+v, %v", c, err)
	}
	text, err := c.encode()
	if err != nil || !strings.Contains(string(text), `"created": "2025-01-02T03:04:05Z"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRefusesCards(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"family": "lstm"}`, "family is lstm; expected ridge or patchtst"},
		{`{"sensors": ["a", ""]}`, "sensors[1]; expected 1 to 128 bytes"},
		{`{"sensors": ["a", "b", "a"]}`, "sensors[2] is a; expected each sensor once"},
		{`{"context": -1}`, "context is -1; expected a number that is not negative"},
		{`{"context": 1.5}`, "cannot unmarshal number"},
		{`{"sensors": "a"}`, "cannot unmarshal string"},
		{`{"created": "yesterday"}`, "cannot parse"},
		{`{"machine":`, "unexpected end"},
	} {
		if _, err := parseCard([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", c.text, err, c.want)
		}
	}
}

// FuzzCard feeds any text: it is refused, or writes itself so that it reads the
// same.
func FuzzCard(f *testing.F) {
	f.Add([]byte(`{"machine": "a", "family": "ridge", "created": "2025-01-02T03:04:05Z", "sensors": ["b"], "context": 50, "step_seconds": 0.5}`))
	f.Add([]byte(`{"sensors": ["a", "a"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCard(text)
		if err != nil {
			return
		}
		first, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseCard(first)
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if second, err := again.encode(); err != nil || string(second) != string(first) {
			t.Fatalf("%s was read as %s, %v", first, second, err)
		}
	})
}
