package verdict

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"fettle"
)

// Sentence says in words what is behind a score: what the foremost sensor reads
// and what is usual, then who explains how much. unit names a sensor's unit; ""
// if it is not known. No causes: no words.
//
//	tempA is 81.2 °C; 61.0–70.3 usual. tempA explains 62 %, then tempB 21 %.
//	tempA no longer moves as before: 65.2 °C, within its usual 61.0–70.3.
func Sentence(causes []fettle.Cause, unit func(sensor string) string) string {
	if len(causes) == 0 {
		return ""
	}
	c := causes[0]
	value, usual := figures(c)
	if name := unit(c.Sensor); name != "" {
		value += " " + name
	}
	var text string
	if c.Value < c.Low || c.Value > c.High {
		text = fmt.Sprintf("%s is %s; %s usual.", c.Sensor, value, usual)
	} else {
		text = fmt.Sprintf("%s no longer moves as before: %s, within its usual %s.", c.Sensor, value, usual)
	}
	if len(causes) == 1 {
		return text
	}
	return text + fmt.Sprintf(" %s explains %s, then %s %s.", c.Sensor, percent(c.Share), causes[1].Sensor, percent(causes[1].Share))
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// figures writes a cause's value and usual range with the same decimals: three
// significant digits, fewer if nothing is lost, more if the value could not be
// told from the end of the range it left.
func figures(c fettle.Cause) (value, usual string) {
	decimals := decimalsFor(max(math.Abs(c.Value), math.Abs(c.Low), math.Abs(c.High)))
	numbers := func() [3]string {
		return [3]string{number(c.Value, decimals), number(c.Low, decimals), number(c.High, decimals)}
	}
	n := numbers()
	for decimals >= 0 && decimals < mostDecimals && (c.Value < c.Low && n[0] == n[1] || c.Value > c.High && n[0] == n[2]) {
		decimals++
		n = numbers()
	}
	for decimals > 0 && strings.HasSuffix(n[0], "0") && strings.HasSuffix(n[1], "0") && strings.HasSuffix(n[2], "0") {
		decimals--
		n = numbers()
	}
	switch {
	case n[1] == n[2]:
		return n[0], n[1]
	case c.Low < 0:
		return n[0], n[1] + " to " + n[2]
	default:
		return n[0], n[1] + "–" + n[2]
	}
}

const (
	significant  = 3
	mostDecimals = 9
	// Numbers outside these are written with an exponent.
	tooSmall, tooLarge = 1e-6, 1e15
	exponent           = -1 // stands for the decimals of such a number
)

// decimalsFor is how many decimals the largest of some numbers needs.
func decimalsFor(largest float64) int {
	switch {
	case largest == 0:
		return 0
	case largest < tooSmall || largest >= tooLarge:
		return exponent
	default:
		return max(significant-1-int(math.Floor(math.Log10(largest))), 0)
	}
}

// number writes a number for people: a minus sign that is one, thousands apart.
func number(x float64, decimals int) string {
	if decimals == exponent {
		return strings.ReplaceAll(strconv.FormatFloat(x, 'g', significant, 64), "-", minus)
	}
	text := strconv.FormatFloat(math.Abs(x), 'f', decimals, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + thinSpace + whole[i:]
	}
	if decimals > 0 {
		whole += "." + fraction
	}
	if x < 0 && strings.ContainsAny(text, "123456789") {
		return minus + whole
	}
	return whole
}

const (
	minus     = "\u2212"
	thinSpace = "\u202f" // the narrow one that no line is broken at
)
