package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// prefersHTML tells whether the client would rather have a page than JSON: a
// browser does; curl and programs, which take anything or say nothing, do not.
func prefersHTML(r *http.Request) bool {
	return accepts(r, "text/html") > accepts(r, "application/json")
}

// accepts is how much a client wants a media type, by its Accept header: 0 not
// at all, 1 very much. The most specific range that matches counts (RFC 9110,
// 12.5.1). Without a header everything is welcome.
func accepts(r *http.Request, mediaType string) float64 {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return 1
	}
	group, _, _ := strings.Cut(mediaType, "/")
	best, quality := 0, 0.0
	for part := range strings.SplitSeq(header, ",") {
		asked, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		specific := 0
		switch asked {
		case mediaType:
			specific = 3
		case group + "/*":
			specific = 2
		case "*/*":
			specific = 1
		}
		if specific > best {
			best, quality = specific, 1
			if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
				quality = q
			}
		}
	}
	return quality
}

// names tells whether an Accept header names a media type itself, rather than
// welcoming it by a wildcard.
func names(r *http.Request, mediaType string) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if asked, _, err := mime.ParseMediaType(part); err == nil && asked == mediaType {
			return true
		}
	}
	return false
}

// acceptsGzip tells whether the client reads gzip.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, quality, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";q=")
		if coding == "gzip" {
			q, err := strconv.ParseFloat(quality, 64)
			return quality == "" || err == nil && q > 0
		}
	}
	return false
}
