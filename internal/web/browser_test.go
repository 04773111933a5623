//go:build browser

package web

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"fettle"
	"fettle/internal/chromium"
)

func sickPlant(t *testing.T) *plant {
	p := newPlant(t, "Pump 07", "Fan 12", "CNC mill/5 axis", "Lathe 1 spindle")
	p.raise("Pump 07", fettle.High, "tempA is 73.1 °C; 58.9–63.3 usual. tempA explains 71 %, then tempB 22 %.",
		fettle.Cause{Sensor: "tempA", Share: 0.71, Value: 73.1, Low: 58.9, High: 63.3},
		fettle.Cause{Sensor: "tempB", Share: 0.22, Value: 61.9, Low: 55.8, High: 60.2},
		fettle.Cause{Sensor: "current", Share: 0.05, Value: 13.1, Low: 11.7, High: 14.3})
	p.raise("CNC mill/5 axis", fettle.Medium, "vibration is 5.6 mm/s; 4.1–5.2 usual.",
		fettle.Cause{Sensor: "vibration", Share: 0.88, Value: 5.6, Low: 4.1, High: 5.2})
	return p
}

func TestBrowser(t *testing.T) {
	browser := chromium.Start(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, context.Context)
	}{
		{"first run", browserFirstRun},
		{"fleet", browserFleet},
		{"a list holds still under the hand", browserHeldList},
		{"a thousand machines", browserThousandMachines},
		{"a machine's curves", browserCurves},
		{"a machine's first forecast", browserFirstForecast},
		{"an hour ahead", browserHorizons},
		{"a machine without data", browserNoData},
		{"any name", browserAnyName},
		{"acknowledge", browserAcknowledge},
		{"acknowledge with a note", browserAcknowledgeWithNote},
		{"acknowledge refused", browserAcknowledgeRefused},
		{"accept as normal", browserAccept},
		{"silence", browserSilence},
		{"long polls where streams are held back", browserLongPolls},
		{"not live", browserNotLive},
		{"hidden tab", browserHidden},
		{"dark and phone", browserDarkAndPhone},
		{"accessible", browserAccessible},
		{"numbers as the server writes them", browserFormats},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, browser) })
	}
}

func browserFleet(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/")
	b.Until(`document.querySelectorAll('.spark .trace').length === 4`)
	b.Shows("main", "2 machines need attention", "Pump 07", "High", "Medium", "58.9–63.3 usual", "2 normal")
	b.Picture("fleet-light")
	p.raise("Fan 12", fettle.Low, "current is 15 A; 12–14 usual.", fettle.Cause{Sensor: "current", Share: 1})
	b.Until(`document.querySelector('h1').innerText === '3 machines need attention'`)
	b.Until(`document.title.startsWith('(3)')`)
	b.Until(`document.getElementById('announce').innerText.includes('new')`)
}

func browserFirstRun(t *testing.T, browser context.Context) {
	p := newPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/")
	b.Shows("main", "No machine has sent a reading yet", "mosquitto_pub", "fettle simulate --broker")
	b.Picture("first-run")
	p.join("Pump 07", 0)
	b.Until(`document.querySelector('h1')?.innerText === 'The machine is normal'`)
}

func browserCurves(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/m/Pump%2007")
	b.Until(chromium.Drawn("history"))
	b.Until(`document.querySelector('#chart-tempA .band').innerText.includes('90 of 100 readings')`)
	b.Until(chromium.LooksAhead())
	b.Picture("machine-light")
	for range 9 {
		p.step("Pump 07")
	}
	b.Until(`document.querySelector('#chart-current .value').innerText === '` + withUnit(number(p.listMachines()[0].Latest[0].Value), "A") + `'`)
}

// A page never asks for a forecast in vain, which the console would tell.
func browserFirstForecast(t *testing.T, browser context.Context) {
	p := newPlant(t, "Pump 07")
	p.model("Pump 07", "")
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/m/Pump%2007")
	b.Until(chromium.Drawn("history"))
	p.step("Pump 07")
	b.Shows("#facts", "none yet")
	p.model("Pump 07", "model_Pump 07_20260610_020000")
	b.Until(chromium.LooksAhead())
}

func browserHorizons(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/m/Pump%2007")
	b.Until(chromium.LooksAhead())
	b.Until(`document.querySelector('#charts').dataset.ahead === 'short'`)
	b.Do(chromedp.Click(chromedp.CSS(`#bar a[href="?ahead=hour"]`)))
	b.Until(`document.querySelector('#bar a[href="?ahead=hour"]')?.getAttribute('aria-current') === 'true'`)
	b.Until(`document.querySelector('#charts').dataset.ahead === 'hour'`)
	b.Until(chromium.LooksAhead())
	b.Picture("machine-hour")
}

func browserAnyName(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/")
	b.Do(chromedp.Click(chromedp.CSS(`[id="row-CNC%20mill%2F5%20axis"] a`)))
	b.Until(`document.body.dataset.page === 'machine'`)
	b.Until(chromium.Drawn("history"))
	b.Shows("h1", "CNC mill/5 axis")
}

func browserAcknowledge(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/m/Pump%2007")
	b.Shows("#head", "unanswered")
	b.Do(chromedp.Click(chromedp.CSS(`#answer-1`)))
	b.Until(`document.querySelector('#head').innerText.includes('acknowledged') && !document.querySelector('#head [data-acknowledge]')`)
	b.Picture("machine-acknowledged")

	b.Visit(p.URL + "/alarms")
	b.Shows("main", "1 unanswered alarm")
	b.Do(chromedp.Click(chromedp.CSS(`#alarm-2 button`)))
	b.Until(`document.querySelector('h1').innerText === 'Every alarm is answered'`)
	p.mu.Lock()
	defer p.mu.Unlock()
	if got := strings.Join(p.answers, ", "); got != `1 by "" note "", 2 by "" note ""` {
		t.Errorf("the server was told: %s", got)
	}
}

func browserAcknowledgeWithNote(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/m/Pump%2007")
	b.Do(chromedp.Click(chromedp.CSS(`#note-1`)),
		chromedp.SendKeys(chromedp.CSS(`dialog input`), "Ann"), chromedp.SendKeys(chromedp.CSS(`dialog textarea`), "coupling ordered"))
	b.Picture("dialog")
	b.Do(chromedp.Click(chromedp.CSS(`dialog .primary`)))
	b.Until(`document.querySelector('#head').innerText.includes('acknowledged by Ann')`)
	b.Shows("#says", "coupling ordered")
}

func browserAccept(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/m/Pump%2007")
	b.Picture("machine-answers")
	b.Do(chromedp.Click(chromedp.CSS(`#accept-1`)),
		chromedp.SendKeys(chromedp.CSS(`dialog input`), "Ann"), chromedp.SendKeys(chromedp.CSS(`dialog textarea`), "a new impeller"))
	b.Shows("dialog", "how it is now counts as normal")
	b.Picture("dialog-accept")
	b.Do(chromedp.Click(chromedp.CSS(`dialog .primary`)))
	b.Until(`!document.querySelector('#head .actions') && document.querySelector('#past').innerText.includes('tempA')`)
	b.Visit(p.URL + "/alarms?state=all")
	b.Shows("#alarm-1", "normal now, said Ann")
}

func browserAcknowledgeRefused(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	p.fail = true
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Allow("/acknowledge")
	b.Visit(p.URL + "/m/Pump%2007")
	b.Do(chromedp.Click(chromedp.CSS(`#answer-1`)))
	b.Until(`document.querySelector('#failure').innerText.includes('the disk is full')`)
	b.Until(`!document.querySelector('#answer-1').disabled`)
}

func browserSilence(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/m/Pump%2007")
	b.Do(chromedp.Click(chromedp.CSS(`#silence`)),
		chromedp.SetValue(chromedp.CSS(`dialog [name=for]`), "8h"), chromedp.SetValue(chromedp.CSS(`dialog [name=kind]`), "service"),
		chromedp.SendKeys(chromedp.CSS(`dialog [name=why]`), "coupling ordered"), chromedp.SendKeys(chromedp.CSS(`dialog [name=by]`), "Ann"))
	b.Picture("silence-dialog")
	b.Do(chromedp.Click(chromedp.CSS(`dialog .primary`)))
	b.Until(`document.querySelector('#says').innerText.includes('by Ann: coupling ordered')`)
	b.Shows("#says", "SERVICE", "until")
	b.Picture("silenced")
	b.Do(chromedp.Click(chromedp.CSS(`#end-silence`)))
	b.Until(`document.querySelector('#silence') && !document.querySelector('#says').innerText.includes('coupling')`)
	p.mu.Lock()
	defer p.mu.Unlock()
	if got := strings.Join(p.answers, ", "); got != `silence for 8h, service, why "coupling ordered" by "Ann"` {
		t.Errorf("the server was told: %s", got)
	}
}

func browserLongPolls(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	p.buffered = true
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/")
	b.Until(`!document.getElementById('offline').offsetParent`)
	p.raise("Fan 12", fettle.Low, "current is 15 A; 12–14 usual.", fettle.Cause{Sensor: "current", Share: 1})
	b.Until(`document.querySelector('h1').innerText === '3 machines need attention'`)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.streams != 1 {
		t.Errorf("the page tried %d streams before it polled, expected 1", p.streams)
	}
}

func browserNotLive(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Allow("/api/v1/events", "ERR_", p.URL)
	b.Visit(p.URL + "/")
	p.CloseClientConnections()
	p.Listener.Close()
	b.Until(`document.getElementById('offline').innerText.startsWith('Not live since ')`)
	b.Picture("not-live")
}

func browserDarkAndPhone(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Do(func(ctx context.Context, t *chromedp.Target) (v chromedp.Void, err error) {
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
		return v, err
	})
	b.Visit(p.URL + "/m/Pump%2007")
	b.Until(chromium.Drawn("history"))
	b.Picture("machine-dark")
	b.Visit(p.URL + "/")
	b.Until(`document.querySelectorAll('.spark .trace').length === 4`)
	b.Picture("fleet-dark")
	b.Visit(p.URL + "/alarms?theme=light")
	b.Until(`getComputedStyle(document.body).backgroundColor === 'rgb(232, 234, 237)'`)
	b.Picture("alarms-light")

	phone := chromium.NewTab(t, browser, 375, 812, chromedp.EmulateMobile, chromedp.EmulateScale(2))
	for page, name := range map[string]string{"/": "fleet-phone", "/m/Pump%2007": "machine-phone", "/alarms": "alarms-phone"} {
		phone.Visit(p.URL + page)
		if page == "/m/Pump%2007" {
			phone.Until(chromium.Drawn("history"))
		}
		phone.Until(`document.documentElement.scrollWidth <= 375`)
		phone.Picture(name)
	}
}

func browserHeldList(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/")
	b.Do(chromedp.Focus(chromedp.CSS(`#attention td a`)))
	p.raise("Fan 12", fettle.High, "current is 15 A; 12–14 usual.", fettle.Cause{Sensor: "current", Share: 1})
	b.Until(`document.getElementById('held').offsetParent`)
	b.Shows("h1", "3 machines need attention")
	b.Until(`document.querySelectorAll('#attention tbody tr').length === 2`)
	b.Do(chromedp.Click(chromedp.CSS(`#held button`)))
	b.Until(`document.querySelectorAll('#attention tbody tr').length === 3 && !document.getElementById('held').offsetParent`)
}

func browserThousandMachines(t *testing.T, browser context.Context) {
	names := make([]string, 0, 1000)
	for i := range 1000 {
		names = append(names, fmt.Sprintf("Machine %04d", i))
	}
	p := newPlant(t, names[:3]...)
	for _, name := range names[3:] {
		m := p.machines[2]
		m.Name = name
		p.machines = append(p.machines, m)
		p.rows[name] = p.rows[names[2]]
	}
	p.raise("Machine 0001", fettle.High, "tempA is 73.1 °C; 58.9–63.3 usual.", fettle.Cause{Sensor: "tempA", Share: 1})
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/")
	b.Shows("main", "1 machine needs attention", "Machine 0001", "999 normal")
	b.Do(chromedp.Click(chromedp.CSS(`#normal summary`)))
	b.Until(`document.querySelectorAll('#normal tbody tr').length === 100`)
	b.Do(chromedp.Click(chromedp.CSS(`#normal .turn a[rel=next]`)))
	b.Until(`location.search === '?from=101' && document.querySelector('#normal').open`)
	b.Shows(".turn", "machines 101–200 of 999")
}

func browserNoData(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	p.mu.Lock()
	m := &p.machines[p.index("Lathe 1 spindle")]
	m.State, m.Arrived, m.Sentence = fettle.StateNoData, time.Now().Add(-4*time.Minute), "No data for 4 min; a reading every 2 s is usual."
	p.mu.Unlock()
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/m/Lathe%201%20spindle")
	b.Until(chromium.Drawn("faint"))
	b.Shows("main", "No data", "usual")
	b.Shows("#numbers", "–")
	b.Until(`[...document.querySelectorAll('.band')].every((band) => band.innerText === '')`)
	b.Picture("machine-no-data")
	b.Visit(p.URL + "/")
	b.Shows("#no-data", "No data", "4 min old")
	b.Picture("fleet-no-data")
}

func browserHidden(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/")
	hide := func(hidden string) {
		b.Do(chromedp.Evaluate[chromedp.Void](`Object.defineProperty(document, 'hidden', { value: ` + hidden + `, configurable: true });
			document.dispatchEvent(new Event('visibilitychange'))`))
	}
	hide("true")
	b.Until(`document.body.dataset.live === 'resting'`)
	p.raise("Fan 12", fettle.Low, "current is 15 A; 12–14 usual.", fettle.Cause{Sensor: "current", Share: 1})
	hide("false")
	b.Until(`document.querySelector('h1').innerText === '3 machines need attention'`)
	b.Until(`document.body.dataset.live === 'live'`)
}

// faults lists what keeps people with a keyboard, a screen reader or a finger
// out.
const faults = `(() => {
	const faults = [], shown = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 1;
	const name = (e) => (e.getAttribute('aria-label') ?? e.innerText ?? '').trim();
	const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
	for (const id of ids.filter((id, i) => ids.indexOf(id) !== i)) faults.push('two elements with id ' + id);
	for (const e of document.querySelectorAll('a, button, summary')) {
		if (!shown(e)) continue;
		if (!name(e)) faults.push('no name: ' + e.outerHTML);
		const box = e.getBoundingClientRect(), least = innerWidth < 500 && e.matches('.button, nav a, .ranges a') ? 44 : e.closest('p, dd, td, .counts') ? 15 : 24;
		if (box.height < least - 0.5) faults.push(box.height + ' px high, less than ' + least + ': ' + e.outerHTML);
	}
	for (const e of document.querySelectorAll('svg')) if (!e.closest('[aria-hidden=true], [role=img]')) faults.push('picture without words: ' + e.outerHTML);
	for (const e of document.querySelectorAll('th')) if (!e.hasAttribute('scope') && e.getAttribute('role') !== 'columnheader') faults.push('header of nothing: ' + e.outerHTML);
	for (const e of document.querySelectorAll('[role=img], section')) if (!name(e) && !e.querySelector('h2, table')) faults.push('no name: ' + e.outerHTML.slice(0, 80));
	if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
	if (!document.documentElement.lang || !document.title) faults.push('no language or title');
	if (document.querySelector('[style]:not(.plot *)')) faults.push('style in HTML: ' + document.querySelector('[style]:not(.plot *)').outerHTML.slice(0, 80));
	return faults;
})()`

func browserAccessible(t *testing.T, browser context.Context) {
	p := sickPlant(t)
	for _, width := range []int64{1280, 375} {
		b := chromium.NewTab(t, browser, width, 860)
		for _, page := range []string{"/", "/m/Pump%2007", "/alarms", "/alarms?state=all"} {
			b.Visit(p.URL + page)
			if strings.HasPrefix(page, "/m/") {
				b.Until(chromium.Drawn("history"))
			}
			found, err := chromedp.Run(b.Context, chromedp.Evaluate[[]string](faults))
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range found {
				t.Errorf("%s at %d px: %s", page, width, fault)
			}
		}
	}
}

// The scripts write numbers and durations that the server wrote before.
func browserFormats(t *testing.T, browser context.Context) {
	p := newPlant(t)
	b := chromium.NewTab(t, browser, 1280, 860)
	b.Visit(p.URL + "/")
	module, err := New(Deps{Machines: p.listMachines, Alarms: p.listAlarms, Unit: unitOf})
	if err != nil {
		t.Fatal(err)
	}
	url, err := module.assets.url("format.js")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(call string) string {
		t.Helper()
		got, err := chromedp.Run(b.Context, chromedp.Evaluate[string](`import('`+url+`').then((m) => m.`+call+`)`, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, v := range numbersToWrite {
		if got, want := ask(fmt.Sprintf("number(%v)", v)), number(v); got != want {
			t.Errorf("%v is %q in the browser, %q on the server", v, got, want)
		}
	}
	for _, d := range durationsToWrite {
		if got, want := ask(fmt.Sprintf("duration(%d)", d.Milliseconds())), Duration(d); got != want {
			t.Errorf("%v is %q in the browser, %q on the server", d, got, want)
		}
	}
}
