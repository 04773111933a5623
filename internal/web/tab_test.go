//go:build browser

package web

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A tab is one tab of a real Chromium. Whatever the page writes to the console,
// exceptions and violated policies with it, fails the test unless it is allowed.
type tab struct {
	*testing.T
	ctx     context.Context
	mu      sync.Mutex
	allowed []string
	said    []string
}

// chromium is where Debian puts it; without it the test fails.
const chromium = "/usr/bin/chromium"

// A browser is one Chromium for all tests; each test gets a tab with cookies
// and storage of its own.
func browser(t *testing.T) context.Context {
	if _, err := os.Stat(chromium); err != nil {
		t.Fatalf("this test needs Chromium: %v", err)
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func newTab(t *testing.T, browser context.Context, width, height int64, options ...chromedp.EmulateViewportOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	ctx, cancelTime := context.WithTimeout(ctx, time.Minute)
	b := &tab{T: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(width, height, options...))
	console := chromedp.Console(ctx)
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		for message, err := range console {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.said = append(b.said, string(message.Type)+": "+message.Text+" "+message.URL)
			b.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancelTime()
		cancel()
		<-listened
		for _, line := range b.said {
			if !b.mayContain(line) {
				t.Errorf("the page wrote to the console: %s", line)
			}
		}
	})
	return b
}

func (b *tab) mayContain(line string) bool {
	for _, allowed := range b.allowed {
		if strings.Contains(line, allowed) {
			return true
		}
	}
	return false
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// open loads a page and waits until it is live.
func (b *tab) open(url string) {
	b.Helper()
	b.do(chromedp.Navigate(url))
	b.until(`document.body.dataset.live === 'live'`)
}

// until waits for something to become true in the page.
func (b *tab) until(expression string) {
	b.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if done, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")")); err == nil && done {
			return
		}
	}
	b.Fatalf("never true: %s\npage: %s", expression, b.text("main"))
}

func (b *tab) text(selector string) string {
	b.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector('`+selector+`').innerText`))
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// shows fails unless an element's text holds all of these.
func (b *tab) shows(selector string, parts ...string) {
	b.Helper()
	text := b.text(selector)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.Errorf("%s shows %q, without %q", selector, text, part)
		}
	}
}

// picture keeps a screenshot for people: in $FETTLE_PICTURES if that is set.
func (b *tab) picture(name string) {
	b.Helper()
	dir := os.Getenv("FETTLE_PICTURES")
	if dir == "" {
		dir = b.TempDir()
	}
	image, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), image, 0o644); err != nil {
		b.Fatal(err)
	}
}

// drawn is true when each chart in sight has a curve on its canvas: pixels of
// one of the theme's colours, in most of its columns.
func drawn(ink string) string { return strings.Replace(hasCurves, "INK", ink, 1) }

const hasCurves = `(() => {
	const scratch = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
	scratch.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--INK');
	scratch.fillRect(0, 0, 1, 1);
	const want = scratch.getImageData(0, 0, 1, 1).data;
	const charts = [...document.querySelectorAll('.chart')].filter((c) => c.getBoundingClientRect().top < innerHeight - 200);
	return charts.length > 0 && charts.every((chart) => {
		const canvas = chart.querySelector('canvas');
		if (!canvas || !canvas.width) return false;
		scratch.canvas.width = canvas.width;
		scratch.canvas.height = canvas.height;
		scratch.drawImage(canvas, 0, 0);
		const { width, data } = scratch.getImageData(canvas.width / 5, 0, canvas.width / 2, canvas.height - 24 * devicePixelRatio);
		const columns = new Set();
		for (let i = 0; i < data.length; i += 4) {
			if ([0, 1, 2].every((c) => Math.abs(data[i + c] - want[c]) < 90) && data[i + 3] > 128) columns.add((i / 4) % width);
		}
		return columns.size > width / 2;
	});
})()`
