// Package chromium shows fettle's pages to a real Chromium, as a person sees
// them: tests open a page in a tab, click, wait until something is true of it,
// and keep pictures. What a page writes to the console, exceptions and violated
// policies with it, fails the test. Nothing of it is in the program itself.
package chromium

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

// program is where Debian puts Chromium.
const program = "/usr/bin/chromium"

// patience is how long something may take to become true in a page.
const patience = 30 * time.Second

// Start runs one Chromium for all tabs of a test; without Chromium the test
// fails.
func Start(t *testing.T) context.Context {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("this test needs Chromium: %v", err)
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(stop)
	browser, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	if err := chromedp.Do(browser); err != nil {
		t.Fatal(err)
	}
	return browser
}

// A Tab is one tab, with cookies and storage of its own.
type Tab struct {
	*testing.T
	Context context.Context // for further chromedp actions
	mu      sync.Mutex
	allowed []string
	said    []string
}

// NewTab opens an empty tab of a size in CSS pixels; it closes with the test.
func NewTab(t *testing.T, browser context.Context, width, height int64, options ...chromedp.EmulateViewportOption) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	b := &Tab{T: t, Context: ctx}
	// The first step makes the tab, which lives as long as that step's context.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height, options...)); err != nil {
		t.Fatal(err)
	}
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

// Allow lets the page write lines to the console that hold one of these.
func (b *Tab) Allow(parts ...string) { b.allowed = append(b.allowed, parts...) }

func (b *Tab) mayContain(line string) bool {
	for _, allowed := range b.allowed {
		if strings.Contains(line, allowed) {
			return true
		}
	}
	return false
}

// Do takes steps, a click say; a failure ends the test.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// Visit loads a page and waits until it is live.
func (b *Tab) Visit(url string) {
	b.Helper()
	b.Do(chromedp.Navigate(url))
	b.Until(`document.body.dataset.live === 'live'`)
}

// Until waits for a JavaScript expression to become true.
func (b *Tab) Until(expression string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context, patience)
	defer cancel()
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if done, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")")); err == nil && done {
			return
		}
	}
	b.Fatalf("never true: %s\npage: %s", expression, b.Text("main"))
}

// Text is what an element says to a person.
func (b *Tab) Text(selector string) string {
	b.Helper()
	text, err := chromedp.Run(b.Context, chromedp.Evaluate[string](`document.querySelector('`+selector+`').innerText`))
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// Shows fails unless an element's text holds all of these.
func (b *Tab) Shows(selector string, parts ...string) {
	b.Helper()
	text := b.Text(selector)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			b.Errorf("%s shows %q, without %q", selector, text, part)
		}
	}
}

// Picture keeps a screenshot for people: in $FETTLE_PICTURES if that is set.
func (b *Tab) Picture(name string) {
	b.Helper()
	dir := os.Getenv("FETTLE_PICTURES")
	if dir == "" {
		dir = b.TempDir()
	}
	image, err := chromedp.Run(b.Context, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), image, 0o644); err != nil {
		b.Fatal(err)
	}
}
