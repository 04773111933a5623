package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/url"
	"time"

	"fettle"
)

// policy lets the page use its own files and its own origin, nothing else: no
// script and no style inside the HTML, no other host.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// most alarms that a page asks for.
const mostAlarms = 1000

// A frame is what stands around every page.
type frame struct {
	Title   string
	Page    string // fleet, machine, alarms, nothing: which part the scripts bring to life
	Section string // which link of the navigation is the current one
	Counts  []count
	Urgent  int // open alarms that nobody answered
	Now     moment
	Clock   string // "03:03 CEST"
	Zone    string // IANA name of the plant's zone; empty if the system does not tell
	Offset  int    // the plant's minutes east of UTC
	Theme   string // light, dark, or empty: what the system says
	Themes  []link
	Version string
	Public  string // address from outside; empty: none
	Watch   string // kinds of events that the page follows
	Machine string // whose events only; empty: everybody's
	Body    any
}

type link struct {
	Text    string
	Href    string
	Current bool
}

// count is one number of the header: open alarms of one priority.
type count struct {
	Priority fettle.Priority
	Number   int
	Words    string
}

// view is one page before it is framed.
type view struct {
	status   int
	template string
	frame    frame
}

// page makes a handler of a function that writes one page.
func (s *Site) page(show func(*http.Request, clock) view) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Add("Vary", "Accept-Encoding, Cookie")
		header.Set("Cache-Control", "private, no-cache")
		if chooseTheme(w, r) {
			return
		}
		c := clock{now: s.deps.Now(), zone: s.deps.Zone}
		v := show(r, c)
		s.surround(&v.frame, r, c)
		var body bytes.Buffer
		if err := s.pages.ExecuteTemplate(&body, v.template, v.frame); err != nil {
			http.Error(w, "This page could not be written, a fault of fettle: "+err.Error(), http.StatusInternalServerError)
			return
		}
		header.Set("Content-Type", "text/html; charset=utf-8")
		write(w, r, content{status: v.status, plain: body.Bytes(), packed: pack(body.Bytes(), gzip.BestSpeed)})
	}
}

// surround fills in what every page shows.
func (s *Site) surround(f *frame, r *http.Request, c clock) {
	local := c.now.In(c.zone)
	_, offset := local.Zone()
	f.Now, f.Clock, f.Offset = c.at(c.now), local.Format("15:04 MST"), offset/60
	if name := c.zone.String(); name != "Local" {
		f.Zone = name
	}
	f.Theme, f.Themes = themeOf(r), themeLinks(r)
	f.Version, f.Public = s.deps.Version, s.deps.Public()
	open := map[fettle.Priority]int{}
	for _, a := range s.deps.Alarms("open", "", mostAlarms) {
		open[a.Priority]++
		if a.Unanswered() {
			f.Urgent++
		}
	}
	for _, p := range []fettle.Priority{fettle.High, fettle.Medium, fettle.Low} {
		if n := open[p]; n > 0 {
			f.Counts = append(f.Counts, count{p, n, plural(n, "open alarm", "open alarms") + ", " + string(p)})
		}
	}
}

// machineURL is the address of a machine's page, whatever its name holds.
func machineURL(name string) string { return "/m/" + url.PathEscape(name) }

// nothing is the page for an address that leads nowhere.
func nothing(r *http.Request, _ clock) view {
	return notFound("There is no page at " + fettle.Shorten(r.URL.Path) + ".")
}

func notFound(sentence string) view {
	return view{http.StatusNotFound, "nothing.html", frame{Title: "Not found", Page: "nothing", Body: sentence}}
}

// The theme is a cookie that the server reads, so that a page never flashes in
// the wrong one. It is chosen by a link, ?theme=dark, which works without a
// script.
const themeCookie = "fettle-theme"

func themeOf(r *http.Request) string {
	cookie, err := r.Cookie(themeCookie)
	if err != nil || (cookie.Value != "light" && cookie.Value != "dark") {
		return ""
	}
	return cookie.Value
}

func themeLinks(r *http.Request) []link {
	current := themeOf(r)
	links := []link{{Text: "System"}, {Text: "Light"}, {Text: "Dark"}}
	for i, name := range []string{"system", "light", "dark"} {
		query := r.URL.Query()
		query.Set("theme", name)
		links[i].Href = "?" + query.Encode()
		links[i].Current = name == current || name == "system" && current == ""
	}
	return links
}

// chooseTheme answers a request that chooses a theme: it remembers the choice
// and sends the browser back to the same page.
func chooseTheme(w http.ResponseWriter, r *http.Request) (chosen bool) {
	query := r.URL.Query()
	theme := query.Get("theme")
	if theme == "" {
		return false
	}
	cookie := &http.Cookie{Name: themeCookie, Value: theme, Path: "/", MaxAge: int(365 * 24 * time.Hour / time.Second),
		SameSite: http.SameSiteLaxMode, HttpOnly: true}
	if theme != "light" && theme != "dark" {
		cookie.Value, cookie.MaxAge = "", -1
	}
	http.SetCookie(w, cookie)
	query.Del("theme")
	back := r.URL.EscapedPath()
	if rest := query.Encode(); rest != "" {
		back += "?" + rest
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return true
}
