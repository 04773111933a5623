package fake

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// Edge is a public address: what comes to it is passed on to a target with the
// headers that Cloudflare adds, and of an answer nothing is shown before its
// end, which is how some tunnels treat event streams.
func Edge(target, visitor string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequestWithContext(r.Context(), r.Method, target+r.URL.RequestURI(), r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out.Header, out.Host, out.ContentLength = r.Header.Clone(), r.Host, r.ContentLength
		proto := "http"
		if r.TLS != nil {
			proto = "https"
		}
		for name, value := range map[string]string{
			"Cf-Ray": "8f0000000000aaaa-FRA", "Cf-Connecting-Ip": visitor, "Cdn-Loop": "cloudflare; loops=1",
			"X-Forwarded-Proto": proto, "Cf-Visitor": `{"scheme":"` + proto + `"}`,
			"X-Forwarded-For": strings.TrimPrefix(r.Header.Get("X-Forwarded-For")+", "+visitor, ", "),
		} {
			out.Header.Set(name, value)
		}
		answer, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(out)
		if err != nil {
			http.Error(w, "error code: 502", http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		var held bytes.Buffer
		if _, err := io.Copy(&held, answer.Body); err != nil {
			http.Error(w, "error code: 502", http.StatusBadGateway)
			return
		}
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(held.Bytes()) // the visitor may have left
	})
}
