//go:build browser

package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"fettle"
	"fettle/internal/chromium"
	"fettle/internal/process"
)

const (
	hot    = "lathe-1-spindle" // overheats first
	hotter = "cnc-mill-5-axis" // overheats when the demo has caught up with the clock
)

// TestDemoInBrowser is the promise to a user, kept by the real program and seen
// by real peers: a machine that overheats becomes an alarm that says why, on
// the page and on MQTT, until it is answered and the machine is well again.
//
// The demo plays its last minutes at ten times the speed of life, so that the
// first fault comes and goes while it catches up with the clock, and the second
// one is still there when it has.
func TestDemoInBrowser(t *testing.T) {
	browser := chromium.Start(t)
	d := startDemo(t, "--history", "30h", "--lapse", "6m",
		"--fault", "overheating@30s+150s:"+hot, "--fault", "overheating@5m+3m:"+hotter)
	desk := chromium.NewTab(t, browser, 1280, 860)
	fleet := chromium.NewTab(t, browser, 1280, 860)

	desk.Visit(d.page("/m/" + hot))
	desk.Until(chromium.Drawn("history"))
	desk.Until(chromium.LooksAhead())
	fleet.Visit(d.page("/"))

	d.becomesAlarm(desk, fleet)
	d.isAcknowledged(desk)
	d.clears(desk, fleet)
	d.catchesUp(chromium.NewTab(t, browser, 1280, 692))
	d.isPictured(chromium.NewTab(t, browser, 1280, 860), chromium.NewTab(t, browser, 375, 812, chromedp.EmulateMobile, chromedp.EmulateScale(2)))
}

// A demo is a running `fettle demo`.
type demo struct {
	*testing.T
	*process.Server
}

// startDemo builds the program and starts its demo on free ports.
func startDemo(t *testing.T, flags ...string) demo {
	t.Helper()
	binary, folder := buildFettle(t), filepath.Join(t.TempDir(), "demo")
	ctx := context.WithoutCancel(t.Context()) // the tabs are closed first
	server, err := process.Start(ctx, binary, folder,
		append([]string{"demo", "--dir", folder, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Stop()
		if t.Failed() {
			t.Logf("the demo said:\n%s", server.Log())
		}
	})
	return demo{t, server}
}

func (d demo) page(path string) string { return "http://" + d.HTTP + path }

// becomesAlarm: the page, the fleet and MQTT name the sensors that are too hot.
func (d demo) becomesAlarm(desk, fleet *chromium.Tab) {
	desk.Until(`document.querySelector('#head').innerText.includes('unanswered')`)
	desk.Until(`/temp[AB] is .* °C; .* usual/.test(document.querySelector('#says').innerText)`)
	desk.Until(`/^temp[AB]/.test(document.querySelector('#cause tr').innerText)`)
	desk.Until(`/temp[AB]/.test(document.querySelector('#charts h2').innerText)`) // the cause is the first chart
	fleet.Until(`document.querySelector('h1').innerText === '1 machine needs attention'`)
	fleet.Shows("#attention", hot, "usual")
	if a := d.toldOverMQTT(fettle.Raised); a.Cause != "tempA" && a.Cause != "tempB" {
		d.Errorf("the alarm on MQTT is %+v; expected the cause tempA or tempB", a)
	}
}

// isAcknowledged: one click, and everybody knows.
func (d demo) isAcknowledged(desk *chromium.Tab) {
	desk.Do(chromedp.Click(chromedp.CSS(`[data-acknowledge]:not([data-note])`)))
	desk.Until(`document.querySelector('#head').innerText.includes('acknowledged') && !document.querySelector('#head [data-acknowledge]')`)
	a := d.toldOverMQTT(fettle.Acknowledged)

	var list struct{ Alarms []fettle.Alarm }
	if err := d.Get(d.Context(), "/api/v1/alarms?state=open", &list); err != nil {
		d.Fatal(err)
	}
	if len(list.Alarms) != 1 || list.Alarms[0].ID != a.ID || list.Alarms[0].State != fettle.Acknowledged || list.Alarms[0].AcknowledgedAt == nil {
		d.Errorf("the API lists %+v; expected alarm %d, acknowledged", list.Alarms, a.ID)
	}
	if out := d.command("status"); !strings.Contains(out, "1 open, 0 of them unanswered") {
		d.Errorf("fettle status says:\n%s", out)
	}
	if out := d.command("query", hot, "--last", "3"); !strings.Contains(out, "tempA") || strings.Count(out, "\n") != 5 {
		d.Errorf("fettle query says:\n%s", out)
	}
}

// clears: the machine has cooled down, and nobody has to do anything.
func (d demo) clears(desk, fleet *chromium.Tab) {
	desk.Until(`document.querySelector('.title .chip').innerText === 'Normal'`)
	desk.Until(`document.querySelector('#past').innerText.includes('lasted')`)
	fleet.Until(`document.querySelector('#normal').innerText.includes('` + hot + `')`)
	if a := d.toldOverMQTT(fettle.Cleared); a.ClearedAt == nil || !a.ClearedAt.After(a.RaisedAt) {
		d.Errorf("the alarm on MQTT is %+v; expected when it cleared", a)
	}
}

// catchesUp: from here on the demo goes at the speed of life. This is the
// picture in the README.
func (d demo) catchesUp(desk *chromium.Tab) {
	desk.Visit(d.page("/m/" + hotter))
	desk.Until(`document.querySelector('.title .chip').innerText.startsWith('High')`)
	desk.Until(`/, [0-4] s ago/.test(document.querySelector('#facts').innerText)`)
	desk.Until(chromium.LooksAhead())
	desk.Picture("page")
}

// isPictured keeps what people should look at now and then.
func (d demo) isPictured(desk, phone *chromium.Tab) {
	for _, tab := range []*chromium.Tab{desk, phone} {
		width := "desk"
		if tab == phone {
			width = "phone"
		}
		for _, scheme := range []string{"light", "dark"} {
			tab.Do(prefers(scheme))
			tab.Visit(d.page("/"))
			tab.Until(`document.querySelectorAll('.spark .trace').length === 3`)
			tab.Picture("demo-fleet-" + width + "-" + scheme)
			tab.Visit(d.page("/m/" + hotter))
			tab.Until(chromium.LooksAhead())
			tab.Until(`document.documentElement.scrollWidth <= innerWidth`)
			tab.Picture("demo-machine-" + width + "-" + scheme)
			tab.Visit(d.page("/alarms?state=all"))
			tab.Picture("demo-alarms-" + width + "-" + scheme)
		}
	}
}

func prefers(scheme string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, _ *chromedp.Target) (v chromedp.Void, err error) {
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return v, err
	}
}

// toldOverMQTT waits until whoever subscribes now is told, by a retained
// message, of an alarm in a state.
func (d demo) toldOverMQTT(state fettle.AlarmState) fettle.Alarm {
	d.Helper()
	var a fettle.Alarm
	err := process.WaitFor(d.Context(), "an alarm on MQTT that is "+string(state), func() (bool, error) {
		ctx, cancel := context.WithTimeout(d.Context(), 20*time.Second)
		defer cancel()
		host, port, _ := strings.Cut(d.MQTT, ":")
		out, err := exec.CommandContext(ctx, "mosquitto_sub", "-h", host, "-p", port, "-t", "fettle/alarm/"+hot, "-C", "1", "-F", "%r %p").CombinedOutput()
		if err != nil {
			return false, err
		}
		payload, retained := strings.CutPrefix(string(out), "1 ")
		if !retained {
			return false, nil // it came just now; the next one to subscribe is told all the same
		}
		a = fettle.Alarm{}
		err = json.Unmarshal([]byte(payload), &a)
		return a.State == state, err
	})
	if err != nil {
		d.Fatal(err)
	}
	return a
}

// command runs one of fettle's own commands beside the demo.
func (d demo) command(args ...string) string {
	d.Helper()
	out, err := d.Command(d.Context(), args...)
	if err != nil {
		d.Fatal(err)
	}
	return out
}
