package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"fettle"
)

// What the old system sent stands first, to the letter.
func TestWhatAMessageSays(t *testing.T) {
	d := newDesk(t, all("a"))
	press := open(1, fettle.Medium, noon)
	worse := open(1, fettle.High, noon)
	lathe := open(2, fettle.Medium, noon)
	lathe.Machine, lathe.Sentence = "lathe 1", "oil reads 3"
	for _, c := range []struct {
		what, subject, text string
		notices             []notice
	}{
		{"raised", "Machine Condition Alert", "" +
			"Machine at Risk: Stay alert on vib, oil (Checked at: 2026-01-01T12:00:00Z)\n" +
			"press-3, priority medium: vib reads 81.2\n" +
			"http://page/m/press-3\n",
			[]notice{{Raised, press, noon, noon}}},
		{"escalated", "Machine Condition Alert", "" +
			"Machine at Risk: Stay alert on vib, oil (Checked at: 2026-01-01T12:01:00Z)\n" +
			"press-3, priority is now high: vib reads 81.2\n" +
			"http://page/m/press-3\n",
			[]notice{{Escalated, worse, noon.Add(time.Minute), noon}}},
		{"raised, and worse before anybody was told", "Machine Condition Alert", "" +
			"Machine at Risk: Stay alert on vib, oil (Checked at: 2026-01-01T12:00:00Z)\n" +
			"press-3, priority high: vib reads 81.2\n" +
			"http://page/m/press-3\n",
			[]notice{{Raised, press, noon, noon}, {Escalated, worse, noon.Add(time.Minute), noon}}},
		{"over", "Machine Condition Alert: over", "" +
			"Machine Condition Normal: press-3 was at risk from 2026-01-01T12:00:00Z to 2026-01-01T12:05:00Z.\n" +
			"It was: vib reads 81.2\n" +
			"http://page/m/press-3\n",
			[]notice{{Raised, press, noon, noon}, {Cleared, press, noon.Add(5 * time.Minute), noon}}},
		{"several, the most urgent first and the end last", "Machine Condition Alert", "" +
			"Machine at Risk: Stay alert on vib, oil (Checked at: 2026-01-01T12:00:00Z)\n" +
			"press-3, priority high: vib reads 81.2\n" +
			"http://page/m/press-3\n\n" +
			"Machine at Risk: Stay alert on vib, oil (Checked at: 2026-01-01T12:00:00Z)\n" +
			"lathe 1, priority medium: oil reads 3\n" +
			"http://page/m/lathe%201\n\n" +
			"Machine Condition Normal: press-3 was at risk from 2026-01-01T12:00:00Z to 2026-01-01T12:00:00Z.\n" +
			"It was: vib reads 81.2\n" +
			"http://page/m/press-3\n",
			[]notice{{Cleared, open(3, fettle.High, noon), noon, noon}, {Raised, lathe, noon, noon}, {Raised, worse, noon, noon}}},
	} {
		l := d.compose(message{ID: "id", Made: noon}, c.notices)
		if l.subject != c.subject || l.text != c.text {
			t.Errorf("%s: subject %q, text\n%s\nexpected %q\n%s", c.what, l.subject, l.text, c.subject, c.text)
		}
		var e Envelope
		if err := json.Unmarshal(l.json, &e); err != nil || e.Text != c.text || e.ID != "id" || e.Notices[0].Alarm.Machine == "" {
			t.Errorf("%s: as JSON %s (%v)", c.what, l.json, err)
		}
	}
}

func TestAMessageShowsSoManyAlarms(t *testing.T) {
	d := newDesk(t, all("a"))
	var notices []notice
	for id := range uint64(200) {
		notices = append(notices, notice{Raised, open(id, fettle.Medium, noon), noon, noon})
	}
	l := d.compose(message{ID: "id", Made: noon, Summary: true}, notices)
	var e Envelope
	if err := json.Unmarshal(l.json, &e); err != nil || len(e.Notices) != 50 || e.More != 150 || !e.Summary {
		t.Errorf("%d notices, %d more, %v", len(e.Notices), e.More, err)
	}
	if !strings.HasPrefix(l.text, "This is a summary of 200 changes of alarms") || !strings.HasSuffix(l.text, "And 150 more alarms: http://page\n") {
		t.Errorf("text is %s", l.text)
	}
	if n := strings.Count(l.text, "Machine at Risk"); n != 50 {
		t.Error(fmt.Sprint(n, " alarms in the text"))
	}
}
