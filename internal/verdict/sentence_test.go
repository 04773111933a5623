package verdict

import (
	"testing"

	"fettle"
)

func TestSentence(t *testing.T) {
	tempA := func(value float64) fettle.Cause {
		return fettle.Cause{Sensor: "tempA", Share: 0.62, Value: value, Low: 61.0342, High: 70.3149}
	}
	tempB := fettle.Cause{Sensor: "tempB", Share: 0.21, Value: 60, Low: 55, High: 65}
	one := func(value, low, high float64) []fettle.Cause {
		return []fettle.Cause{{Sensor: "s", Share: 1, Value: value, Low: low, High: high}}
	}
	for _, c := range []struct {
		causes []fettle.Cause
		want   string
	}{
		{nil, ""},
		{[]fettle.Cause{tempA(81.2), tempB}, "tempA is 81.2 °C; 61.0–70.3 usual. tempA explains 62 %, then tempB 21 %."},
		{[]fettle.Cause{tempA(81.2)}, "tempA is 81.2 °C; 61.0–70.3 usual."},
		{[]fettle.Cause{tempA(65.2)}, "tempA no longer moves as before: 65.2 °C, within its usual 61.0–70.3."},
		{[]fettle.Cause{tempA(70.32)}, "tempA is 70.32 °C; 61.03–70.31 usual."},
		{[]fettle.Cause{tempA(70.315)}, "tempA is 70.3150 °C; 61.0342–70.3149 usual."},
		{[]fettle.Cause{tempA(61.03)}, "tempA is 61.030 °C; 61.034–70.315 usual."},
		{one(7.9, 4.1, 5.6), "s is 7.9; 4.1–5.6 usual."},
		{one(1, 0, 0), "s is 1; 0 usual."},
		{one(-4.2, -1, 3), "s is −4.2; −1.0 to 3.0 usual."},
		{one(0.01234, 0.001, 0.002), "s is 0.0123; 0.0010–0.0020 usual."},
		{one(1234567.8, 1000, 2000), "s is 1\u202f234\u202f568; 1\u202f000–2\u202f000 usual."},
		{one(3e20, 0, 1), "s is 3e+20; 0–1 usual."},
		{one(1e-7, 0, 0), "s is 1e−07; 0 usual."},
		{one(1e-12, 0, 0), "s is 1e−12; 0 usual."},
	} {
		unit := func(sensor string) string {
			if sensor == "tempA" {
				return "°C"
			}
			return ""
		}
		if got := Sentence(c.causes, unit); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
